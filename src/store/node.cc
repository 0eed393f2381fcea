#include "store/node.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "base/mutant.h"

namespace faha {

namespace {
// A primary whose log is damaged tries to hand over once in every period of this length.
constexpr MonoTime kDamagePeriod = std::chrono::seconds(1);
// The longest period, however long the lease is: peers that hear nothing for a few seconds take this node for dead.
constexpr MonoTime kMaxHeartbeatPeriod = std::chrono::milliseconds(500);
// What a record takes besides its key and value, at most (bytes).
constexpr std::uint64_t kRecordOverhead = sizeof(format::RecordHeader) + sizeof(TimeMs) + format::kRecordAlign;
}  // namespace

// --- The keyspace.

Status Node::CheckServing(Code not_primary) {
  if (!health_.ok()) return {Code::kFenced, std::string(health_.failure().message())};
  if (turn_.deposed()) return DeposedInTurn();
  if (engine_->broken()) return pool_->damage();
  if (!standing_.Leading()) {
    return {not_primary,
            standing_.primary().id.IsNone() || standing_.primary().id == self_.id
                ? std::string("this node is not the primary, and none is known yet: ask the other nodes")
                : fmt::format("this node is a backup: the primary is {}", standing_.primary().Redis().ToString())};
  }
  if (replica_.hides_keys()) return replica_.CheckDatabases();
  if (!committer_->Serving()) {
    return {Code::kNoQuorum, "this node was elected and waits for a majority of the members: start their servers"};
  }
  if (committer_->committed() < term_.stalled_until) {
    return {Code::kNoQuorum, "earlier writes still wait for a majority of the members: start their servers"};
  }
  if (not_primary == Code::kReadOnly) {
    if (Status status = CheckCopies(); !status.ok()) return status;
  }
  // Checking the lease once in a turn is enough: Commit() makes sure that it held until the end.  While the role is
  // offered to another node there is no lease, and Commit() asks a majority.
  return NeedsCommit() || offer_ || LeaseHeld() ? Status::Ok() : RenewLease();
}

Status Node::CheckCopies() const {
  if (committer_->EnoughCopies()) return Status::Ok();
  return {
      Code::kNoQuorum,
      fmt::format("writes wait for the {} copies of faha.min-acks, of {} members: start the other servers, or lower it",
                  options_.min_acks, replica_.members().size())};
}

Status Node::CheckRead() {
  if (standing_.role() == Role::kBackup && options_.backup_reads) return CheckBackupRead();
  Status status = CheckServing(Code::kNotPrimary);
  if (status.ok()) turn_.Read();
  return status;
}

Status Node::CheckWrite(std::uint64_t bytes, std::uint64_t records) {
  if (Status status = CheckServing(Code::kReadOnly); !status.ok()) return status;
  return records == 0 ? Status::Ok() : MakeRoom(bytes + records * kRecordOverhead, Log::kReservedSegments);
}

Status Node::CheckErase(std::uint64_t bytes, std::uint64_t records) {
  if (Status status = CheckServing(Code::kReadOnly); !status.ok()) return status;
  return MakeRoom(bytes + records * kRecordOverhead, Log::kCleanerSegments);
}

std::optional<Entry> Node::Get(DbId db, std::string_view key) { return engine_->Get(db, key); }

void Node::Prefetch(DbId db, std::span<const std::string_view> keys) const { engine_->Prefetch(db, keys); }

void Node::PrefetchFirst(DbId db, std::string_view key) const { engine_->PrefetchFirst(db, key); }

Status Node::Put(DbId db, std::string_view key, std::string_view value, TimeMs expire_at) {
  ++counts_.records;
  counts_.record_bytes += key.size() + value.size();
  return Change([&] { return engine_->Put(db, key, value, expire_at); });
}

Status Node::Delete(DbId db, std::string_view key) {
  ++counts_.records;
  counts_.record_bytes += key.size();
  return Change([&] { return engine_->Delete(db, key); });
}

Status Node::Flush(std::optional<DbId> db) {
  return Change([&] { return engine_->Flush(db); });
}

Status Node::Swap(DbId a, DbId b) {
  if (Status status = CheckWrite(engine_->SwapBytes(), 1); !status.ok()) return status;
  return Change([&] { return engine_->Swap(a, b); });
}

// This node may lead again, but what the turn, and perhaps the unit, wrote before is gone: nothing may be added to it.
Status Node::DeposedInTurn() {
  return {Code::kFenced, "this node was deposed since the turn began: what it has written may be lost"};
}

// A change that wrote nothing still told something: that a key or a database is empty, as a read would.
// A batch that filled up in the middle of a unit was sealed by the log: it is shipped while the rest of the unit is
// written.
template <typename Write>
Status Node::Change(Write write) {
  if (turn_.deposed()) return DeposedInTurn();
  if (engine_->misread()) return pool_->damage();
  const std::uint64_t before = log_->appended();
  Status status = write();
  if (log_->appended() != before || Mutated(Mutant::kNothingProves)) {
    turn_.Wrote();
  } else {
    turn_.Read();
  }
  if (status.code() == Code::kIoError) return health_.Fail(status);
  Ship();
  return status;
}

// --- Commit.

void Node::Ship() {
  if (committer_->active()) committer_->Pump(voter_->promised());
}

void Node::EndUnit() {
  if (engine_->misread()) return;  // the unit must never end: see FailTurn()
  log_->EndUnit();
  engine_->SettleHot();
  if (log_->OpenBatchBytes() < options_.batch_bytes || !standing_.Leading()) return;
  if (Status status = log_->Seal(); !status.ok()) {
    (void)health_.Fail(status);
    return;
  }
  Ship();
}

Status Node::Commit() {
  if (engine_->misread()) return FailTurn();
  // Nothing that this node has misread as a backup may be told.
  if (turn_.TakeReadAtBackup()) {
    if (Status status = replica_.CheckMedium(); !status.ok()) return status;
  }
  if (!NeedsCommit()) return Status::Ok();
  const Turn turn = turn_.Take();
  const bool wrote = turn.wrote();
  // A batch that is sealed now and acknowledged in this epoch proves that no other primary was elected before now, and
  // so that everything that this turn's replies tell is current.  Otherwise the lease must prove it.
  const bool proves = wrote && (log_->HasOpenBatch() || Mutated(Mutant::kNothingProves));
  committer_->Served(clock_->Now());
  Status status = health_.failure();
  if (status.ok()) status = replica_.CheckMedium();
  if (status.ok() && (turn.deposed() || !standing_.Leading())) {
    status = {Code::kFenced,
              "this node was deposed before the write was persistent on a majority: its outcome is unknown"};
  }
  if (status.ok() && wrote) status = PersistOpenBatch();
  if (status.ok() && wrote) status = WaitAcknowledged();
  if (status.ok() && !proves && !LeaseHeld()) status = RenewLease();
  if (status.ok() && wrote) {
    ++counts_.commits;
    Clean(false);
  }
  if (!status.ok()) {
    ++counts_.commit_failures;
    health_.Remember(status);
  }
  return status;
}

// The turn has met a damaged record: what it was told is wrong, and so what it wants to write may be wrong.  A unit
// that lacks a part of its changes must not exist, so everything that was not sealed is dropped.
Status Node::FailTurn() {
  turn_ = {};
  ++counts_.commit_failures;
  // A part of the medium that cannot be read at all is another matter: replica_.CheckMedium() fences this node.
  const Status medium = replica_.CheckMedium();
  if (medium.ok() && standing_.Leading()) replica_.DropUnsealed();
  replica_.RecordDamage();
  (void)engine_->TakeMisread();
  if (!medium.ok()) return medium;
  health_.Remember(pool_->damage());
  return pool_->damage();
}

// The network is the slowest part, so shipping comes first: the backups persist while this node does.
Status Node::PersistOpenBatch() {
  if (Status status = log_->Seal(); !status.ok()) return health_.Fail(status);
  Ship();
  if (Status status = log_->Drain(); !status.ok()) return health_.Fail(status);
  Progress();
  return Status::Ok();
}

Status Node::WaitAcknowledged() {
  const Lsn lsn = log_->end().lsn;
  const std::uint64_t sealed = log_->sealed_bytes();
  const Epoch epoch = voter_->promised();
  // Persist-timeout is the time for a peer's answer; shipping and writing the bytes get time of their own in addition.
  const MonoTime deadline =
      clock_->Now() + options_.persist_timeout + Shipper::TimeOf(sealed - term_.acknowledged_bytes);
  while (!committer_->Acknowledged(lsn)) {
    if (clock_->Now() >= deadline) {
      for (const Endpoint& slow : committer_->GiveUpOn(lsn, clock_->Now())) {
        health_.Remember({Code::kUnavailable,
                          fmt::format("the backup {} did not persist within {} ms: commits no longer wait for it",
                                      slow.ToString(), options_.persist_timeout.count())});
      }
      if (committer_->Acknowledged(lsn)) break;
      term_.stalled_until = lsn;
      return {Code::kNoQuorum, committer_->committed() < lsn
                                   ? "the write is not persistent on a majority of the members: its outcome is unknown"
                                   : "the write is on a majority, but in fewer copies than faha.min-acks asks for"};
    }
    WaitForPeers(deadline);
    if (!standing_.Leading() || voter_->promised() != epoch) {
      return {Code::kFenced,
              "this node was deposed before the write was persistent on a majority: its outcome is unknown"};
    }
  }
  // Batches that the cleaner has sealed meanwhile are still on their way.
  if (!Mutated(Mutant::kPatienceGrows)) term_.acknowledged_bytes = std::max(term_.acknowledged_bytes, sealed);
  return Status::Ok();
}

// Lets peers speak for a while.  It also calls Tick(), because the main loop does not run meanwhile.
void Node::WaitForPeers(MonoTime deadline) {
  const auto left = std::min<MonoTime>(deadline - clock_->Now(), kTickPeriod);
  waiting_ = true;
  fabric_->Poll(std::max(left, MonoTime{0}), *this);
  Tick();
  waiting_ = false;
}

Status Node::RenewLease() {
  const Status lost{Code::kNoQuorum,
                    "a majority of the members does not answer: reads and writes wait for their return"};
  if (term_.lease.given_up()) return lost;
  const MonoTime asked = clock_->Now();
  const MonoTime deadline = asked + options_.persist_timeout;
  const auto confirmed = [&] {
    return standing_.Leading() && (LeaseHeld() || committer_->HeardByMajority(clock_->Now()) >= asked);
  };
  committer_->Heartbeat(asked, false);
  while (standing_.Leading() && !confirmed() && clock_->Now() < deadline) WaitForPeers(deadline);
  if (confirmed()) return Status::Ok();
  term_.lease.GiveUp();
  return lost;
}

// Ends what ends with a failure of the medium.
void Node::OnFailure() {
  Enter(PhaseEvent::kFail);
  log_->LoseHold(health_.failure());
  committer_->End();
  receiver_->Stop();
  EndTakeOver(health_.failure());
  EndOffer(health_.failure());
  Answer(health_.failure());
}

// Damage was found by a look at old batches or at a record, and what is damaged is not told, moved or shipped any more.
// The other members have it whole, so a primary hands its role over and then takes the whole log from them, as a backup
// does.  Until it can hand over it goes on as the primary, because without it there may be no majority.
void Node::TendDamage() {
  replica_.RecordDamage();
  const Status damage = pool_->damage();
  if (pool_->installing() && (engine_->broken() || !damage.ok())) {
    // The rest of the log would not mend the damage, so the install starts again.
    receiver_->Stop();
    receiver_->Start();
    return;
  }
  // A turn that has met the damage must fail first.
  if (damage.ok() || !replica_.whole() || offer_ || waiting_ || log_->InUnit() || engine_->misread()) return;
  if (replica_.members().size() < 2) {
    (void)health_.Fail(damage);
  } else if (!standing_.Leading()) {
    replica_.GiveUpDamaged();
    EndCampaign(damage);
    receiver_->Stop();
    receiver_->Start();
  } else if (clock_->Now() - std::max(term_.lease.end(), term_.elected_at) > options_.lease) {
    // This node leads nobody, and only keeps the others from electing another primary.
    StepDown("its log is damaged, and no majority hears it");
  } else if (clock_->Now() >= next_hand_over_) {
    next_hand_over_ = clock_->Now() + kDamagePeriod;
    health_.Remember(damage);
    HandOver(std::nullopt, [](const Status&) {});
    if (engine_->broken() && !offer_ && standing_.Leading()) {
      StepDown("its log is damaged, it serves nothing, and no backup can be given its role");
    }
  }
}

void Node::Tick() {
  StepService();
  if (!health_.ok() || !replica_.CheckMedium().ok()) return;
  const MonoTime now = clock_->Now();
  if (committer_->active() && now >= next_heartbeat_) {
    next_heartbeat_ = now + std::min<MonoTime>(options_.lease / 5, kMaxHeartbeatPeriod);
    committer_->Heartbeat(now, committer_->Serving() && LeaseHeld());
  }
  fabric_->SetSpin(options_.rdma_spin);
  receiver_->OnTick();
  replica_.LookAtDatabases();
  TendDamage();
  StepTakeOver();
  StepOffer();
  TendProbes();
  StepSilence();
  StepCampaign();
  Progress();
  Clean(true);
  DrainSealed();
  DropSilentGuests();
  replica_.TendHotTier(now);
}

// --- A copy of all keys.

// Is everything that the index shows committed, so that it will stay?
Status Node::CheckHoldable() const {
  if (!health_.ok()) return health_.failure();
  if (!replica_.whole())
    return {Code::kUnavailable, "this node's log is not whole yet: see state and whole in FAHA.STATUS"};
  if (turn_.wrote() || log_->HasOpenBatch() || log_->InUnit()) {
    return {Code::kUnavailable, "what this turn has written is not committed yet"};
  }
  const bool committed = standing_.Leading()
                             ? committer_->Serving() && committer_->committed() >= term_.stalled_until
                             : engine_->applied() <= std::max(replica_.heard_committed(), log_->known_committed());
  if (committed) return Status::Ok();
  return {Code::kNoQuorum, "what this node holds is not known to be on a majority: start the other servers"};
}

Result<Lsn> Node::HoldSegments(std::function<void(const Status&)> lost) {
  if (Status status = CheckHoldable(); !status.ok()) return status;
  replica_.Hold(cleaner_->BestFirst(), std::move(lost));
  // Batches that a primary has appended behind its last commit are from the cleaner or about members: they change no
  // key.
  return standing_.Leading() ? committer_->committed() : engine_->applied();
}

}  // namespace faha
