#include "store/votes.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/mutant.h"

namespace faha {

Votes::Votes(const PartContext& shared, AddressBook* book, Committer* committer, Probes* probes, Primary* primary,
             Follower* follower, Election* election)
    : options_(shared.options),
      clock_(shared.clock),
      fabric_(shared.fabric),
      health_(shared.health),
      standing_(shared.standing),
      replica_(shared.replica),
      voter_(shared.voter),
      pool_(&shared.replica->pool()),
      book_(book),
      committer_(committer),
      probes_(probes),
      primary_(primary),
      follower_(follower),
      election_(election),
      self_(shared.self) {}

void Votes::AnswerState(LinkId link, const wire::StateRequest& request) {
  if (request.cluster != pool_->cluster()) return fabric_->Close(link);
  const bool serving = primary_->IsNotToBeReplaced();
  fabric_->Send(link, wire::Encode(wire::StateReply{.from = self_.id,
                                                    .serving = serving,
                                                    .lease_may_run = serving || voter_->LeaseMayRun(clock_->Now()),
                                                    .promised = voter_->promised(),
                                                    .end = replica_->VouchedEnd(),
                                                    .primary = standing_->primary(),
                                                    .members = replica_->members(),
                                                    .whole = replica_->whole(),
                                                    .lease_holder = voter_->LeaseHolder()}));
  const bool hears = standing_->Leading() && !Mutated(Mutant::kHearsNoQuestion) && !Mutated(Mutant::kSidesNeverMeet);
  if (hears) (void)election_->YieldsTo(request.promised, request.primary);
}

Refusal Votes::JudgeRequest(const wire::PromiseRequest& request) const {
  // This node does not know what it lost, so it cannot say how far a log must reach that is to take the lost log's
  // place.
  if (!replica_->whole() && replica_->VouchedEnd() == kUnknownClaim) return Refusal::kNotWhole;
  if (replica_->forked_off()) return Refusal::kForkedOff;
  const Refusal refusal = voter_->Judge(request.epoch, request.candidate.id, request.interrupts, clock_->Now());
  const bool alive = primary_->IsNotToBeReplaced() && request.interrupts != voter_->promised();
  return refusal == Refusal::kNone && alive ? Refusal::kPrimaryAlive : refusal;
}

void Votes::AnswerPromise(LinkId link, const wire::PromiseRequest& request) {
  if (request.cluster != pool_->cluster()) return fabric_->Close(link);
  Refusal refusal = JudgeRequest(request);
  // A node that is elected must be one that others can follow.  A primary that hands over has already checked that.
  const bool vouched = request.interrupts != Epoch{} || Mutated(Mutant::kElectsUnreached);
  if (refusal == Refusal::kNone && request.epoch > voter_->promised() && !vouched) {
    const Reach reach = probes_->ReachOf(request.candidate);
    if (reach == Reach::kUnknown) {
      held_.Hold({link, request, clock_->Now() + options_->lease / 2});
      return;
    }
    if (reach == Reach::kNot) refusal = Refusal::kNotReached;
    probes_->End(request.candidate.id);  // the next request dials again
  }
  if (refusal == Refusal::kNone && request.epoch > voter_->promised()) {
    election_->GiveWay(
        {Code::kNoPromise, fmt::format("{} campaigns with a later epoch", request.candidate.Redis().ToString())});
    if (!election_->GivePromise(request.epoch, request.candidate.id).ok()) return fabric_->Close(link);
    health_->Note(LogLevel::kNotice,
                  fmt::format("promised epoch {} to {}", request.epoch.value, request.candidate.Redis().ToString()));
    if (replica_->membership().Find(request.candidate.id) != nullptr) {
      book_->Found(request.candidate.id, request.candidate.Replication());
    }
    follower_->Seek(request.candidate);
  }
  fabric_->Send(link, wire::Encode(wire::PromiseReply{.from = self_.id,
                                                      .granted = refusal == Refusal::kNone,
                                                      .refusal = static_cast<std::uint8_t>(refusal),
                                                      .promised = voter_->promised(),
                                                      .end = replica_->VouchedEnd(),
                                                      .members = replica_->members(),
                                                      .whole = replica_->whole()}));
}

// --- Who can be dialled.

// A primary probes its backups in sync, the members that are not heard, and the nodes that were left out when it,
// or a primary before it, was forced to lead: one of these may be, or follow, the primary of a later epoch, of which
// this one would never hear while it has its majority.
void Votes::TendProbes() {
  for (const NodeId& candidate : held_.Late(clock_->Now())) {
    probes_->GiveUp(candidate);
    SettleVotes(candidate);
  }
  if (!standing_->Leading()) return;
  for (const auto& shipper : committer_->shippers()) {
    const Member& backup = shipper->receiver();
    if (!shipper->in_sync || shipper->fetch()) continue;
    const bool reached = probes_->ReachOf(backup) != Reach::kNot;
    if (std::exchange(shipper->reached, reached) != reached) primary_->HurryHeartbeat();
    if (reached || !probes_->TellOnce(backup.id)) continue;
    health_->Remember(
        {Code::kUnavailable,
         fmt::format(
             "nothing that answers at {} is {}, which is in sync: it may not lead, and no vote can be "
             "asked of it there; see faha.announce-host, faha.peer-host and faha.port of it, and what stands between "
             "the two",
             backup.Replication().ToString(), backup.Redis().ToString())});
  }
  const Members away = Away();
  for (const Member& member : away) {
    probes_->Refresh(member.id);
    (void)probes_->ReachOf(member);
  }
  probes_->KeepOnly([&](const NodeId& node) {
    const Shipper* shipper = committer_->Of(node);
    return held_.For(node) || (shipper != nullptr && shipper->in_sync) ||
           std::any_of(away.begin(), away.end(), [&](const Member& member) { return member.id == node; });
  });
}

// A connection may stand for minutes although the other end is gone, so a member counts as away if it has answered no
// heartbeat for a lease.
Members Votes::Away() const {
  Members away;
  const auto is_heard = [&](const NodeId& node) {
    const Shipper* shipper = committer_->Of(node);
    if (shipper == nullptr) return false;
    return shipper->echoed() == MonoTime{0} || clock_->Now() - shipper->echoed() <= options_->lease;
  };
  const auto add = [&](const Members& members) {
    std::copy_if(members.begin(), members.end(), std::back_inserter(away),
                 [&](const Member& member) { return member.id != self_.id && !is_heard(member.id); });
  };
  if (!Mutated(Mutant::kSidesNeverMeet)) add(replica_->members());
  if (!Mutated(Mutant::kForgetsLeftOut)) add(replica_->membership().left_out());
  return away;
}

bool Votes::OnProbeFrame(LinkId link, std::span<const std::byte> head) {
  const auto reply = wire::Decode<wire::StateReply>(head);
  if (!reply) return false;
  OnProbed(probes_->OnAnswer(link, reply->from));
  if (standing_->Leading()) (void)election_->YieldsTo(reply->promised, reply->primary);
  return true;
}

void Votes::OnProbed(const Probes::Outcome& outcome) {
  if (outcome.mended) health_->Mended();
  SettleVotes(outcome.node);
}

// Enough is known about `candidate` now to answer the nodes that asked for a vote for it.
void Votes::SettleVotes(const NodeId& candidate) {
  for (const HeldVote& held : held_.Take(candidate)) AnswerPromise(held.link, held.request);
  if (!standing_->Leading()) probes_->End(candidate);  // the next request dials again
}

}  // namespace faha
