// Space: cleaning, and giving segments back.  See node.h.
#include <algorithm>

#include "store/node.h"

namespace faha {

namespace {
// What one turn's cleaning may take: pieces are begun until then.
constexpr MonoTime kMaxTurn = std::chrono::microseconds(700);
// What it looks at where there is no hurry, or nothing else to go by.
constexpr std::uint64_t kTurnBytes = 12 * Cleaner::kPieceBytes;
}  // namespace

// What is moved becomes durable, and is acknowledged, with the next turn's batch: nobody waits for it.  When idle there
// is no next turn, so it is drained here.
void Node::Clean(bool idle) {
  if (!failure_.ok() || role_ != Role::kPrimary || !committer_->Serving()) return;
  ReleaseFreed();
  if (log_->HasOpenBatch() || log_->InUnit() || !(cleaner_->victim() || cleaner_->Needed())) {
    sealed_before_ = log_->sealed_bytes();
    cleaning_owed_ = 0;
    return;
  }
  // As fast as clients fill segments, victims give them back; what does not fit into this turn is for the next ones.
  cleaning_owed_ += cleaner_->Share(log_->sealed_bytes() - sealed_before_);
  if (idle || cleaner_->Pressed()) cleaning_owed_ = std::max(cleaning_owed_, kTurnBytes);
  const MonoTime end = clock_->Now() + kMaxTurn;
  Status status;
  bool worked = true, any = false;
  while (status.ok() && worked && cleaning_owed_ > 0 && clock_->Now() < end) {
    const std::uint64_t piece = std::min(cleaning_owed_, Cleaner::kPieceBytes);
    status = CleanStep(piece, worked);
    cleaning_owed_ -= piece;
    any = any || worked;
  }
  if (status.ok() && idle && any) status = log_->Drain();
  sealed_before_ = log_->sealed_bytes();
  if (!status.ok()) {
    (void)Fail(status);
  } else if (idle && any) {
    Progress();
  }
}

Status Node::CleanStep(std::uint64_t bytes, bool& worked) {
  cleaner_->SetConfig(membership_.newest());
  if (cleaner_->WantsConfig()) {
    if (!membership_.ChangePending(committer_->committed())) (void)AppendMembers(membership_.members());
    if (!failure_.ok()) return failure_;
    cleaner_->SetConfig(membership_.newest());
  }
  const auto step = cleaner_->Step(bytes, committer_->committed(), committer_->Everywhere());
  engine_->Appended();
  if (!step.ok()) return step.status();
  worked = *step;
  Ship();
  return Status::Ok();
}

void Node::ReleaseFreed() {
  if (log_->pending_frees() == 0) return;
  const bool primary = role_ == Role::kPrimary;
  const Lsn committed = Mutated(Mutant::kReusesEarly) && primary ? log_->durable()
                        : primary                                ? committer_->committed()
                                                                 : std::min(heard_committed_, engine_->applied());
  const Status status = log_->Release(committed, [&](const Segment& segment) {
    // The wire still reads what is under way to somebody.
    if (!committer_->NobodyReads(segment.first, segment.last)) return false;
    engine_->Forget(segment.index);
    return true;
  });
  if (!status.ok()) (void)Fail(status);
}

// The last resort of a writer that is faster than the slices: its own call cleans until there is room.
Status Node::MakeRoom(std::uint64_t bytes, std::uint32_t reserve) {
  while (!log_->HasRoom(bytes, reserve)) {
    // What a unit has written must not be committed before its end.
    if (log_->InUnit()) return log_->Full();
    bool worked = false;
    Status status = log_->Seal();
    if (status.ok()) status = CleanStep(pool_->geometry().segment_bytes, worked);
    if (!status.ok()) return Fail(status);
    if (!worked && log_->pending_frees() == 0) return log_->Full();
    status = PersistOpenBatch();
    if (status.ok()) status = WaitAcknowledged();
    if (!status.ok()) return status;
    const std::size_t pending = log_->pending_frees();
    ReleaseFreed();
    if (!worked && log_->pending_frees() == pending) return log_->Full();
  }
  return Status::Ok();
}

}  // namespace faha
