// Opening: recovery and the fabric.  See node.h.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "base/check.h"
#include "base/system_clock.h"
#include "fabric/make_fabric.h"
#include "log/scan.h"
#include "pmem/pool_media.h"
#include "store/checkpoint.h"
#include "store/node.h"

namespace faha {

Result<std::unique_ptr<Store>> Store::Open(const Options& options, StoreObserver* observer, Env env) {
  std::unique_ptr<Media> media = std::move(env.media);
  auto node = std::make_unique<Node>(options, observer, std::move(env));
  // This is checked before the pool is touched: the cause of a refusal is most often a setting.
  if (Status status = node->ChooseFabric(); !status.ok()) return status;
  if (!media) {
    // A pool file that is created and then refused would prevent the next start.
    std::error_code error;
    const bool exists = std::filesystem::exists(options.pool_path, error) || error;
    const Status possible = exists ? Status::Ok() : CheckNewPool(options.pool_bytes, options.segment_bytes);
    if (!possible.ok()) return possible;
    auto opened = OpenMedia({options.pool_path, options.pool_bytes, options.persistence_domain, options.log});
    if (!opened.ok()) return opened.status();
    media = std::move(opened.value());
  }
  if (Status status = node->Start(std::move(media)); !status.ok()) return status;
  return std::unique_ptr<Store>(std::move(node));
}

Node::Node(const Options& options, StoreObserver* observer, Env env)
    : options_(options),
      observer_(observer),
      own_clock_(env.clock == nullptr ? std::make_unique<SystemClock>() : nullptr),
      clock_(env.clock == nullptr ? own_clock_.get() : env.clock),
      fabric_(env.fabric),
      memory_(env.memory == nullptr ? std::pmr::get_default_resource() : env.memory),
      health_(&options_, clock_, [this] { OnFailure(); }) {}

Status Node::ChooseFabric() {
  if (fabric_ != nullptr) return Status::Ok();
  auto made = MakeFabric(options_, remark_);
  if (!made.ok()) return made.status();
  own_fabric_ = std::move(made.value());
  fabric_ = own_fabric_.get();
  return Status::Ok();
}

// Listens, and notes how batches are transported.  Errors: Unavailable - the address, or RDMA that is required.
Status Node::OpenFabric() {
  fabric_->SetSpin(options_.rdma_spin);
  if (options_.port == 0) return Status::Ok();
  if (Status status = fabric_->Listen({options_.bind, options_.port}); !status.ok()) return status;
  if (remark_.empty()) remark_ = fabric_->Remark();
  if (!remark_.empty()) health_.Note(LogLevel::kNotice, fmt::format("batches go over TCP: {}", remark_));
  if (fabric_->DataTransport() != Transport::kRdma) return Status::Ok();
  const auto shared = pool_->media().shared();
  // A flush by a device makes data durable in this node's sense only if the medium needs nothing but stores and their
  // flush.
  const PersistenceDomain domain = pool_->media().domain();
  const bool persistent = domain == PersistenceDomain::kCacheLine || domain == PersistenceDomain::kCpuCache;
  const Status direct =
      shared.empty() ? Status{Code::kUnavailable, "the pool is not on a device DAX"}
                     : fabric_->ShareMemory(shared.subspan(format::kDataOffset), format::kDataOffset, persistent);
  health_.Note(LogLevel::kNotice, direct.ok()
                                      ? "batches go over RDMA and land in the pool directly"
                                      : fmt::format("batches go over RDMA and land in a ring: {}", direct.message()));
  return Status::Ok();
}

Node::~Node() {
  if (receiver_) receiver_->Close();
  if (committer_) committer_->End();
}

// Opens the pool, and makes it as large as faha.pool-bytes says, unless it is larger already.
Status Node::OpenPool(std::unique_ptr<Media> media) {
  const std::uint64_t before = media->bytes().size();
  auto pool = Pool::Open(std::move(media), options_.segment_bytes, options_.pool_bytes, options_.feature_level);
  if (!pool.ok()) return pool.status();
  pool_ = std::move(pool.value());
  if (pool_->copy_was_lost()) {
    health_.Note(LogLevel::kWarning,
                 "one copy of the pool's superblock was torn or damaged: it is written again from the other");
  }
  const std::uint64_t bytes = pool_->media().bytes().size();
  if (bytes > before) {
    health_.Note(LogLevel::kNotice,
                 fmt::format("the pool {} has grown from {} to {} bytes", options_.pool_path, before, bytes));
  } else if (bytes > options_.pool_bytes) {
    health_.Note(LogLevel::kNotice,
                 fmt::format("the pool {} keeps its {} bytes: it does not shrink to faha.pool-bytes, {}",
                             options_.pool_path, bytes, options_.pool_bytes));
  }
  return Status::Ok();
}

Status Node::Start(std::unique_ptr<Media> media) {
  if (Status status = OpenPool(std::move(media)); !status.ok()) return status;
  if (pool_->media().domain() == PersistenceDomain::kVolatile) {
    health_.Note(LogLevel::kWarning,
                 fmt::format("the pool {} is on memory: it survives a crash of the process, not of the machine",
                             options_.pool_path));
  }
  if (pool_->log_key().IsNone()) {
    health_.Note(
        LogLevel::kWarning,
        fmt::format("the pool {} began with an earlier release and its batches are not keyed: who writes values may "
                    "make it unreadable; move all keys to a new cluster when you can",
                    options_.pool_path));
  }
  if (Status status = OpenLog(); !status.ok()) return status;
  engine_ = std::make_unique<Engine>(log_.get(), memory_);
  TendHotTier(clock_->Now());
  cleaner_.emplace(log_.get(), engine_.get());
  self_ = {.id = pool_->node(),
           .host = options_.announce_host,
           .port = options_.peer_port != 0 ? options_.peer_port : options_.port,
           .redis_port = options_.redis_port,
           .pool_bytes = pool_->media().bytes().size(),
           .peer_host = options_.peer_host};
  if (Status status = CheckPeerHost(self_, membership_.members().size() > 1 ? membership_.level() : kHighestLevel);
      !status.ok()) {
    return status;
  }
  // While the log is being received, the members are not known, and this node may have given a lease before.
  const bool alone = !not_whole_ && membership_.members().size() <= 1;
  // A vote of this node for itself proves nothing: another node may have won that epoch and held a lease in it.
  const NodeId leader = pool_->leader();
  voter_.emplace(pool_->promised(), pool_->voted_for(), options_.lease, clock_->Now(),
                 Voter::Forgotten{.nothing = alone || leader == self_.id, .holder = leader});
  if (Status status = OpenFabric(); !status.ok()) return status;
  inquiry_.emplace(fabric_, clock_, &book_, &options_);
  probes_.emplace(fabric_, clock_, &options_);
  committer_.emplace(log_.get(), &membership_, &options_, self_);
  receiver_.emplace(fabric_, clock_, static_cast<BatchSink*>(this),
                    static_cast<std::uint32_t>(pool_->geometry().segment_bytes), options_.fabric == "rdma");
  ReadCheckpointIfAny();
  engine_->Replay(alone ? log_->end().lsn : log_->known_committed());
  if (Status status = CheckDatabases(); !status.ok()) return status;
  if (Status status = not_whole_ ? Status::Ok() : NoteLog(); !status.ok()) return status;
  if (Status status = pool_->media().Health(); !status.ok() && !not_whole_) return status;
  health_.Note(LogLevel::kNotice, fmt::format("recovered {} keys up to LSN {} of epoch {} from {}", engine_->Size(),
                                              log_->end().lsn.value, log_->end().epoch.value, options_.pool_path));
  // A node that was the primary seeks a new epoch; any other node first waits a while to hear of one.
  contact_.Begin(clock_->Now());
  if (!not_whole_ && (alone || pool_->voted_for() == self_.id)) {
    StartCampaign(Epoch{}, Epoch{}, std::chrono::milliseconds::max(), nullptr);
  } else {
    receiver_->Start();
  }
  return health_.failure();
}

// The newer copy of the superblock may be lost, and with it a promise.  A node that is alone has promised nothing to
// others.
Status Node::CheckPromise() {
  const Epoch epoch = log_->end().epoch;
  if (epoch <= pool_->promised()) return Status::Ok();
  if (membership_.members().size() > 1) {
    return {Code::kBadPool, fmt::format("the superblock knows of epoch {}, but the log is of epoch {}: the newer "
                                        "superblock copy is lost; move the pool away and let the node join its cluster "
                                        "again",
                                        pool_->promised().value, epoch.value)};
  }
  health_.Note(LogLevel::kWarning,
               fmt::format("the newer superblock copy is lost: epoch {} is taken from the log", epoch.value));
  return pool_->SetPromise(epoch, pool_->node());
}

void Node::ReadCheckpointIfAny() {
  if (options_.checkpoint_path.empty() || not_whole_) return;
  const Status status = faha::ReadCheckpoint(options_.checkpoint_path, *log_, *engine_);
  if (status.ok()) {
    health_.Note(LogLevel::kNotice, fmt::format("the index is that of the checkpoint {}", options_.checkpoint_path));
  } else if (status.code() != Code::kUnavailable) {
    health_.Note(LogLevel::kNotice, std::string(status.message()));  // no data are affected
  }
}

Status Node::Checkpoint() {
  if (options_.checkpoint_path.empty() || not_whole_ || !health_.ok() || log_->HasOpenBatch() || log_->InUnit())
    return Status::Ok();
  if (standing_.Leading()) engine_->Appended();
  if (engine_->applied() < log_->end().lsn || !engine_->settled()) return Status::Ok();
  if (Status status = log_->Drain(); !status.ok()) return health_.Fail(status);
  return WriteCheckpoint(options_.checkpoint_path, *log_, *engine_);
}

// At a lower level the other nodes are told of the member without its second address, and would look for it at the
// wrong one.
Status Node::CheckPeerHost(const Member& member, FeatureLevel level) {
  if (member.peer_host.empty() || level >= kPeerHostLevel) return Status::Ok();
  return {Code::kPeerVersion,
          fmt::format("faha.peer-host needs feature level {}, and the cluster is at {}: leave it out "
                      "until every member runs a release that offers that level",
                      kPeerHostLevel, level)};
}

// Errors: Corrupt, if there is no peer that can give this node what is damaged; IoError.
Status Node::OpenLog() {
  if (pool_->installing()) {
    // A crash interrupted the install: it starts again.
    const auto source = pool_->InstallSource();
    if (source) book_.SetSeeds({*source});
    if (Status status = pool_->BeginInstall(source.value_or(Endpoint{}), pool_->claim()); !status.ok()) return status;
  }
  auto log = Log::Open(pool_.get(), options_.log);
  if (log.ok()) {
    log_ = std::move(log.value());
    not_whole_ = pool_->installing();
    if (pool_->damaged_at() != Lsn{}) {
      health_.Note(LogLevel::kWarning,
                   "damage was found in this node's log before it was started, and is not there any more");
    }
    Status status = pool_->ForgetDamage();
    if (status.ok()) status = ReadMembership();
    if (status.ok()) status = CheckPeersAreKnown();
    return status.ok() ? CheckPromise() : status;
  }
  if (log.status().code() != Code::kCorrupt) return log.status();
  pool_->CountDamage();
  // The damaged pool stays as it is until a primary has offered a whole log.
  const auto configuration = DecodeConfiguration(NewestConfig(*pool_));
  if (!configuration || configuration->members.size() < 2) return log.status();
  health_.NoteProblem(log.status());
  health_.Note(LogLevel::kWarning, fmt::format("{}; this node asks its peers for all of it", log.status().ToString()));
  membership_.Add(Lsn{}, *configuration);
  log_ = Log::Empty(pool_.get());
  not_whole_ = true;
  return Status::Ok();
}

Status Node::NoteLog() { return log_->known_committed() > Lsn{} ? pool_->NoteLog() : Status::Ok(); }

// So much of the log may be lost that the rest looks like the beginning of a log; but the superblock still knows that
// there are other members.  Otherwise this node would take itself for the only member, and serve beside them.
Status Node::CheckPeersAreKnown() const {
  const auto is_another = [this](const NodeId& id) { return !id.IsNone() && id != pool_->node(); };
  const Members& members = membership_.members();
  const bool names_another =
      std::any_of(members.begin(), members.end(), [&](const Member& member) { return is_another(member.id); });
  if (not_whole_ || names_another || !(is_another(pool_->leader()) || is_another(pool_->voted_for()))) {
    return Status::Ok();
  }
  return {Code::kCorrupt,
          "the log names no other member, but this node has followed or elected another one: data are damaged; restore "
          "this node from its peers (move the pool away and join it again), or save what is readable with faha-check "
          "--extract; nothing was changed"};
}

// Reads every configuration in the log, committed or not: the newest counts.
Status Node::ReadMembership() {
  Status status;
  for (const LocatedBatch& batch : log_->ConfigsAtOpen()) {
    const bool well_formed = batch.view.ForEach([&](const Record& record, std::uint64_t) {
      if (record.kind != format::RecordKind::kConfig || !status.ok()) return;
      status = AddConfiguration(batch.view.lsn(), record.value);
    });
    FAHA_CHECK(well_formed || !pool_->Readable(), "the scan has checked every record");
  }
  return status;
}

// The pool must say that it may hold data of a level before this node acknowledges anything that only this level
// allows.  What this node's device has acknowledged before this call does no harm: this release can read it, and an
// earlier release refuses the configuration itself.
Status Node::AddConfiguration(Lsn lsn, std::string_view record) {
  auto configuration = DecodeConfiguration(record);
  if (!configuration) return {Code::kCorrupt, fmt::format("batch {} holds members that cannot be read", lsn.value)};
  if (configuration->level > options_.feature_level) {
    return {Code::kPoolVersion,
            fmt::format("the cluster is at feature level {}, this release knows levels up to {}: run "
                        "the release of the other nodes, or a later one{}",
                        configuration->level, options_.feature_level, OrRaiseLevel(options_.feature_level))};
  }
  if (Status status = pool_->RaiseLevel(configuration->level); !status.ok()) return status;
  membership_.Add(lsn, std::move(*configuration));
  return Status::Ok();
}

}  // namespace faha
