// What peers say, and what this node answers.  See node.h.
// An accepted link is a guest until its first message tells what the link is for.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/mutant.h"
#include "base/uuid.h"
#include "store/node.h"

namespace faha {

namespace {
constexpr MonoTime kGuestPatience{5'000'000};
}  // namespace

void Node::OnAccept(LinkId link, const Endpoint& peer, Lane lane) { guests_[link] = {peer, lane, clock_->Now()}; }

void Node::OnConnect(LinkId link) {
  if (receiver_->Owns(link)) return receiver_->OnConnect(link);
  const auto request = wire::Encode(wire::StateRequest{pool_->cluster()});
  if (probes_->Owns(link)) return fabric_->Send(link, request);
  if (inquiry_->Owns(link)) inquiry_->OnConnect(link, request);
}

void Node::OnFrame(LinkId link, std::span<const std::byte> head, std::span<const std::byte> body) {
  if (!health_.ok()) return fabric_->Close(link);
  if (receiver_->Owns(link)) return receiver_->OnFrame(link, head, body);
  bool known = false;
  if (inquiry_->Owns(link)) {
    known = OnInquiryFrame(link, head);
    if (!known) inquiry_->Drop(link);
  } else if (probes_->Owns(link)) {
    known = OnProbeFrame(link, head);
  } else if (Shipper* shipper = committer_->Find(link)) {
    known = source_->OnFrame(shipper, link, head);
    if (!known) committer_->Drop(link);
  } else if (const auto guest = guests_.find(link); guest != guests_.end()) {
    guest->second.heard = clock_->Now();
    if (guest->second.lane == Lane::kData) return OnStrangerFrame(link, head);
    known = OnGuestFrame(link, head);
    if (!known) guests_.erase(link);
  }
  if (known) return;
  health_.Remember(
      {Code::kProtocol, "a peer sent a message that does not belong there: run the same release on all nodes"});
  fabric_->Close(link);
}

void Node::OnPlaced(LinkId link, std::uint64_t place, std::span<const std::byte> body) {
  if (health_.ok() && receiver_->Owns(link)) return receiver_->OnPlaced(link, place, body);
  fabric_->Close(link);
}

void Node::OnClose(LinkId link, const Status& reason) {
  if (reason.code() == Code::kProtocol || reason.code() == Code::kPeerVersion || reason.code() == Code::kDenied)
    health_.Remember(reason);
  held_votes_.Drop(link);
  if (guests_.erase(link) > 0) return;
  if (receiver_->Owns(link)) return receiver_->OnClose(link, reason);
  if (Shipper* shipper = committer_->Find(link)) {
    if (!shipper->fetch()) primary_->NoteLost({shipper->receiver().Redis()}, reason.message());
    committer_->Drop(link);
    return;
  }
  if (probes_->Owns(link)) return OnProbed(probes_->OnClose(link));
  if (!inquiry_->Owns(link)) return;
  const NodeId member = inquiry_->OnClose(link);
  if (candidacy_ && !member.IsNone()) candidacy_->campaign.OnUnreachable(member);
}

void Node::OnPollEnd() {
  receiver_->OnPollEnd();
  StepCampaign();
  Progress();
}

void Node::DropSilentGuests() {
  std::erase_if(guests_, [&](const auto& guest) {
    const bool silent = clock_->Now() - guest.second.heard > kGuestPatience;
    if (silent) fabric_->Close(guest.first);
    return silent;
  });
}

bool Node::OnGuestFrame(LinkId link, std::span<const std::byte> head) {
  switch (wire::TypeOf(head).value_or(wire::Type::kBatch)) {
    case wire::Type::kStateRequest:
      if (const auto request = wire::Decode<wire::StateRequest>(head)) return AnswerState(link, *request), true;
      return false;
    case wire::Type::kPromiseRequest:
      if (const auto request = wire::Decode<wire::PromiseRequest>(head)) return AnswerPromise(link, *request), true;
      return false;
    case wire::Type::kFollowRequest:
      if (const auto request = wire::Decode<wire::FollowRequest>(head)) return AnswerFollow(link, *request), true;
      return false;
    case wire::Type::kDataHello:
      // The shipper to which this link belongs may be gone already.
      if (!source_->OpenData(link, head)) fabric_->Close(link);
      guests_.erase(link);
      return true;
    default: return false;
  }
}

// The first message on an accepted link of the data lane.  Its peer has proved nothing: the only message that it may
// send is a token.
void Node::OnStrangerFrame(LinkId link, std::span<const std::byte> head) {
  const std::string host = guests_.at(link).peer.host;
  guests_.erase(link);
  if (source_->OpenData(link, head)) return;
  fabric_->Close(link);
  health_.Remember(
      {Code::kDenied,
       fmt::format("{} spoke over RDMA without a token that it was told over TCP, and was not heard: it is no node "
                   "of this cluster, or asked too late",
                   host)});
}

void Node::AnswerState(LinkId link, const wire::StateRequest& request) {
  if (request.cluster != pool_->cluster()) return fabric_->Close(link);
  const bool serving = primary_->IsNotToBeReplaced();
  fabric_->Send(link, wire::Encode(wire::StateReply{.from = self_.id,
                                                    .serving = serving,
                                                    .lease_may_run = serving || voter_->LeaseMayRun(clock_->Now()),
                                                    .promised = voter_->promised(),
                                                    .end = replica_.VouchedEnd(),
                                                    .primary = standing_.primary(),
                                                    .members = replica_.members(),
                                                    .whole = replica_.whole(),
                                                    .lease_holder = voter_->LeaseHolder()}));
}

Refusal Node::JudgeRequest(const wire::PromiseRequest& request) const {
  // This node does not know what it lost, so it cannot say how far a log must reach that is to take the lost log's
  // place.
  if (!replica_.whole() && replica_.VouchedEnd() == kUnknownClaim) return Refusal::kNotWhole;
  const Refusal refusal = voter_->Judge(request.epoch, request.candidate.id, request.interrupts, clock_->Now());
  const bool alive = primary_->IsNotToBeReplaced() && request.interrupts != voter_->promised();
  return refusal == Refusal::kNone && alive ? Refusal::kPrimaryAlive : refusal;
}

void Node::AnswerPromise(LinkId link, const wire::PromiseRequest& request) {
  if (request.cluster != pool_->cluster()) return fabric_->Close(link);
  Refusal refusal = JudgeRequest(request);
  // A node that is elected must be one that others can follow.  A primary that hands over has already checked that.
  const bool vouched = request.interrupts != Epoch{} || Mutated(Mutant::kElectsUnreached);
  if (refusal == Refusal::kNone && request.epoch > voter_->promised() && !vouched) {
    const Reach reach = probes_->ReachOf(request.candidate);
    if (reach == Reach::kUnknown) {
      held_votes_.Hold({link, request, clock_->Now() + options_.lease / 2});
      return;
    }
    if (reach == Reach::kNot) refusal = Refusal::kNotReached;
    probes_->End(request.candidate.id);  // the next request dials again
  }
  if (refusal == Refusal::kNone && request.epoch > voter_->promised()) {
    EndCampaign(
        {Code::kNoPromise, fmt::format("{} campaigns with a later epoch", request.candidate.Redis().ToString())});
    if (!GivePromise(request.epoch, request.candidate.id).ok()) return fabric_->Close(link);
    health_.Note(LogLevel::kNotice,
                 fmt::format("promised epoch {} to {}", request.epoch.value, request.candidate.Redis().ToString()));
    if (replica_.membership().Find(request.candidate.id) != nullptr) {
      book_.Found(request.candidate.id, request.candidate.Replication());
    }
    follower_->Seek(request.candidate);
  }
  fabric_->Send(link, wire::Encode(wire::PromiseReply{.from = self_.id,
                                                      .granted = refusal == Refusal::kNone,
                                                      .refusal = static_cast<std::uint8_t>(refusal),
                                                      .promised = voter_->promised(),
                                                      .end = replica_.VouchedEnd(),
                                                      .members = replica_.members(),
                                                      .whole = replica_.whole()}));
}

void Node::AnswerFollow(LinkId link, const wire::FollowRequest& request) {
  switch (source_->Answer(link, guests_[link].peer.host, request)) {
    case Source::Outcome::kRefused: return;
    case Source::Outcome::kLaterEpoch: return OnLaterEpoch(request.promised);
    case Source::Outcome::kLacksLog: return LeadInstead();
    case Source::Outcome::kAdmitted: guests_.erase(link);
  }
}

// A candidate may not lead with its log, and this node may.
void Node::LeadInstead() { StartCampaign(Epoch{}, Epoch{}, std::chrono::milliseconds::max(), nullptr); }

// A peer has promised an epoch beyond this primary's.  A failed candidate left that promise there, and the peer can
// follow only a primary of a later epoch.  While the role is offered, the candidate is the heir, which gets its time.
void Node::OnLaterEpoch(Epoch epoch) {
  if (primary_->offer() != nullptr) {
    primary_->HeardOfEpoch(epoch);
  } else {
    health_.Note(LogLevel::kNotice,
                 fmt::format("a member has promised epoch {}, of which nobody is the primary", epoch.value));
    StartCampaign(voter_->promised(), epoch, std::chrono::milliseconds::max(), nullptr);
  }
}

// --- From a member that was asked.

bool Node::OnInquiryFrame(LinkId link, std::span<const std::byte> head) {
  const NodeId peer = inquiry_->PeerOf(link).value_or(NodeId{});
  if (!peer.IsNone()) return OnAnswer(peer, head);
  const auto reply = wire::Decode<wire::StateReply>(head);
  if (!reply) return false;
  const Member* member = replica_.membership().Find(reply->from);
  if (member == nullptr || member->id == self_.id || !inquiry_->Adopt(link, member->id)) return true;
  health_.Note(LogLevel::kNotice,
               fmt::format("{} answers at {}", member->Redis().ToString(), book_.AddressOf(*member).ToString()));
  return OnAnswer(member->id, head);
}

bool Node::OnAnswer(NodeId peer, std::span<const std::byte> head) {
  if (const auto reply = wire::Decode<wire::StateReply>(head)) {
    if (reply->from != peer) return OnWrongAnswer(peer), true;
    if (candidacy_) {
      candidacy_->campaign.OnState(
          reply->from, {reply->serving, reply->lease_may_run, reply->lease_holder, reply->whole, reply->promised,
                        reply->end, reply->primary, reply->members});
    } else if (!reply->primary.id.IsNone() && reply->promised > voter_->promised()) {
      // The peer is, or follows, the primary of a later epoch.  That primary may lack only this node to serve.
      StepDown(fmt::format("epoch {} has another primary", reply->promised.value));
      follower_->Seek(reply->primary);
    } else {
      inquiry_->SetMisses(peer, !reply->serving && !reply->lease_may_run);
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
      if (refusal == Refusal::kNotReached) inquiry_->Defer(clock_->Now() + options_.lease);
    }
    return true;
  }
  return false;
}

// The node that answers at the address of a member is another node, or this one.
void Node::OnWrongAnswer(NodeId peer) {
  inquiry_->Refuse(peer);
  if (candidacy_) candidacy_->campaign.OnUnreachable(peer);
  const Member* member = replica_.membership().Find(peer);
  health_.Remember(
      {Code::kUnavailable, fmt::format("another node answers at {}, where {} should: see faha.announce-host, "
                                       "faha.peer-host and faha.port there, and what "
                                       "stands between the two",
                                       member != nullptr ? member->Replication().ToString() : "the address of a member",
                                       member != nullptr ? member->Redis().ToString() : peer.ToString())});
}

}  // namespace faha
