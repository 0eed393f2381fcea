#include "store/replica.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/mutant.h"

namespace faha {

namespace {
// The part of each tick in which memory is given back, after faha.hot-bytes was lowered or a database was flushed.
constexpr MonoTime kMaxShrinkTime = std::chrono::milliseconds(1);
}  // namespace

LogEnd Replica::VouchedEnd() const {
  if (!not_whole_) return log_->end();
  if (pool_->installing()) return pool_->claim();
  return end_unknown_ ? kUnknownClaim : log_->end();  // damage found at run time leaves the end known
}

Status Replica::CheckDatabases() const {
  const std::uint32_t needed = engine_->Databases();
  if (needed <= options_->databases) return Status::Ok();
  return {Code::kBadConfig,
          fmt::format("databases is {}, but database {} holds keys, which nobody would see and FLUSHALL would erase: "
                      "set databases to {} or more and start the server again; no key was changed",
                      options_->databases, needed - 1, needed)};
}

// A backup goes on as a copy, which is as good as any other copy, but it does not lead.  The clients of a primary
// cannot write to databases that they cannot read, so the answer does not change during its term.
void Replica::LookAtDatabases() {
  Status status = CheckDatabases();
  if (!std::exchange(hides_, !status.ok()) && !status.ok()) health_->Remember(status);
}

// What was misread must not be told to anybody, and a log that is misread is no copy.  A log that is already known to
// be damaged is not read any more: it waits for a primary that sends all of it again, and then the pool drops the parts
// that cannot be read.
Status Replica::CheckMedium() {
  const Status health = pool_->media().Health();
  const bool given_up = not_whole_ && !pool_->installing();
  return health.ok() || given_up ? Status::Ok() : health_->Fail(health);
}

// Records the damage in the pool, before anybody can restart this node, which would not remember the damage.
void Replica::RecordDamage() {
  if (!health_->ok() || not_whole_ || pool_->damage().ok()) return;
  if (Status status = pool_->RecordDamage(log_->end()); !status.ok()) (void)health_->Fail(status);
}

// From now on a damaged log is no longer this node's log: what it would tell its peers about it may be misread.
void Replica::GiveUpDamaged() {
  if (not_whole_ || pool_->damage().ok()) return;
  health_->Note(LogLevel::kWarning, "this node gives up its log, which is damaged, and asks its peers for all of it");
  health_->NoteProblem(pool_->damage());
  not_whole_ = true;
}

void Replica::Committed(Lsn lsn) {
  log_->SetCommitted(lsn);
  engine_->Committed(lsn);
  membership_.Committed(lsn);
}

void Replica::ForgetCommittedBehind(Lsn end) {
  if (!Mutated(Mutant::kHearsTheLeft)) heard_committed_ = std::min(heard_committed_, end);
}

bool Replica::forked_off() const { return pool_->forked_off() && !Mutated(Mutant::kForkedOffElects); }

Status Replica::CheckForkedOff() const {
  if (!forked_off()) return Status::Ok();
  return {Code::kForked,
          "a node was forced to lead without this one, whose log holds writes that it never received: save them with "
          "faha-check --extract and let this node join with an empty pool, or FAHA.PROMOTE FORCE here if these are the "
          "writes that count"};
}

Status Replica::SetForkedOff(bool forked_off) {
  const Status status = pool_->SetForkedOff(forked_off);
  return status.ok() ? status : health_->Fail(status);
}

Status Replica::AppendConfiguration(Configuration next, Head head) {
  Status status = pool_->RaiseLevel(next.level);
  if (status.ok())
    status = log_->Append({.kind = format::RecordKind::kConfig, .key = {}, .value = Encode(next)}, head).status();
  if (status.ok()) status = log_->Seal();
  if (!status.ok()) return status;
  log_->LimitSegments(SegmentsOf(next.members));
  membership_.Add(log_->end().lsn, std::move(next));
  engine_->Appended();
  return Status::Ok();
}

// Records that were not sealed exist nowhere else, and a unit that was not ended will never end: the index must not
// show them.
void Replica::DropUnsealed() {
  engine_->Appended();
  if (!log_->HasOpenBatch() && !log_->InUnit()) return;
  engine_->RollBackTo(log_->end().lsn);
  (void)log_->CutAfter(log_->end().lsn);  // this changes only the open batch
}

// The number of segments that the pools of all members have, connected or not.  A primary uses no others, because its
// batches land at the same addresses.  Pools only grow, so this never falls from one configuration in the log to the
// next.
std::uint32_t Replica::SegmentsOf(const Members& members) const {
  std::uint64_t smallest = UINT64_MAX;
  for (const Member& member : members) smallest = std::min(smallest, member.pool_bytes);
  return SegmentsThatFit(smallest, pool_->geometry().segment_bytes);
}

std::uint64_t Replica::UsableSegments() const {
  return std::min(pool_->geometry().segment_count, SegmentsOf(membership_.members()));
}

Status Replica::Land(const wire::Batch& batch, std::span<const std::byte> bytes) {
  if (Status status = log_->Land(batch.at, bytes); !status.ok()) {
    return status.code() == Code::kProtocol ? status : health_->Fail(status);
  }
  heard_committed_ = std::max({heard_committed_, batch.committed, log_->known_committed()});
  const auto view = BatchView::Trusted(bytes.data());
  if ((view.header().flags & format::kHasConfig) != 0) {
    Status status;
    FAHA_CHECK(view.ForEach([&](const Record& record, std::uint64_t) {
      if (record.kind != format::RecordKind::kConfig || !status.ok()) return;
      status = AddConfiguration(view.lsn(), record.value);
    }),
               "Land has checked every record");
    if (!status.ok()) return health_->Fail(status);
  }
  return Status::Ok();
}

Status Replica::AllowGap(const Member& source, Lsn whole_at, std::span<const std::uint64_t> in_use) {
  if (!not_whole_) {
    health_->Note(LogLevel::kNotice,
                  fmt::format("batch {} of {} was cleaned away before it came: this log is whole again at LSN "
                              "{}",
                              log_->end().lsn.value + 1, source.Redis().ToString(), whole_at.value));
    if (Status status = pool_->GoOnInstalling(source.Replication(), log_->end()); !status.ok())
      return health_->Fail(status);
    not_whole_ = true;
  }
  whole_at_ = whole_at;
  log_->AllowGap();
  engine_->LogHasGaps();
  if (Mutated(Mutant::kGapHidesFrees)) return Status::Ok();
  const Status status = log_->ReleaseUnlisted(in_use, whole_at, [&](const Segment& segment) { Leave(segment); });
  return status.ok() ? status : health_->Fail(status);
}

Status Replica::CutAfter(Lsn keep) {
  if (engine_->applied() > keep) engine_->RollBackTo(keep);
  if (Status status = log_->CutAfter(keep); !status.ok()) return health_->Fail(status);
  engine_->LogWasCut();
  ForgetCommittedBehind(keep);
  membership_.CutAfter(keep);
  return Status::Ok();
}

// The source no longer has the batch that comes next in this node's log, so this node takes everything that the source
// holds.  Until all of it is here, this node does not count as a copy, and votes as a node whose log ends where its old
// log ended: see campaign.h.
Status Replica::BeginInstall(const Member& source) {
  const LogEnd claim = VouchedEnd();
  if (claim > LogEnd{})
    health_->Note(LogLevel::kNotice, fmt::format("taking the whole log of {}", source.Redis().ToString()));
  not_whole_ = true;
  whole_at_ = Lsn{~0ULL};
  if (Status status = pool_->BeginInstall(source.Replication(), claim); !status.ok()) return health_->Fail(status);
  Empty();
  membership_.Rebase();
  return Status::Ok();
}

void Replica::Empty() {
  log_->Reset();
  engine_->RollBackTo(Lsn{});
  heard_committed_ = Lsn{};
}

Status Replica::EndInstallIfWhole() {
  if (!pool_->installing() || log_->durable() < whole_at_) return Status::Ok();
  if (!pool_->damage().ok()) return pool_->damage();
  if (!log_->AddsUp()) {
    pool_->NoteDamage({Code::kCorrupt, "what the primary has given does not add up to its last batch"});
    return pool_->damage();
  }
  if (Status status = log_->EraseResidue(); !status.ok()) return health_->Fail(status);
  if (Status status = pool_->EndInstall(); !status.ok()) return health_->Fail(status);
  if (Status status = NoteLog(); !status.ok()) return health_->Fail(status);
  not_whole_ = end_unknown_ = false;
  engine_->LogIsWhole();
  health_->Note(LogLevel::kNotice, "the log is whole");
  return Status::Ok();
}

Status Replica::Join(const wire::FollowReply& reply) {
  Status status = pool_->Adopt(reply.cluster, {reply.segment_bytes, reply.segment_count, reply.granule}, reply.log_key,
                               reply.primary.Replication());
  if (!status.ok()) return status.code() == Code::kIoError ? health_->Fail(status) : status;
  Empty();
  membership_.Reset();
  not_whole_ = true;
  return Status::Ok();
}

bool Replica::Release(Lsn committed, const std::function<bool(const Segment&)>& claimed) {
  const std::uint32_t free = log_->segments().free();
  const Status status = log_->Release(committed, [&](const Segment& segment) {
    if (claimed(segment)) return false;
    Leave(segment);
    return true;
  });
  if (!status.ok()) (void)health_->Fail(status);
  return log_->segments().free() > free;
}

void Replica::Leave(const Segment& segment) {
  if (pool_->installing()) engine_->DropNamed(segment);
  engine_->Forget(segment.index);
}

void Replica::TendHotTier(MonoTime now) {
  // A limit above the size of the pool is of no use, and a part of the limit is allocated at once.
  engine_->SetHotBytes(std::min<std::uint64_t>(options_->hot_bytes, pool_->media().bytes().size()));
  while (engine_->Tend() && clock_->Now() < now + kMaxShrinkTime) {
  }
}

}  // namespace faha
