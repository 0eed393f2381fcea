#include "store/sessions.h"

#include <fmt/format.h>

namespace faha {

namespace {
constexpr MonoTime kGuestPatience{5'000'000};
}  // namespace

Sessions::Sessions(const PartContext& shared, Committer* committer, Probes* probes, Primary* primary, Source* source,
                   Follower* follower, Election* election, Votes* votes)
    : clock_(shared.clock),
      fabric_(shared.fabric),
      health_(shared.health),
      pool_(&shared.replica->pool()),
      committer_(committer),
      probes_(probes),
      primary_(primary),
      source_(source),
      receiver_(&follower->receiver()),
      election_(election),
      votes_(votes) {}

Sessions::Who Sessions::Of(LinkId link) const {
  if (receiver_->Owns(link)) return Who::kSource;
  if (election_->Owns(link)) return Who::kMember;
  if (probes_->Owns(link)) return Who::kProbed;
  if (committer_->Find(link) != nullptr) return Who::kReceiver;
  return guests_.contains(link) ? Who::kGuest : Who::kNobody;
}

void Sessions::OnAccept(LinkId link, const Endpoint& peer, Lane lane) { guests_[link] = {peer, lane, clock_->Now()}; }

void Sessions::OnConnect(LinkId link) {
  const Who who = Of(link);
  if (who == Who::kSource) return receiver_->OnConnect(link);
  const auto request = election_->StateRequest();
  if (who == Who::kProbed) return fabric_->Send(link, request);
  if (who == Who::kMember) election_->OnConnect(link, request);
}

void Sessions::OnFrame(LinkId link, std::span<const std::byte> head, std::span<const std::byte> body) {
  if (!health_->ok()) return fabric_->Close(link);
  bool known = false;
  switch (Of(link)) {
    case Who::kNobody: break;
    case Who::kSource: return receiver_->OnFrame(link, head, body);
    case Who::kMember: known = election_->OnFrame(link, head); break;
    case Who::kProbed: known = votes_->OnProbeFrame(link, head); break;
    case Who::kReceiver: known = source_->OnFrame(link, head); break;
    case Who::kGuest: {
      Guest& guest = guests_.at(link);
      guest.heard = clock_->Now();
      if (guest.lane == Lane::kData) return OnStrangerFrame(link, head);
      known = OnGuestFrame(link, head);
      if (!known) guests_.erase(link);
      break;
    }
  }
  if (known) return;
  health_->Remember(
      {Code::kProtocol, "a peer sent a message that does not belong there: run the same release on all nodes"});
  fabric_->Close(link);
}

void Sessions::OnPlaced(LinkId link, std::uint64_t place, std::span<const std::byte> body) {
  if (health_->ok() && Of(link) == Who::kSource) return receiver_->OnPlaced(link, place, body);
  fabric_->Close(link);
}

void Sessions::OnClose(LinkId link, const Status& reason) {
  if (reason.code() == Code::kProtocol || reason.code() == Code::kPeerVersion || reason.code() == Code::kDenied)
    health_->Remember(reason);
  votes_->Drop(link);
  switch (Of(link)) {
    case Who::kNobody: return;
    case Who::kSource: return receiver_->OnClose(link, reason);
    case Who::kMember: return election_->OnClose(link);
    case Who::kProbed: return votes_->OnProbed(probes_->OnClose(link));
    case Who::kReceiver: {
      const Shipper& shipper = *committer_->Find(link);
      if (!shipper.fetch()) primary_->NoteLost({shipper.receiver().Redis()}, reason.message());
      return committer_->Drop(link);
    }
    case Who::kGuest: guests_.erase(link);
  }
}

void Sessions::OnPollEnd() {
  receiver_->OnPollEnd();
  election_->Step();
}

void Sessions::DropSilentGuests() {
  std::erase_if(guests_, [&](const auto& guest) {
    const bool silent = clock_->Now() - guest.second.heard > kGuestPatience;
    if (silent) fabric_->Close(guest.first);
    return silent;
  });
}

bool Sessions::OnGuestFrame(LinkId link, std::span<const std::byte> head) {
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
void Sessions::OnStrangerFrame(LinkId link, std::span<const std::byte> head) {
  const std::string host = guests_.at(link).peer.host;
  guests_.erase(link);
  if (source_->OpenData(link, head)) return;
  fabric_->Close(link);
  health_->Remember(
      {Code::kDenied,
       fmt::format("{} spoke over RDMA without a token that it was told over TCP, and was not heard: it is no node "
                   "of this cluster, or asked too late",
                   host)});
}

void Sessions::AnswerFollow(LinkId link, const wire::FollowRequest& request) {
  switch (source_->Answer(link, guests_.at(link).peer.host, request)) {
    case Source::Outcome::kRefused: return;
    case Source::Outcome::kLaterEpoch: return election_->OnLaterEpoch(request.promised);
    case Source::Outcome::kLacksLog: return election_->LeadInstead();
    case Source::Outcome::kAdmitted: guests_.erase(link);
  }
}

}  // namespace faha
