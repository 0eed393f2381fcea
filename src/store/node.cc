#include "store/node.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "base/system_clock.h"
#include "fabric/make_fabric.h"
#include "pmem/pool_media.h"

namespace faha {

namespace {
// However long the lease: peers that hear nothing for a few seconds take this node for dead.
constexpr MonoTime kMaxHeartbeatPeriod = std::chrono::milliseconds(500);
}  // namespace

Result<std::unique_ptr<Store>> Store::Open(const Options& options, StoreObserver* observer, Env env) {
  std::unique_ptr<Media> media = std::move(env.media);
  if (!media) {
    auto opened = OpenMedia({options.pool_path, options.pool_bytes, options.persistence_domain});
    if (!opened.ok()) return opened.status();
    media = std::move(opened.value());
  }
  auto node = std::make_unique<Node>(options, observer, std::move(env));
  if (Status status = node->Start(std::move(media)); !status.ok()) return status;
  return std::unique_ptr<Store>(std::move(node));
}

Node::Node(const Options& options, StoreObserver* observer, Env env)
    : options_(options), observer_(observer), clock_(env.clock), fabric_(env.fabric) {
  if (clock_ == nullptr) {
    own_clock_ = std::make_unique<SystemClock>();
    clock_ = own_clock_.get();
  }
}

// The fabric, and what it says about RDMA.  Errors: BadConfig; Unavailable - RDMA is required and not there.
Status Node::OpenFabric() {
  if (fabric_ == nullptr) {
    auto made = MakeFabric(options_.fabric, options_.secret, remark_);
    if (!made.ok()) return made.status();
    own_fabric_ = std::move(made.value());
    fabric_ = own_fabric_.get();
  }
  fabric_->SetSpin(options_.rdma_spin);
  if (options_.port == 0) return Status::Ok();
  if (Status status = fabric_->Listen({options_.bind, options_.port}); !status.ok()) return status;
  if (remark_.empty()) remark_ = fabric_->Remark();
  if (!remark_.empty()) Note(LogLevel::kNotice, fmt::format("batches go over TCP: {}", remark_));
  if (fabric_->DataTransport() != Transport::kRdma) return Status::Ok();
  const auto shared = pool_->media().shared();
  // A device's flush reaches what this node calls durable only where stores and their flush are all that it takes.
  const PersistenceDomain domain = pool_->media().domain();
  const bool persistent = domain == PersistenceDomain::kCacheLine || domain == PersistenceDomain::kCpuCache;
  const Status direct =
      shared.empty() ? Status{Code::kUnavailable, "the pool is not on a device DAX"}
                     : fabric_->ShareMemory(shared.subspan(format::kDataOffset), format::kDataOffset, persistent);
  Note(LogLevel::kNotice, direct.ok() ? "batches go over RDMA and land in the pool directly"
                                      : fmt::format("batches go over RDMA and land in a ring: {}", direct.message()));
  return Status::Ok();
}

Node::~Node() {
  if (receiver_) receiver_->Close();
  if (committer_) committer_->End();
}

Status Node::Start(std::unique_ptr<Media> media) {
  auto pool = Pool::Open(std::move(media), options_.segment_bytes);
  if (!pool.ok()) return pool.status();
  pool_ = std::move(pool.value());
  if (pool_->media().domain() == PersistenceDomain::kVolatile) {
    Note(LogLevel::kWarning,
         fmt::format("the pool {} is on memory: it survives a crash of the process, not of the machine",
                     options_.pool_path));
  }
  auto log = Log::Open(pool_.get(), options_.log);
  if (!log.ok()) return log.status();
  log_ = std::move(log.value());
  engine_ = std::make_unique<Engine>(log_.get());
  self_ = {pool_->node(), options_.announce_host, options_.port, options_.redis_port};
  ReadMembership();
  const bool alone = membership_.members().size() <= 1;
  voter_.emplace(pool_->promised(), pool_->voted_for(), options_.lease, clock_->Now(), alone);
  if (Status status = OpenFabric(); !status.ok()) return status;
  committer_.emplace(log_.get(), &membership_, &options_, self_);
  receiver_.emplace(fabric_, clock_, static_cast<BatchSink*>(this),
                    static_cast<std::uint32_t>(pool_->geometry().segment_bytes), options_.fabric == "rdma");
  engine_->ApplyTo(alone ? log_->end().lsn : log_->known_committed());
  Note(LogLevel::kNotice, fmt::format("recovered {} keys up to LSN {} of epoch {} from {}", engine_->Size(),
                                      log_->end().lsn.value, log_->end().epoch.value, options_.pool_path));
  // A node that was the primary seeks a new epoch; any other waits to hear of one.
  if (alone || pool_->voted_for() == self_.id) {
    StartCampaign(false, Epoch{}, std::chrono::milliseconds::max(), nullptr);
  } else {
    receiver_->Start();
  }
  return failure_;
}

// Every configuration in the log, committed or not: the newest counts.
void Node::ReadMembership() {
  LogAddress next;
  const Lsn first = log_->segments().empty() ? Lsn{1} : log_->segments().front().first;
  for (Lsn lsn = first; lsn <= log_->end().lsn; lsn = lsn.Next()) {
    const auto batch = log_->Find(lsn, next);
    next = batch->at + batch->bytes.size();
    if ((batch->view.header().flags & format::kHasConfig) == 0) continue;
    FAHA_CHECK(batch->view.ForEach([&](const Record& record, std::uint64_t) {
      if (record.kind != format::RecordKind::kConfig) return;
      if (auto members = DecodeMembers(record.value)) membership_.Add(lsn, std::move(*members));
    }),
               "the scan has checked every record");
  }
}

// --- The keyspace.

Status Node::CheckServing(Code not_primary) {
  if (!failure_.ok()) return {Code::kFenced, failure_.message()};
  if (role_ != Role::kPrimary) {
    return {not_primary, primary_.id.IsNone() || primary_.id == self_.id
                             ? std::string("this node is not the primary, and none is known yet: ask the other nodes")
                             : fmt::format("this node is a backup: the primary is {}", primary_.Redis().ToString())};
  }
  if (!committer_->Serving()) {
    return {Code::kNoQuorum, "this node was elected and waits for a majority of the members: start their servers"};
  }
  if (committer_->committed() < stalled_until_) {
    return {Code::kNoQuorum, "earlier writes still wait for a majority of the members: start their servers"};
  }
  return LeaseHeld() ? Status::Ok() : RenewLease();
}

Status Node::CheckRead() {
  Status status = CheckServing(Code::kNotPrimary);
  served_reads_ = served_reads_ || status.ok();
  return status;
}

Status Node::CheckWrite(std::uint64_t bytes, std::uint64_t records) {
  if (Status status = CheckServing(Code::kReadOnly); !status.ok()) return status;
  constexpr std::uint64_t kOverhead = sizeof(format::RecordHeader) + sizeof(TimeMs) + format::kRecordAlign;
  return log_->HasRoom(bytes + records * kOverhead) ? Status::Ok() : log_->Full();
}

std::optional<Entry> Node::Get(DbId db, std::string_view key) { return engine_->Get(db, key); }

Status Node::Put(DbId db, std::string_view key, std::string_view value, TimeMs expire_at) {
  ++records_;
  record_bytes_ += key.size() + value.size();
  return AfterWrite(engine_->Put(db, key, value, expire_at));
}

Status Node::Delete(DbId db, std::string_view key) {
  ++records_;
  record_bytes_ += key.size();
  return AfterWrite(engine_->Delete(db, key));
}

Status Node::Flush(std::optional<DbId> db) { return AfterWrite(engine_->Flush(db)); }

// A batch that filled up in the middle of a unit was sealed by the log: it ships while the rest is written.
Status Node::AfterWrite(Status status) {
  unacknowledged_ = true;
  if (status.code() == Code::kIoError) return Fail(status);
  if (committer_->active()) committer_->Pump(voter_->promised());
  return status;
}

// --- Commit.

void Node::EndUnit() {
  log_->EndUnit();
  if (log_->OpenBatchBytes() < options_.batch_bytes || role_ != Role::kPrimary) return;
  if (Status status = log_->Seal(); !status.ok()) {
    (void)Fail(status);
    return;
  }
  committer_->Pump(voter_->promised());
}

Status Node::Commit() {
  const bool wrote = unacknowledged_;
  const bool read = served_reads_;
  if (!wrote && !read) return Status::Ok();
  unacknowledged_ = served_reads_ = false;
  Status status = failure_;
  if (status.ok() && role_ != Role::kPrimary) {
    status = {Code::kFenced,
              "this node was deposed before the write was persistent on a majority: its outcome is unknown"};
  }
  if (status.ok() && wrote) status = PersistOpenBatch();
  if (status.ok() && wrote) status = WaitAcknowledged();
  // Acknowledgements of this turn's batch prove as much as a lease: that no other primary was elected before.
  if (status.ok() && read && !wrote && !LeaseHeld()) status = RenewLease();
  if (status.ok() && wrote) ++commits_;
  if (!status.ok()) {
    ++commit_failures_;
    Remember(status);
  }
  return status;
}

// The wire is the slowest, so it goes first: the backups persist while this node does.
Status Node::PersistOpenBatch() {
  if (Status status = log_->Seal(); !status.ok()) return Fail(status);
  committer_->Pump(voter_->promised());
  if (Status status = log_->Drain(); !status.ok()) return Fail(status);
  Progress();
  return Status::Ok();
}

Status Node::WaitAcknowledged() {
  const Lsn lsn = log_->end().lsn;
  const Epoch epoch = voter_->promised();
  MonoTime deadline = clock_->Now() + options_.persist_timeout;
  while (!committer_->Acknowledged(lsn)) {
    if (clock_->Now() >= deadline) {
      for (const Endpoint& slow : committer_->GiveUpOn(lsn)) {
        Note(LogLevel::kWarning,
             fmt::format("the backup {} did not persist within {} ms: commits no longer wait for it", slow.ToString(),
                         options_.persist_timeout.count()));
      }
      if (committer_->Acknowledged(lsn)) break;
      stalled_until_ = lsn;
      return {Code::kNoQuorum, "the write is not persistent on a majority of the members: its outcome is unknown"};
    }
    WaitForPeers(deadline);
    if (role_ != Role::kPrimary || voter_->promised() != epoch) {
      return {Code::kFenced,
              "this node was deposed before the write was persistent on a majority: its outcome is unknown"};
    }
  }
  return Status::Ok();
}

// Lets peers speak for a while; ticks go on, for the main loop does not run meanwhile.
void Node::WaitForPeers(MonoTime deadline) {
  const auto left = std::min<MonoTime>(deadline - clock_->Now(), kTickPeriod);
  fabric_->Poll(std::max(left, MonoTime{0}), *this);
  Tick();
}

Status Node::RenewLease() {
  const Status lost{Code::kNoQuorum,
                    "a majority of the members does not answer: reads and writes wait for their return"};
  if (lease_lost_) return lost;
  const MonoTime deadline = clock_->Now() + options_.persist_timeout;
  committer_->Heartbeat(clock_->Now());
  while (role_ == Role::kPrimary && !LeaseHeld() && clock_->Now() < deadline) WaitForPeers(deadline);
  if (role_ == Role::kPrimary && LeaseHeld()) return Status::Ok();
  // From here on callers are refused at once, until a majority is heard again.
  lease_lost_ = true;
  return lost;
}

Status Node::Fail(Status status) {
  if (!failure_.ok()) return failure_;
  failure_ = {Code::kFenced, fmt::format("this node has stopped serving: {}", status.ToString())};
  Note(LogLevel::kWarning, failure_.ToString());
  role_ = Role::kBackup;
  committer_->End();
  receiver_->Stop();
  campaign_.reset();
  Answer(failure_);
  return failure_;
}

void Node::Remember(const Status& problem) {
  if (problem.message() != last_noted_) Note(LogLevel::kWarning, problem.ToString());
  last_noted_ = problem.message();
  last_problem_ = problem;
}

void Node::Tick() {
  if (!failure_.ok()) return;
  const MonoTime now = clock_->Now();
  if (committer_->active() && now >= next_heartbeat_) {
    next_heartbeat_ = now + std::min<MonoTime>(options_.lease / 5, kMaxHeartbeatPeriod);
    committer_->Heartbeat(now);
  }
  fabric_->SetSpin(options_.rdma_spin);
  receiver_->OnTick();
  StepCampaign();
  Progress();
  DropSilentGuests();
}

}  // namespace faha
