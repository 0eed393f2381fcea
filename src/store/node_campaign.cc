// Becoming primary: campaigns.  See node.h.
#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "base/mutant.h"
#include "store/node.h"

namespace faha {

namespace {
// A forced promotion skips so many epochs: more than the other members may have reached without this node.
constexpr std::uint64_t kForcedEpochs = 1'000'000;
}  // namespace

void Node::Follow(const Endpoint& primary) {
  EndTakeOver({Code::kNoPromise, "this node was told to follow another"});
  if (!health_.ok() || (receiver_->streaming() && standing_.primary().Redis() == primary)) return;
  EndCampaign({Code::kNoPromise, "this node was told to follow another"});
  StepDown(fmt::format("it was told to follow {}", primary.ToString()));
  follower_->Suggest(primary);
}

void Node::Promote(std::chrono::milliseconds patience, std::function<void(const Status&)> done) {
  if (!health_.ok()) return done(health_.failure());
  const bool leads =
      primary_->Leads() || (Mutated(Mutant::kPromotedWithoutLease) && standing_.Leading() && committer_->Serving());
  if (leads) return done(Status::Ok());
  if (!replica_.members().empty() && replica_.membership().Find(self_.id) == nullptr) {
    return done(
        {Code::kNoPromise, "this node has not become a member yet: wait until it is in sync, or promote another"});
  }
  // A campaign that is under way goes on: to begin again would give up a promise, or a role that no majority has
  // confirmed yet.
  const bool under_way = candidacy_ || (standing_.Leading() && primary_->offer() == nullptr);
  if (!under_way || Mutated(Mutant::kOrderBeginsAnew)) {
    return StartCampaign(Epoch{}, Epoch{}, patience, std::move(done));
  }
  Answer({Code::kNoPromise, "another attempt has taken its place"});
  order_ = {EndOf(patience), std::move(done)};
}

MonoTime Node::EndOf(std::chrono::milliseconds patience) const {
  return patience == std::chrono::milliseconds::max() ? kForever : clock_->Now() + patience;
}

// A campaign in a cluster of one, whose own promise is a majority.
void Node::Force(std::function<void(const Status&)> done) {
  if (!health_.ok()) return done(health_.failure());
  if (standing_.Leading() && committer_->Serving() && primary_->LeaseHeld()) return done(Status::Ok());
  if (receiver_->streaming()) {
    return done({Code::kNoPromise, fmt::format("{} is the primary and alive: use FAHA.FAILOVER there",
                                               standing_.primary().Redis().ToString())});
  }
  if (!replica_.whole())
    return done({Code::kNoPromise, "the log of this node is not whole: what it lacks would be lost"});
  if (Status status = replica_.CheckDatabases(); !status.ok()) return done(status);
  EndTakeOver({Code::kNoPromise, "another attempt has taken its place"});
  EndCampaign({Code::kNoPromise, "another attempt has taken its place"});
  if (standing_.Leading()) StepDown("it is forced to lead alone");
  receiver_->Stop();
  health_.Note(
      LogLevel::kWarning,
      fmt::format(
          "forced to lead a cluster of this node alone: {} members leave it, and what they have acknowledged and "
          "this node never received (behind LSN {}) is lost; when they return they follow, and one that refuses "
          "(CORRUPT) "
          "has committed writes that this node lacks",
          replica_.members().size() - (replica_.membership().Find(self_.id) != nullptr ? 1 : 0),
          log_->end().lsn.value));
  candidacy_ = {
      .campaign = {self_, Members{self_}, Epoch{voter_->promised().value + kForcedEpochs}, log_->end(), Epoch{}},
      .forced = true};
  order_ = {kForever, std::move(done)};
  Enter(PhaseEvent::kSeek);
  StepCampaign();
}

void Node::StartCampaign(Epoch interrupts, Epoch floor, std::chrono::milliseconds patience,
                         std::function<void(const Status&)> done) {
  if (!replica_.whole()) {
    if (standing_.Leading()) StepDown("its log is not whole");
    if (done) done({Code::kNoPromise, "the log of this node is not whole yet: wait until it is in sync"});
    if (!receiver_->active()) receiver_->Start();
    return;
  }
  // Batches that are not applied yet are about to be applied.  If they are damaged, this must be found before others
  // have promised.
  const bool intact = log_->AreIntact(log_->end().lsn.value - std::min(engine_->applied(), log_->end().lsn).value);
  if (Status status = intact ? replica_.CheckDatabases() : pool_->damage(); !status.ok()) {
    if (standing_.Leading()) StepDown("it may not lead a later epoch");
    if (done) done(status);
    if (!receiver_->active()) receiver_->Start();
    return;
  }
  EndCampaign({Code::kNoPromise, "another attempt has taken its place"});
  if (standing_.Leading()) StepDown("it seeks a later epoch");
  Members members = replica_.members();
  if (members.empty()) members = {self_};
  candidacy_ = {.campaign = {self_, members, std::max(voter_->promised(), floor), log_->end(), interrupts}};
  order_ = {EndOf(patience), std::move(done)};
  inquiry_->Hurry();
  Enter(PhaseEvent::kSeek);
  StepCampaign();
}

void Node::StepCampaign() {
  if (!candidacy_) {
    if (order_.done && clock_->Now() >= order_.end)
      Answer({Code::kNoQuorum,
              "this node is elected, but a majority of the members does not answer: start their servers"});
    return;
  }
  Campaign& campaign = candidacy_->campaign;
  switch (campaign.next()) {
    case Campaign::Next::kAsk:
      if (standing_.phase() == Phase::kPromised) Enter(PhaseEvent::kAskAgain);
      if (inquiry_->Due()) AskMembers(campaign.members());
      break;
    case Campaign::Next::kPromise:
      if (candidacy_->asked == campaign.epoch() && clock_->Now() - candidacy_->asked_since > options_.lease &&
          !Mutated(Mutant::kHungVoterCounts)) {
        campaign.OnPromisesLate();
        break;
      }
      AskForPromises();
      break;
    case Campaign::Next::kFollow: {
      const Member primary = campaign.primary();
      EndCampaign({Code::kNoPromise,
                   fmt::format("{} is the primary and alive: use FAHA.FAILOVER there", primary.Redis().ToString())});
      follower_->Seek(primary);
      return;
    }
    case Campaign::Next::kWon:
      if (!standing_.Fetching()) FetchFromBest();
      return;
  }
  if (candidacy_ && clock_->Now() >= order_.end) {
    EndCampaign({Code::kNoPromise, fmt::format("no majority promised: {}", candidacy_->campaign.Obstacle())});
    receiver_->Start();
  }
}

void Node::DialMembers(const Members& members) {
  for (const NodeId& silent : inquiry_->Dial(members, self_.id)) {
    if (candidacy_) candidacy_->campaign.OnUnreachable(silent);
  }
}

void Node::AskMembers(const Members& members) {
  DialMembers(members);
  inquiry_->Ask(wire::Encode(wire::StateRequest{pool_->cluster()}));
}

void Node::AskForPromises() {
  Campaign& campaign = candidacy_->campaign;
  const Epoch epoch = campaign.epoch();
  if (candidacy_->asked != epoch) {
    // Our own promise follows the same rule as anybody's.
    if (voter_->Judge(epoch, self_.id, campaign.interrupts(), clock_->Now()) != Refusal::kNone) return;
    candidacy_->asked = epoch;
    candidacy_->asked_since = clock_->Now();
    if (!GivePromise(epoch, self_.id).ok()) return;
    Enter(PhaseEvent::kPromise);
    RequestPromises();
    campaign.OnOwnPromise(log_->end(), candidacy_->forced ? Members{self_} : replica_.members());
    return StepCampaign();
  }
  if (!inquiry_->Due()) return;
  DialMembers(campaign.members());
  RequestPromises();
}

// Asks everybody that is connected and has not been asked yet.
void Node::RequestPromises() {
  const Epoch epoch = candidacy_->asked;
  inquiry_->AskForPromise(
      epoch, wire::Encode(wire::PromiseRequest{pool_->cluster(), epoch, self_, candidacy_->campaign.interrupts()}));
}

void Node::EndCampaign(const Status& outcome) {
  inquiry_->Close();
  if (!candidacy_) return;
  Enter(PhaseEvent::kGiveUp);
  Answer(outcome);
}

// The only place where the phase changes and where everything that ends with the old phase is torn down.  A term is
// ended by StepDown().
void Node::Enter(PhaseEvent event) {
  const Phase from = standing_.phase();
  standing_.Enter(event);
  if (HasCampaign(from) && !standing_.Campaigning()) {
    candidacy_.reset();
    inquiry_->Close();
  }
  if (from == Phase::kFetching) receiver_->Stop();
}

// A majority promised, and no other primary can commit any more: this node takes over the longest log that any of them
// holds.
void Node::FetchFromBest() {
  Enter(PhaseEvent::kWin);
  if (log_->end() >= candidacy_->campaign.best_end()) {
    BecomePrimary();
  } else {
    receiver_->Start();
  }
}

// The node with the best log went away before its log was read: this node asks again which nodes are there.
void Node::LostBestLog() {
  const MonoTime left = order_.end == kForever ? kForever : order_.end - clock_->Now();
  auto done = std::exchange(order_.done, nullptr);
  Enter(PhaseEvent::kGiveUp);
  const auto patience =
      left == kForever ? std::chrono::milliseconds::max() : std::chrono::duration_cast<std::chrono::milliseconds>(left);
  StartCampaign(Epoch{}, voter_->promised(), patience, std::move(done));
}

void Node::Answer(const Status& outcome) {
  if (!order_.done) return;
  const auto done = std::exchange(order_.done, nullptr);
  done(outcome);
}

Status Node::GivePromise(Epoch epoch, const NodeId& candidate) {
  const bool persists = !Mutated(Mutant::kPromiseNotPersisted);
  if (Status status = persists ? pool_->SetPromise(epoch, candidate) : Status::Ok(); !status.ok())
    return health_.Fail(status);
  voter_->Promised(epoch, candidate);
  follower_->Promised();
  receiver_->Stop();
  StepDown(fmt::format("epoch {} was promised", epoch.value));
  return Status::Ok();
}

}  // namespace faha
