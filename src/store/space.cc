#include "store/space.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/mutant.h"

namespace faha {

namespace {
// The time that cleaning may take in one turn: no piece is begun after it.
constexpr MonoTime kMaxTurn = std::chrono::microseconds(700);
// How much the cleaner looks at in a turn without hurry, or when nothing else tells how much.
constexpr std::uint64_t kTurnBytes = 12 * Cleaner::kPieceBytes;
// The part of the segments that is live data when the pool is full: measured, 92 to 99 with values of 10 B to 200 kB.
constexpr std::uint64_t kDensePercent = 97;
// What is neither key nor value in a record, on average; an element's record also names its collection.
constexpr std::uint64_t kOwnBytes = sizeof(format::RecordHeader) + format::kRecordAlign / 2;
constexpr std::uint64_t kElementOwnBytes = kOwnBytes + format::kCollectionIdBytes;
// A receiver that has acknowledged nothing for so long is given up, as a receiver gives up a source that is silent for
// so long.
constexpr MonoTime kReceiverPatience = std::chrono::seconds(3);
}  // namespace

Space::Space(const PartContext& shared, Committer* committer, Primary* primary)
    : options_(shared.options),
      clock_(shared.clock),
      health_(shared.health),
      standing_(shared.standing),
      replica_(shared.replica),
      pool_(&shared.replica->pool()),
      log_(&shared.replica->log()),
      engine_(&shared.replica->engine()),
      committer_(committer),
      primary_(primary),
      cleaner_(log_, engine_) {}

// Moved records become durable, and are acknowledged, with the next turn's batch or at the next tick: nobody waits for
// them.
void Space::Clean(bool idle) {
  if (!health_->ok() || !standing_->Leading() || !committer_->Serving()) return;
  ReleaseFreed();
  if (log_->HasOpenBatch() || log_->InUnit() || !(cleaner_.victim() || cleaner_.Needed())) {
    sealed_before_ = log_->sealed_bytes();
    owed_ = 0;
    return;
  }
  // Victims are given back as fast as clients fill segments; work that does not fit into this turn is left for the next
  // turns.
  owed_ += cleaner_.Share(log_->sealed_bytes() - sealed_before_);
  if (idle || cleaner_.Pressed()) owed_ = std::max(owed_, kTurnBytes);
  const MonoTime end = clock_->Now() + kMaxTurn;
  Status status;
  bool worked = true;
  while (status.ok() && worked && owed_ > 0 && clock_->Now() < end) {
    const std::uint64_t piece = std::min(owed_, Cleaner::kPieceBytes);
    status = CleanStep(piece, false, worked);
    owed_ -= piece;
  }
  sealed_before_ = log_->sealed_bytes();
  if (!status.ok()) (void)health_->Fail(status);
}

// There may be no next turn: if space is short, it is this drain that allows segments to be given back.
void Space::DrainSealed() {
  if (!health_->ok() || !standing_->Leading() || log_->durable() == log_->end().lsn) return;
  if (Mutated(Mutant::kFullForEver) && log_->pending_frees() > 0) return;
  if (Status status = log_->Drain(); !status.ok()) {
    (void)health_->Fail(status);
    return;
  }
  primary_->Progress();
}

Status Space::CleanStep(std::uint64_t bytes, bool hurried, bool& worked) {
  worked = false;
  // Freed segments must be given back, once their frees are committed, before the reserve is filled with more moves:
  // otherwise the cleaner would take the space for which clients wait.
  if (log_->pending_frees() > 0 && log_->segments().free() < Log::kReservedSegments) return Status::Ok();
  cleaner_.SetConfig(replica_->membership().newest());
  if (cleaner_.WantsConfig() && !replica_->membership().ChangePending(committer_->committed())) {
    // If the victim holds the newest configuration, the configuration is written again, to the head to which the
    // cleaner writes.
    Configuration again = primary_->With(replica_->members());
    const auto head = cleaner_.HeadFor(format::RecordBytes(0, Encode(again).size(), false));
    if (!head.ok()) return head.status();
    if (Status status = primary_->AppendConfiguration(std::move(again), *head); !health_->ok()) return status;
    cleaner_.SetConfig(replica_->membership().newest());
  }
  const bool wanted = cleaner_.WantsConfig();
  const auto step = cleaner_.Step(bytes, committer_->committed(), committer_->Everywhere(), hurried);
  engine_->Appended();
  if (!step.ok()) return step.status();
  // If the chosen victim holds the newest configuration, the next step writes it: this counts as work, too.
  worked = *step || (!wanted && cleaner_.WantsConfig());
  primary_->Ship();
  return Status::Ok();
}

void Space::ReleaseFreed() {
  if (log_->pending_frees() == 0) return;
  const bool primary = standing_->Leading();
  const Lsn committed = Mutated(Mutant::kReusesEarly) && primary ? log_->durable()
                        : primary                                ? committer_->committed()
                                  : std::min(replica_->heard_committed(), engine_->applied());
  if (primary && !Mutated(Mutant::kStalledReceiverStays)) DropStalled();
  const bool more = replica_->Release(
      committed, [&](const Segment& segment) { return committer_->Claimed(segment.first, segment.last); });
  // Now a writer may find room, even if later as many segments are free as there were when the last attempt failed.
  if (more && !Mutated(Mutant::kFullForEver)) futile_.reset();
}

// A receiver that acknowledges nothing must not keep the others from reusing space.  If space is short, it is dropped
// sooner.
void Space::DropStalled() {
  const MonoTime patience = cleaner_.SpaceIsShort() ? MonoTime{options_->persist_timeout} : kReceiverPatience;
  primary_->NoteLost(committer_->DropStalled(clock_->Now(), patience),
                     "it acknowledges nothing; it is sent what it lacks when it connects again");
}

Status Space::Full() {
  Status full = log_->Full();
  health_->Remember(full);
  return full;
}

Status Space::UnitIsTooLarge() {
  const Status large{Code::kNoSpace,
                     "the pool has no room for all that this command, transaction or script writes, because nothing is "
                     "cleaned before it ends: write less at once, or raise faha.pool-bytes on every node"};
  health_->Remember(large);
  return large;
}

std::pair<std::uint32_t, std::uint64_t> Space::FreeAndLive() const {
  return {log_->segments().free(), engine_->usage().live_bytes()};
}

// The room for live data in all segments except the reserve, when they are filled by the cleaner, less the data that
// are there.  Of that room, only the part counts that keys and values have in the data that are there.
std::uint64_t Space::WritableBytes() const {
  const std::uint64_t segments = replica_->UsableSegments();
  if (futile_ == FreeAndLive() || segments <= Log::kReservedSegments) return 0;
  const std::uint64_t most =
      (segments - Log::kReservedSegments) * pool_->geometry().segment_bytes / 100 * kDensePercent;
  const std::uint64_t taken = engine_->usage().live_bytes() + engine_->usage().tombstone_bytes();
  const std::uint64_t room = most > taken ? most - taken : 0;
  const std::uint64_t live = engine_->usage().live_bytes();
  const std::uint64_t own = engine_->Size() * kOwnBytes + engine_->collection_totals().elements * kElementOwnBytes;
  return live <= own ? room : room / 100 * (100 * (live - own) / live);
}

// The last resort of a writer that is faster than the slices of cleaning: its own call cleans until there is room.  As
// a commit does, it lets peers speak meanwhile and gives up at a deadline.
Status Space::MakeRoom(std::uint64_t bytes, std::uint32_t reserve) {
  if (log_->HasRoom(bytes, reserve)) return Status::Ok();
  // Records of a unit must not be committed before its end, so no space can be gained in the middle of a unit.  The
  // unit may use one of the reserved segments to come to its end.
  if (log_->InUnit()) return reserve > 1 && log_->HasRoom(bytes, reserve - 1) ? Status::Ok() : UnitIsTooLarge();
  // Nothing is cleaned any more: see Node::TendDamage().
  if (!pool_->damage().ok()) return pool_->damage();
  // An attempt that gained nothing is not repeated until something has changed: writers are refused at once.
  if (futile_ == FreeAndLive()) return Full();
  const MonoTime deadline = clock_->Now() + options_->persist_timeout;
  // If the whole pool was cleaned twice without gaining the room, this is as futile as a deadline that has passed.
  std::uint32_t attempts = 2 * log_->segments().count();
  while (!log_->HasRoom(bytes, reserve)) {
    bool worked = false;
    const auto before = FreeAndLive();
    const Lsn committed = committer_->committed();
    if (Status status = GainSegment(worked); !status.ok()) return status;
    worked = worked || FreeAndLive() != before;
    if (log_->HasRoom(bytes, reserve)) break;
    // What this turn has written cannot be a victim before it is committed; an attempt commits it.
    if (!pool_->damage().ok()) return pool_->damage();
    const bool waits = log_->pending_frees() > 0 || committer_->committed() < log_->end().lsn ||
                       committer_->committed() > committed ||
                       replica_->membership().ChangePending(committer_->committed());
    if ((!worked && !waits) || clock_->Now() >= deadline || (worked && --attempts == 0)) {
      futile_ = FreeAndLive();
      return Full();
    }
    if (!worked) primary_->WaitForPeers(deadline);
    if (!standing_->Leading() || !health_->ok()) return primary_->CheckServing(Code::kReadOnly);
  }
  return Status::Ok();
}

// Cleans until a victim is freed, or for as long as a tick, and commits the result.  `worked`: something was cleaned.
Status Space::GainSegment(bool& worked) {
  const MonoTime end = clock_->Now() + Store::kTickPeriod;
  const std::size_t pending = log_->pending_frees();
  Status status = log_->Seal();
  for (bool goes_on = true; status.ok() && goes_on && clock_->Now() < end && log_->pending_frees() == pending;) {
    status = CleanStep(Cleaner::kPieceBytes, true, goes_on);
    worked = worked || goes_on;
  }
  if (!status.ok()) return health_->Fail(status);
  if (status = primary_->PersistOpenBatch(); !status.ok()) return status;
  primary_->HearPeers();
  ReleaseFreed();
  return health_->failure();
}

void Space::Abandon() {
  cleaner_.Abandon();
  futile_.reset();
}

}  // namespace faha
