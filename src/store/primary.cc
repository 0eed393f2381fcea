#include "store/primary.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/mutant.h"
#include "base/uuid.h"

namespace faha {

namespace {
// The longest period, however long the lease is: peers that hear nothing for a few seconds take this node for dead.
constexpr MonoTime kMaxHeartbeatPeriod = std::chrono::milliseconds(500);
}  // namespace

Primary::Primary(const PartContext& shared, Committer* committer, Probes* probes, Loop* loop, Listener* listener)
    : options_(shared.options),
      clock_(shared.clock),
      health_(shared.health),
      standing_(shared.standing),
      replica_(shared.replica),
      voter_(shared.voter),
      pool_(&shared.replica->pool()),
      log_(&shared.replica->log()),
      engine_(&shared.replica->engine()),
      committer_(committer),
      probes_(probes),
      loop_(loop),
      listener_(listener),
      self_(shared.self) {}

// --- Does it serve?

Status Primary::CheckServing(Code not_primary) {
  if (!health_->ok()) return {Code::kFenced, std::string(health_->failure().message())};
  if (turn_.deposed()) return DeposedInTurn();
  if (engine_->broken()) return pool_->damage();
  if (!standing_->Leading()) {
    return {not_primary,
            standing_->primary().id.IsNone() || standing_->primary().id == self_.id
                ? std::string("this node is not the primary, and none is known yet: ask the other nodes")
                : fmt::format("this node is a backup: the primary is {}", standing_->primary().Redis().ToString())};
  }
  if (replica_->hides_keys()) return replica_->CheckDatabases();
  if (!committer_->Serving()) {
    return {Code::kNoQuorum, "this node was elected and waits for a majority of the members: start their servers"};
  }
  if (Stalled()) {
    return {Code::kNoQuorum, "earlier writes still wait for a majority of the members: start their servers"};
  }
  if (not_primary == Code::kReadOnly) {
    if (Status status = CheckCopies(); !status.ok()) return status;
  }
  // Checking the lease once in a turn is enough: Commit() makes sure that it held until the end.  While the role is
  // offered to another node there is no lease, and Commit() asks a majority.
  return NeedsCommit() || offer_ || LeaseHeld() ? Status::Ok() : RenewLease();
}

Status Primary::CheckCopies() const {
  if (committer_->EnoughCopies()) return Status::Ok();
  return {
      Code::kNoQuorum,
      fmt::format("writes wait for the {} copies of faha.min-acks, of {} members: start the other servers, or lower it",
                  options_->min_acks, replica_->members().size())};
}

bool Primary::MajorityHears() const { return term_.lease.Runs(clock_->Now()) || Mutated(Mutant::kNoLease); }

// --- The term.

void Primary::Begin(Epoch epoch, bool forced) {
  term_ = {};
  term_.elected_at = clock_->Now();
  replica_->LookAtDatabases();
  log_->SetEpoch(epoch);
  const LogEnd end = log_->end();
  replica_->ForgetCommittedBehind(end.lsn);
  log_->SetCommitted(std::max(log_->known_committed(), replica_->heard_committed()));
  Configuration next = forced ? replica_->membership().Alone(self_, LevelOf({self_}), {NewUuid(), end})
                              : With(replica_->membership().Toward(self_));
  log_->LimitSegments(replica_->SegmentsOf(next.members));
  // Raft 5.4.2: batches that earlier epochs left are committed by a batch of our own.
  if (auto at = log_->Append({.kind = format::RecordKind::kEpochStart, .key = {}, .value = {}}); !at.ok()) {
    (void)health_->Fail(at.status());
    return;
  }
  committer_->Begin(epoch, log_->end().lsn.Next());
  term_.acknowledged_bytes = log_->sealed_bytes();
  if (Status status = AppendConfiguration(std::move(next)); !status.ok()) {
    (void)health_->Fail(status);
    return;
  }
  Progress();
}

void Primary::End() {
  committer_->End();
  term_ = {};
}

void Primary::Progress() {
  if (!health_->ok() || !standing_->Leading()) return;
  if (committer_->Advance(clock_->Now())) {
    replica_->Committed(committer_->committed());
  }
  if (committer_->Acknowledged(log_->end().lsn)) term_.acknowledged_bytes = log_->sealed_bytes();
  CountLease();
  if (committer_->Serving() && !term_.announced) {
    term_.announced = true;
    if (Status status = pool_->NoteLog(); !status.ok()) return (void)health_->Fail(status);
    health_->Note(LogLevel::kNotice,
                  fmt::format("primary of epoch {} with {} members, {} keys", voter_->promised().value,
                              replica_->members().size(), engine_->Size()));
    listener_->BeginsToServe();
  }
  if (Leads()) listener_->Leads();
  // A change of members is a batch of its own.  In the middle of a unit it waits, because the unit must not be cut in
  // two.
  if (!log_->InUnit() || Mutated(Mutant::kMembersCutUnit)) AdmitMember();
  Ship();
  if (committer_->active()) committer_->PumpSpared(voter_->promised(), clock_->Now());
}

void Primary::CountLease() {
  const MonoTime now = clock_->Now();
  if (replica_->members().size() == 1) {
    term_.lease.CountAlone();
  } else {
    term_.lease.Count(committer_->HeardByMajority(now), options_->lease);
  }
  const bool hears = MajorityHears();
  if (hears) term_.lease.RunsAgain();
  listener_->LeaseCounted(hears);
}

void Primary::Heartbeat(MonoTime now) {
  if (!committer_->active() || now < next_heartbeat_) return;
  next_heartbeat_ = now + std::min<MonoTime>(options_->lease / 5, kMaxHeartbeatPeriod);
  committer_->Heartbeat(now, committer_->Serving() && LeaseHeld());
}

void Primary::AdmitMember() {
  const Members joining = committer_->Joining();
  // A member that is not reached does not keep the others out.
  const Member* joined = nullptr;
  for (const Member& member : joining) {
    if (probes_->ReachOf(member) == Reach::kReached && joined == nullptr) joined = &member;
  }
  if (joined == nullptr) return RaiseLevel();
  const Members next = replica_->membership().Toward(*joined);
  const char* what = replica_->membership().Find(joined->id) != nullptr ? "has changed and stays a member"
                     : next.size() < replica_->members().size()         ? "has lost its pool: it leaves before it joins"
                                                                        : "has caught up and becomes a member";
  health_->Note(LogLevel::kNotice,
                fmt::format("{} {} (its pool has {} bytes)", joined->Redis().ToString(), what, joined->pool_bytes));
  (void)AppendConfiguration(With(next));
}

// Raises the cluster's level when the last member that offered less now offers a higher one.
void Primary::RaiseLevel() {
  if (replica_->membership().level() >= options_->feature_level) return;
  if (!committer_->Serving() || replica_->membership().ChangePending(committer_->committed())) return;
  const FeatureLevel level = LevelOf(replica_->members());
  if (level <= replica_->membership().level()) return;
  health_->Note(LogLevel::kNotice,
                fmt::format("all members offer feature level {}: the cluster goes from {} to it, and no "
                            "earlier release opens its pools from now on",
                            level, replica_->membership().level()));
  (void)AppendConfiguration(With(replica_->members()));
}

FeatureLevel Primary::LevelOf(const Members& members) const {
  return std::max(replica_->membership().level(), committer_->Offered(members));
}

Configuration Primary::With(Members members) const {
  const FeatureLevel level = LevelOf(members);
  return replica_->membership().With(std::move(members), level);
}

// A configuration takes effect as soon as it is appended; the next change waits until it is committed.
Status Primary::AppendConfiguration(Configuration next, Head head) {
  Status status = replica_->AppendConfiguration(std::move(next), head);
  if (status.ok()) {
    next_heartbeat_ = MonoTime{0};  // the lease needs to hear from the new majority
    Ship();
    status = log_->Drain();
  }
  if (status.code() == Code::kNoSpace) health_->Remember(status);
  return status.ok() || status.code() == Code::kNoSpace ? status : health_->Fail(status);
}

Status Primary::Forget(const Endpoint& member) {
  if (Status status = SettleTurn(); !status.ok()) return status;
  const auto refuse = [&](std::string_view why) {
    return Status(Code::kUnavailable, fmt::format("{} {}", member.ToString(), why));
  };
  Configuration next = With(replica_->members());
  const auto named = [&](const Member& m) { return m.Redis() == member; };
  const auto is_self = [&](const Member& m) { return named(m) && m.id == self_.id; };
  if (std::any_of(next.members.begin(), next.members.end(), is_self))
    return refuse("is this node: hand over first, with FAHA.FAILOVER");
  const bool is_connected =
      std::any_of(committer_->shippers().begin(), committer_->shippers().end(), [&](const auto& shipper) {
        return named(shipper->receiver()) && replica_->membership().Find(shipper->receiver().id) != nullptr;
      });
  if (is_connected) return refuse("is connected and would join again: stop its server first");
  if (std::erase_if(next.members, named) + std::erase_if(next.left_out, named) == 0)
    return refuse("is no member: see FAHA.STATUS");
  if (replica_->membership().ChangePending(committer_->committed())) {
    return refuse("stays for now, for another change of the members is under way: try again");
  }
  health_->Note(LogLevel::kWarning, fmt::format("{} is no longer a member", member.ToString()));
  if (Status status = AppendConfiguration(std::move(next)); !status.ok()) return status;
  return WaitAcknowledged();
}

void Primary::NoteLost(const std::vector<Endpoint>& backups, std::string_view why) {
  for (const Endpoint& backup : backups) {
    const Status lost{Code::kUnavailable, fmt::format("lost the backup {}: {}", backup.ToString(), why)};
    health_->Note(LogLevel::kWarning, lost.ToString());
    health_->NoteProblem(lost);
  }
}

}  // namespace faha
