// The turn and its commit.  See primary.h.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/mutant.h"
#include "store/primary.h"

namespace faha {

// This node may lead again, but what the turn, and perhaps the unit, wrote before is gone: nothing may be added to it.
Status Primary::DeposedInTurn() {
  return {Code::kFenced, "this node was deposed since the turn began: what it has written may be lost"};
}

Status Primary::CheckChange() const {
  if (turn_.deposed()) return DeposedInTurn();
  return engine_->misread() ? pool_->damage() : Status::Ok();
}

// A change that wrote nothing still told something: that a key or a database is empty, as a read would.
// A batch that filled up in the middle of a unit was sealed by the log: it is shipped while the rest of the unit is
// written.
Status Primary::Changed(std::uint64_t appended, Status status) {
  if (log_->appended() != appended || Mutated(Mutant::kNothingProves)) {
    turn_.Wrote();
  } else {
    turn_.Read();
  }
  if (status.code() == Code::kIoError) return health_->Fail(status);
  Ship();
  return status;
}

void Primary::Ship() {
  if (committer_->active()) committer_->Pump(voter_->promised());
}

void Primary::EndUnit() {
  if (engine_->misread()) return;  // the unit must never end: see FailTurn()
  log_->EndUnit();
  engine_->SettleHot();
  if (log_->OpenBatchBytes() < options_->batch_bytes || !standing_->Leading()) return;
  if (Status status = log_->Seal(); !status.ok()) {
    (void)health_->Fail(status);
    return;
  }
  Ship();
}

Status Primary::Commit() {
  if (engine_->misread()) return FailTurn();
  // Nothing that this node has misread as a backup may be told.
  if (turn_.TakeReadAtBackup()) {
    if (Status status = replica_->CheckMedium(); !status.ok()) return status;
  }
  if (!NeedsCommit()) return Status::Ok();
  const Turn turn = turn_.Take();
  const bool wrote = turn.wrote();
  // A batch that is sealed now and acknowledged in this epoch proves that no other primary was elected before now, and
  // so that everything that this turn's replies tell is current.  Otherwise the lease must prove it.
  const bool proves = wrote && (log_->HasOpenBatch() || Mutated(Mutant::kNothingProves));
  committer_->Served(clock_->Now());
  Status status = turn.failed();
  if (status.ok()) status = health_->failure();
  if (status.ok()) status = replica_->CheckMedium();
  if (status.ok() && (turn.deposed() || !standing_->Leading())) {
    status = {Code::kFenced,
              "this node was deposed before the write was persistent on a majority: its outcome is unknown"};
  }
  if (status.ok() && wrote) status = PersistOpenBatch();
  if (status.ok() && wrote) status = WaitAcknowledged();
  if (status.ok() && !proves && !LeaseHeld()) status = RenewLease();
  if (status.ok() && wrote) {
    ++counts_.commits;
    loop_->TurnCommitted();
  }
  if (!status.ok()) {
    ++counts_.commit_failures;
    health_->Remember(status);
  }
  return status;
}

Status Primary::CommitInside() {
  Status status = Commit();
  if (!status.ok() && !Mutated(Mutant::kFailsOnce)) turn_.Fail(status);
  return status;
}

// The turn has met a damaged record: what it was told is wrong, and so what it wants to write may be wrong.  A unit
// that lacks a part of its changes must not exist, so everything that was not sealed is dropped.
Status Primary::FailTurn() {
  turn_ = {};
  ++counts_.commit_failures;
  // A part of the medium that cannot be read at all is another matter: Replica::CheckMedium() fences this node.
  const Status medium = replica_->CheckMedium();
  if (medium.ok() && standing_->Leading()) replica_->DropUnsealed();
  replica_->RecordDamage();
  (void)engine_->TakeMisread();
  if (!medium.ok()) return medium;
  health_->Remember(pool_->damage());
  return pool_->damage();
}

// The network is the slowest part, so shipping comes first: the backups persist while this node does.
Status Primary::PersistOpenBatch() {
  if (Status status = log_->Seal(); !status.ok()) return health_->Fail(status);
  Ship();
  if (Status status = log_->Drain(); !status.ok()) return health_->Fail(status);
  Progress();
  return Status::Ok();
}

Status Primary::WaitAcknowledged() {
  const Lsn lsn = log_->end().lsn;
  const std::uint64_t sealed = log_->sealed_bytes();
  const Epoch epoch = voter_->promised();
  // Persist-timeout is the time for a peer's answer; shipping and writing the bytes get time of their own in addition.
  const MonoTime deadline =
      clock_->Now() + options_->persist_timeout + Shipper::TimeOf(sealed - term_.acknowledged_bytes);
  while (!committer_->Acknowledged(lsn)) {
    if (clock_->Now() >= deadline) {
      for (const Endpoint& slow : committer_->GiveUpOn(lsn, clock_->Now())) {
        health_->Remember({Code::kUnavailable,
                           fmt::format("the backup {} did not persist within {} ms: commits no longer wait for it",
                                       slow.ToString(), options_->persist_timeout.count())});
      }
      if (committer_->Acknowledged(lsn)) break;
      term_.stalled_until = lsn;
      return {Code::kNoQuorum, committer_->committed() < lsn
                                   ? "the write is not persistent on a majority of the members: its outcome is unknown"
                                   : "the write is on a majority, but in fewer copies than faha.min-acks asks for"};
    }
    WaitForPeers(deadline);
    if (!standing_->Leading() || voter_->promised() != epoch) {
      return {Code::kFenced,
              "this node was deposed before the write was persistent on a majority: its outcome is unknown"};
    }
  }
  // Batches that the cleaner has sealed meanwhile are still on their way.
  if (!Mutated(Mutant::kPatienceGrows)) term_.acknowledged_bytes = std::max(term_.acknowledged_bytes, sealed);
  return Status::Ok();
}

// It also calls Tick(), because the main loop does not run meanwhile.
void Primary::WaitForPeers(MonoTime deadline) {
  const auto left = std::min<MonoTime>(deadline - clock_->Now(), Store::kTickPeriod);
  waiting_ = true;
  loop_->HearPeers(std::max(left, MonoTime{0}));
  loop_->Tick();
  waiting_ = false;
}

Status Primary::RenewLease() {
  const Status lost{Code::kNoQuorum,
                    "a majority of the members does not answer: reads and writes wait for their return"};
  if (term_.lease.given_up()) return lost;
  const MonoTime asked = clock_->Now();
  const MonoTime deadline = asked + options_->persist_timeout;
  const auto confirmed = [&] {
    return standing_->Leading() && (LeaseHeld() || committer_->HeardByMajority(clock_->Now()) >= asked);
  };
  committer_->Heartbeat(asked, false);
  while (standing_->Leading() && !confirmed() && clock_->Now() < deadline) WaitForPeers(deadline);
  if (confirmed()) return Status::Ok();
  term_.lease.GiveUp();
  return lost;
}

}  // namespace faha
