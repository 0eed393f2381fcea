// Campaigns, and what members answer.  See election.h.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/mutant.h"
#include "store/election.h"

namespace faha {

void Election::StepCampaign() {
  if (!candidacy_) {
    if (!order_.done || clock_->Now() < order_.end) return;
    if (order_.force && receiver_->streaming()) return Answer(Lives(standing_->primary()));
    if (order_.force) return LeadAlone();
    Answer(
        {Code::kNoQuorum, "this node is elected, but a majority of the members does not answer: start their servers"});
    return;
  }
  Campaign& campaign = candidacy_->campaign;
  switch (campaign.next()) {
    case Campaign::Next::kAsk:
      if (standing_->phase() == Phase::kPromised) Enter(PhaseEvent::kAskAgain);
      if (inquiry_.Due()) AskMembers(campaign.members());
      break;
    case Campaign::Next::kPromise:
      if (candidacy_->asked == campaign.epoch() && clock_->Now() - candidacy_->asked_since > options_->lease &&
          !Mutated(Mutant::kHungVoterCounts)) {
        campaign.OnPromisesLate();
        break;
      }
      AskForPromises();
      break;
    case Campaign::Next::kFollow: {
      const Member primary = campaign.primary();
      FoundPrimary(primary);
      follower_->Seek(primary);
      return;
    }
    case Campaign::Next::kWon:
      if (!standing_->Fetching()) FetchFromBest();
      return;
  }
  if (candidacy_ && clock_->Now() >= order_.end) {
    if (order_.force) return LeadAlone();
    EndCampaign({Code::kNoPromise, fmt::format("no majority promised: {}", candidacy_->campaign.Obstacle())});
    receiver_->Start();
  }
}

void Election::DialMembers(const Members& members) {
  for (const NodeId& silent : inquiry_.Dial(members, self_.id)) {
    if (candidacy_) candidacy_->campaign.OnUnreachable(silent);
  }
}

std::vector<std::byte> Election::StateRequest() const {
  return wire::Encode(wire::StateRequest{pool_->cluster(), voter_->promised(), standing_->primary()});
}

void Election::AskMembers(const Members& members) {
  DialMembers(members);
  inquiry_.Ask(StateRequest());
}

void Election::AskForPromises() {
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
    campaign.OnOwnPromise(log_->end(), candidacy_->forced ? Members{self_} : replica_->members());
    return StepCampaign();
  }
  if (!inquiry_.Due()) return;
  DialMembers(campaign.members());
  RequestPromises();
}

// Asks everybody that is connected and has not been asked yet.
void Election::RequestPromises() {
  const Epoch epoch = candidacy_->asked;
  inquiry_.AskForPromise(
      epoch, wire::Encode(wire::PromiseRequest{pool_->cluster(), epoch, self_, candidacy_->campaign.interrupts()}));
}

// A majority promised, and no other primary can commit any more: this node takes over the longest log that any of them
// holds.
void Election::FetchFromBest() {
  Enter(PhaseEvent::kWin);
  if (log_->end() >= candidacy_->campaign.best_end()) {
    BecomePrimary();
  } else {
    receiver_->Start();
  }
}

// The node with the best log went away before its log was read: this node asks again which nodes are there.
void Election::LostBestLog() {
  const MonoTime left = order_.end == kForever ? kForever : order_.end - clock_->Now();
  auto done = std::exchange(order_.done, nullptr);
  const bool force = order_.force;
  Enter(PhaseEvent::kGiveUp);
  const auto patience =
      left == kForever ? std::chrono::milliseconds::max() : std::chrono::duration_cast<std::chrono::milliseconds>(left);
  StartCampaign(Epoch{}, voter_->promised(), patience, std::move(done));
  order_.force = force && order_.done != nullptr;
}

bool Election::OnFrame(LinkId link, std::span<const std::byte> head) {
  const bool known = OnMemberFrame(link, head);
  if (!known) inquiry_.Drop(link);
  return known;
}

bool Election::OnMemberFrame(LinkId link, std::span<const std::byte> head) {
  const NodeId peer = inquiry_.PeerOf(link).value_or(NodeId{});
  if (!peer.IsNone()) return OnAnswer(peer, head);
  const auto reply = wire::Decode<wire::StateReply>(head);
  if (!reply) return false;
  const Member* member = replica_->membership().Find(reply->from);
  if (member == nullptr || member->id == self_.id || !inquiry_.Adopt(link, member->id)) return true;
  health_->Note(LogLevel::kNotice,
                fmt::format("{} answers at {}", member->Redis().ToString(), book_->AddressOf(*member).ToString()));
  return OnAnswer(member->id, head);
}

// The peer is, or follows, the primary of a later epoch.  That primary may lack only this node to serve.
bool Election::YieldsTo(Epoch promised, const Member& primary) {
  if (primary.id.IsNone() || primary.id == self_.id || promised <= voter_->promised()) return false;
  StepDown(fmt::format("epoch {} has another primary", promised.value));
  follower_->Seek(primary);
  return true;
}

bool Election::OnAnswer(NodeId peer, std::span<const std::byte> head) {
  if (const auto reply = wire::Decode<wire::StateReply>(head)) {
    if (reply->from != peer) return OnWrongAnswer(peer), true;
    if (candidacy_) {
      candidacy_->campaign.OnState(
          reply->from, {reply->serving, reply->lease_may_run, reply->lease_holder, reply->whole, reply->promised,
                        reply->end, reply->primary, reply->members});
    } else if (!YieldsTo(reply->promised, reply->primary)) {
      inquiry_.SetMisses(peer, !reply->serving && !reply->lease_may_run);
    }
    return true;
  }
  if (const auto reply = wire::Decode<wire::PromiseReply>(head)) {
    if (reply->from != peer) return OnWrongAnswer(peer), true;
    if (candidacy_) {
      const auto refusal = static_cast<Refusal>(std::min(reply->refusal, static_cast<std::uint8_t>(kLastRefusal)));
      candidacy_->campaign.OnPromise(
          peer, {reply->granted, refusal, reply->whole, reply->promised, reply->end, reply->members});
      // Each attempt is written to the pools: if nobody can follow the candidate, there is no hurry to make the next
      // attempt.
      if (refusal == Refusal::kNotReached) inquiry_.Defer(clock_->Now() + options_->lease);
    }
    return true;
  }
  return false;
}

// The node that answers at the address of a member is another node, or this one.
void Election::OnWrongAnswer(NodeId peer) {
  inquiry_.Refuse(peer);
  if (candidacy_) candidacy_->campaign.OnUnreachable(peer);
  const Member* member = replica_->membership().Find(peer);
  health_->Remember(
      {Code::kUnavailable, fmt::format("another node answers at {}, where {} should: see faha.announce-host, "
                                       "faha.peer-host and faha.port there, and what "
                                       "stands between the two",
                                       member != nullptr ? member->Replication().ToString() : "the address of a member",
                                       member != nullptr ? member->Redis().ToString() : peer.ToString())});
}

void Election::OnClose(LinkId link) {
  const NodeId member = inquiry_.OnClose(link);
  if (candidacy_ && !member.IsNone()) candidacy_->campaign.OnUnreachable(member);
}

}  // namespace faha
