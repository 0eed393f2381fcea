// Opening what this node holds.  See replica.h.
#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "log/scan.h"
#include "store/checkpoint.h"
#include "store/replica.h"

namespace faha {

Status Replica::Open(std::unique_ptr<Media> media, std::pmr::memory_resource* memory) {
  if (Status status = OpenPool(std::move(media)); !status.ok()) return status;
  if (pool_->media().domain() == PersistenceDomain::kVolatile) {
    health_->Note(LogLevel::kWarning,
                  fmt::format("the pool {} is on memory: it survives a crash of the process, not of the machine",
                              options_->pool_path));
  }
  if (pool_->log_key().IsNone()) {
    health_->Note(
        LogLevel::kWarning,
        fmt::format("the pool {} began with an earlier release and its batches are not keyed: who writes values may "
                    "make it unreadable; move all keys to a new cluster when you can",
                    options_->pool_path));
  }
  if (Status status = OpenLog(); !status.ok()) return status;
  engine_ = std::make_unique<Engine>(log_.get(), memory);
  TendHotTier(clock_->Now());
  return Status::Ok();
}

Status Replica::Recover(bool alone) {
  ReadCheckpointIfAny();
  engine_->Replay(alone ? log_->end().lsn : log_->known_committed());
  if (Status status = CheckDatabases(); !status.ok()) return status;
  if (Status status = not_whole_ ? Status::Ok() : NoteLog(); !status.ok()) return status;
  if (Status status = pool_->media().Health(); !status.ok() && !not_whole_) return status;
  health_->Note(LogLevel::kNotice, fmt::format("recovered {} keys up to LSN {} of epoch {} from {}", engine_->Size(),
                                               log_->end().lsn.value, log_->end().epoch.value, options_->pool_path));
  return Status::Ok();
}

// Opens the pool, and makes it as large as faha.pool-bytes says, unless it is larger already.
Status Replica::OpenPool(std::unique_ptr<Media> media) {
  const std::uint64_t before = media->bytes().size();
  auto pool = Pool::Open(std::move(media), options_->segment_bytes, options_->pool_bytes, options_->feature_level);
  if (!pool.ok()) return pool.status();
  pool_ = std::move(pool.value());
  if (pool_->copy_was_lost()) {
    health_->Note(LogLevel::kWarning,
                  "one copy of the pool's superblock was torn or damaged: it is written again from the other");
  }
  const std::uint64_t bytes = pool_->media().bytes().size();
  if (bytes > before) {
    health_->Note(LogLevel::kNotice,
                  fmt::format("the pool {} has grown from {} to {} bytes", options_->pool_path, before, bytes));
  } else if (bytes > options_->pool_bytes) {
    health_->Note(LogLevel::kNotice,
                  fmt::format("the pool {} keeps its {} bytes: it does not shrink to faha.pool-bytes, {}",
                              options_->pool_path, bytes, options_->pool_bytes));
  }
  return Status::Ok();
}

Status Replica::OpenLog() {
  if (pool_->installing()) {
    // A crash interrupted the install: it starts again.
    const Endpoint source = pool_->InstallSource().value_or(Endpoint{});
    if (Status status = pool_->BeginInstall(source, pool_->claim()); !status.ok()) return status;
  }
  auto log = Log::Open(pool_.get(), options_->log);
  if (log.ok()) {
    log_ = std::move(log.value());
    not_whole_ = pool_->installing();
    if (pool_->damaged_at() != Lsn{}) {
      health_->Note(LogLevel::kWarning,
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
  health_->NoteProblem(log.status());
  health_->Note(LogLevel::kWarning, fmt::format("{}; this node asks its peers for all of it", log.status().ToString()));
  membership_.Add(Lsn{}, *configuration);
  log_ = Log::Empty(pool_.get());
  not_whole_ = end_unknown_ = true;
  return Status::Ok();
}

// The newer copy of the superblock may be lost, and with it a promise.  A node that is alone has promised nothing to
// others.
Status Replica::CheckPromise() {
  const Epoch epoch = log_->end().epoch;
  if (epoch <= pool_->promised()) return Status::Ok();
  if (membership_.members().size() > 1) {
    return {Code::kBadPool, fmt::format("the superblock knows of epoch {}, but the log is of epoch {}: the newer "
                                        "superblock copy is lost; move the pool away and let the node join its cluster "
                                        "again",
                                        pool_->promised().value, epoch.value)};
  }
  health_->Note(LogLevel::kWarning,
                fmt::format("the newer superblock copy is lost: epoch {} is taken from the log", epoch.value));
  return pool_->SetPromise(epoch, pool_->node());
}

// So much of the log may be lost that the rest looks like the beginning of a log; but the superblock still knows that
// there are other members.  Otherwise this node would take itself for the only member, and serve beside them.
Status Replica::CheckPeersAreKnown() const {
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
Status Replica::ReadMembership() {
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
Status Replica::AddConfiguration(Lsn lsn, std::string_view record) {
  auto configuration = DecodeConfiguration(record);
  if (!configuration) return {Code::kCorrupt, fmt::format("batch {} holds members that cannot be read", lsn.value)};
  if (configuration->level > options_->feature_level) {
    return {Code::kPoolVersion,
            fmt::format("the cluster is at feature level {}, this release knows levels up to {}: run "
                        "the release of the other nodes, or a later one{}",
                        configuration->level, options_->feature_level, OrRaiseLevel(options_->feature_level))};
  }
  if (Status status = pool_->RaiseLevel(configuration->level); !status.ok()) return status;
  membership_.Add(lsn, std::move(*configuration));
  return Status::Ok();
}

Status Replica::NoteLog() { return log_->known_committed() > Lsn{} ? pool_->NoteLog() : Status::Ok(); }

void Replica::ReadCheckpointIfAny() {
  if (options_->checkpoint_path.empty() || not_whole_) return;
  const Status status = faha::ReadCheckpoint(options_->checkpoint_path, *log_, *engine_);
  if (status.ok()) {
    health_->Note(LogLevel::kNotice, fmt::format("the index is that of the checkpoint {}", options_->checkpoint_path));
  } else if (status.code() != Code::kUnavailable) {
    health_->Note(LogLevel::kNotice, std::string(status.message()));  // no data are affected
  }
}

Status Replica::Checkpoint(bool leads) {
  if (options_->checkpoint_path.empty() || not_whole_ || !health_->ok() || log_->HasOpenBatch() || log_->InUnit())
    return Status::Ok();
  if (leads) engine_->Appended();
  if (engine_->applied() < log_->end().lsn || !engine_->settled()) return Status::Ok();
  if (Status status = log_->Drain(); !status.ok()) return health_->Fail(status);
  return WriteCheckpoint(options_->checkpoint_path, *log_, *engine_);
}

}  // namespace faha
