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
  if (election_->Owns(link)) election_->OnConnect(link, request);
}

void Node::OnFrame(LinkId link, std::span<const std::byte> head, std::span<const std::byte> body) {
  if (!health_.ok()) return fabric_->Close(link);
  if (receiver_->Owns(link)) return receiver_->OnFrame(link, head, body);
  bool known = false;
  if (election_->Owns(link)) {
    known = election_->OnFrame(link, head);
  } else if (probes_->Owns(link)) {
    known = votes_->OnProbeFrame(link, head);
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
  votes_->Drop(link);
  if (guests_.erase(link) > 0) return;
  if (receiver_->Owns(link)) return receiver_->OnClose(link, reason);
  if (Shipper* shipper = committer_->Find(link)) {
    if (!shipper->fetch()) primary_->NoteLost({shipper->receiver().Redis()}, reason.message());
    committer_->Drop(link);
    return;
  }
  if (probes_->Owns(link)) return votes_->OnProbed(probes_->OnClose(link));
  if (election_->Owns(link)) election_->OnClose(link);
}

void Node::OnPollEnd() {
  receiver_->OnPollEnd();
  election_->Step();
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
      if (const auto request = wire::Decode<wire::StateRequest>(head)) return votes_->AnswerState(link, *request), true;
      return false;
    case wire::Type::kPromiseRequest:
      if (const auto request = wire::Decode<wire::PromiseRequest>(head))
        return votes_->AnswerPromise(link, *request), true;
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

void Node::AnswerFollow(LinkId link, const wire::FollowRequest& request) {
  switch (source_->Answer(link, guests_[link].peer.host, request)) {
    case Source::Outcome::kRefused: return;
    case Source::Outcome::kLaterEpoch: return election_->OnLaterEpoch(request.promised);
    case Source::Outcome::kLacksLog: return election_->LeadInstead();
    case Source::Outcome::kAdmitted: guests_.erase(link);
  }
}

}  // namespace faha
