// The primary's term: what it commits, its lease, its members, and the end of the term.  See node.h.
#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "base/mutant.h"
#include "store/node.h"

namespace faha {

// To be called when anything has arrived: it may have moved the commit LSN, the lease or the membership.
void Node::Progress() {
  if (!health_.ok()) return;
  if (standing_.Fetching() && replica_.whole() && log_->end() >= candidacy_->campaign.best_end()) BecomePrimary();
  if (!standing_.Leading()) return;
  if (committer_->Advance(clock_->Now())) {
    replica_.Committed(committer_->committed());
  }
  if (committer_->Acknowledged(log_->end().lsn)) term_.acknowledged_bytes = log_->sealed_bytes();
  CountLease();
  if (committer_->Serving() && !term_.announced) {
    term_.announced = true;
    if (Status status = pool_->NoteLog(); !status.ok()) return (void)health_.Fail(status);
    health_.Note(LogLevel::kNotice, fmt::format("primary of epoch {} with {} members, {} keys",
                                                voter_->promised().value, replica_.members().size(), engine_->Size()));
    Answer(Status::Ok());
    observer_->OnPrimary();
  }
  if (order_.done && Leads()) Answer(Status::Ok());
  // A change of members is a batch of its own.  In the middle of a unit it waits, because the unit must not be cut in
  // two.
  if (!log_->InUnit() || Mutated(Mutant::kMembersCutUnit)) AdmitMember();
  Ship();
  if (committer_->active()) committer_->PumpSpared(voter_->promised(), clock_->Now());
}

void Node::AdmitMember() {
  const Members joining = committer_->Joining();
  // A member that is not reached does not keep the others out.
  const Member* joined = nullptr;
  for (const Member& member : joining) {
    if (probes_->ReachOf(member) == Reach::kReached && joined == nullptr) joined = &member;
  }
  if (joined == nullptr) return RaiseLevel();
  const Members next = replica_.membership().Toward(*joined);
  const char* what = replica_.membership().Find(joined->id) != nullptr ? "has changed and stays a member"
                     : next.size() < replica_.members().size()         ? "has lost its pool: it leaves before it joins"
                                                                       : "has caught up and becomes a member";
  health_.Note(LogLevel::kNotice,
               fmt::format("{} {} (its pool has {} bytes)", joined->Redis().ToString(), what, joined->pool_bytes));
  (void)AppendMembers(next);
}

// Raises the cluster's level when the last member that offered less now offers a higher one.
void Node::RaiseLevel() {
  if (replica_.membership().level() >= options_.feature_level) return;
  if (!committer_->Serving() || replica_.membership().ChangePending(committer_->committed())) return;
  const FeatureLevel level = LevelOf(replica_.members());
  if (level <= replica_.membership().level()) return;
  health_.Note(LogLevel::kNotice,
               fmt::format("all members offer feature level {}: the cluster goes from {} to it, and no "
                           "earlier release opens its pools from now on",
                           level, replica_.membership().level()));
  (void)AppendMembers(replica_.members());
}

FeatureLevel Node::LevelOf(const Members& members) const {
  return std::max(replica_.membership().level(), committer_->Offered(members));
}

void Node::NoteLost(const std::vector<Endpoint>& backups, std::string_view why) {
  for (const Endpoint& backup : backups) {
    const Status lost{Code::kUnavailable, fmt::format("lost the backup {}: {}", backup.ToString(), why)};
    health_.Note(LogLevel::kWarning, lost.ToString());
    health_.NoteProblem(lost);
  }
}

bool Node::MajorityHears() const { return term_.lease.Runs(clock_->Now()) || Mutated(Mutant::kNoLease); }

void Node::CountLease() {
  const MonoTime now = clock_->Now();
  if (replica_.members().size() == 1) {
    term_.lease.CountAlone();
  } else {
    term_.lease.Count(committer_->HeardByMajority(now), options_.lease);
  }
  if (MajorityHears()) {
    term_.lease.RunsAgain();
    if (!candidacy_) inquiry_->Close();
  } else if (inquiry_->Due()) {
    // This node is cut off from a majority: some member may know of a newer primary.
    AskMembers(replica_.members());
  }
}

// A configuration takes effect as soon as it is appended; the next change waits until it is committed.
// `members` is passed by value: it may be a part of the membership that the configuration is added to.
Status Node::AppendMembers(Members members, Head head) {
  const FeatureLevel level = LevelOf(members);
  Status status = replica_.AppendConfiguration({std::move(members), level}, head);
  if (status.ok()) {
    next_heartbeat_ = MonoTime{0};  // the lease needs to hear from the new majority
    Ship();
    status = log_->Drain();
  }
  if (status.code() == Code::kNoSpace) health_.Remember(status);
  return status.ok() || status.code() == Code::kNoSpace ? status : health_.Fail(status);
}

Status Node::Forget(const Endpoint& member) {
  if (Status status = SettleTurn(); !status.ok()) return status;
  const auto refuse = [&](std::string_view why) {
    return Status(Code::kUnavailable, fmt::format("{} {}", member.ToString(), why));
  };
  Members rest = replica_.members();
  const auto found = std::find_if(rest.begin(), rest.end(), [&](const Member& m) { return m.Redis() == member; });
  if (found == rest.end()) return refuse("is no member: see FAHA.STATUS");
  if (found->id == self_.id) return refuse("is this node: hand over first, with FAHA.FAILOVER");
  for (const auto& shipper : committer_->shippers()) {
    if (shipper->receiver().id == found->id) return refuse("is connected and would join again: stop its server first");
  }
  if (replica_.membership().ChangePending(committer_->committed())) {
    return refuse("stays for now, for another change of the members is under way: try again");
  }
  rest.erase(found);
  health_.Note(LogLevel::kWarning, fmt::format("{} is no longer a member", member.ToString()));
  if (Status status = AppendMembers(std::move(rest)); !status.ok()) return status;
  return WaitAcknowledged();
}

void Node::BecomePrimary() {
  const Epoch epoch = candidacy_->campaign.epoch();
  const bool forced = candidacy_->forced;
  receiver_->Stop();
  engine_->ApplyTail();
  if (!pool_->damage().ok()) return EndCampaign(pool_->damage());
  if (Status status = pool_->SetLeader(epoch, self_.id); !status.ok()) {
    (void)health_.Fail(status);
    return;
  }
  Enter(PhaseEvent::kCatchUp);
  term_ = {};
  term_.elected_at = clock_->Now();
  standing_.SetPrimary(self_);
  replica_.LookAtDatabases();
  log_->SetEpoch(epoch);
  log_->SetCommitted(std::max(log_->known_committed(), replica_.heard_committed()));
  const Members members = forced ? Members{self_} : replica_.membership().Toward(self_);
  log_->LimitSegments(replica_.SegmentsOf(members));
  // Raft 5.4.2: batches that earlier epochs left are committed by a batch of our own.
  if (auto at = log_->Append({.kind = format::RecordKind::kEpochStart, .key = {}, .value = {}}); !at.ok()) {
    (void)health_.Fail(at.status());
    return;
  }
  committer_->Begin(epoch, log_->end().lsn.Next());
  term_.acknowledged_bytes = log_->sealed_bytes();
  if (Status status = AppendMembers(members); !status.ok()) {
    (void)health_.Fail(status);
    return;
  }
  Progress();
}

void Node::StepDown(std::string_view why) {
  turn_.Depose();
  if (standing_.Leading()) {
    health_.Note(LogLevel::kWarning, fmt::format("no longer primary of epoch {}: {}", log_->end().epoch.value, why));
    replica_.DropUnsealed();
    Enter(PhaseEvent::kDepose);
    Answer({Code::kFenced, "this node was deposed before it served"});
  }
  ForgetPrimary();
}

// Forgets the primary, even if it was this node: there will be another one.
void Node::ForgetPrimary() {
  log_->LimitSegments(UINT32_MAX);  // the next primary decides where a batch goes
  probes_->EndAll();
  standing_.ForgetPrimary();
  contact_.Begin(clock_->Now());
  cleaner_->Abandon();
  committer_->End();
  term_ = {};
  space_.futile.reset();
}

}  // namespace faha
