// Handing the role over.  See primary.h.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/mutant.h"
#include "store/primary.h"

namespace faha {

// Settles the turn before anything is judged, because peers may speak while it commits.  If the index cannot name its
// keys, this node serves nobody and has nothing to commit: then it is even more important that another node leads.
Status Primary::SettleForHeir() {
  if (!engine_->broken() || !standing_->Leading() || !health_->ok()) return SettleTurn();
  if (NeedsCommit()) turn_.Fail(FailTurn());
  return health_->failure();
}

Status Primary::SettleTurn() {
  if (Status status = CheckServing(Code::kNotPrimary); !status.ok()) return status;
  return CommitInside();
}

void Primary::HandOver(const std::optional<Endpoint>& target, std::function<void(const Status&)> done) {
  if (Status status = SettleForHeir(); !status.ok()) return done(status);
  if (offer_) {
    return done({Code::kUnavailable,
                 fmt::format("the role is being handed over to {} already", offer_->heir.Redis().ToString())});
  }
  Shipper* best = BestHeir(target);
  for (bool sure = false; best != nullptr && best->may_lead() && best->reached && !sure;) {
    const NodeId heir = best->receiver().id;
    const bool reached = ReachedNow(best->receiver());
    if (!standing_->Leading() || !health_->ok()) return done(CheckServing(Code::kNotPrimary));
    if (offer_) return done({Code::kUnavailable, "the role is being handed over already"});
    best = BestHeir(target);  // again, for its links may have changed meanwhile
    sure = reached && best != nullptr && best->receiver().id == heir;
  }
  if (best == nullptr) {
    return done(
        {Code::kUnavailable, target ? fmt::format("{} is not a backup in sync: see FAHA.STATUS", target->ToString())
                                    : std::string("no backup is in sync, or none of them may lead: see FAHA.STATUS")});
  }
  if (!best->reached) {
    return done(
        {Code::kUnavailable,
         fmt::format("nothing that answers at {} is {}: see faha.announce-host, faha.peer-host and faha.port of it",
                     best->receiver().Replication().ToString(), best->receiver().Redis().ToString())});
  }
  if (!best->may_lead()) {
    return done({Code::kUnavailable, fmt::format("{} refuses to lead, for a reason that FAHA.STATUS tells there",
                                                 best->receiver().Redis().ToString())});
  }
  offer_ = {.heir = best->receiver(), .end = clock_->Now() + kHandOverPatience, .done = std::move(done)};
  // From now on the heir may be elected at any moment, whatever the lease says: so this node holds no lease, see
  // LeaseHeld().
  best->SendHandOver(voter_->promised());
  // A healthy heir takes over within a few milliseconds.  As long as a commit would wait for the heir, no new commit is
  // begun: a commit that is under way when the heir is promised a later epoch has an unknown outcome, and its clients
  // are disconnected.
  const MonoTime quiet_end = clock_->Now() + options_->persist_timeout;
  while (offer_ && standing_->Leading() && clock_->Now() < quiet_end) WaitForPeers(quiet_end);
  while (Mutated(Mutant::kHandOverBlocks) && offer_ && standing_->Leading() && clock_->Now() < offer_->end) {
    WaitForPeers(offer_->end);
  }
}

// The backup in sync that has the longest log, or only the backup `target`; null if there is none.
Shipper* Primary::BestHeir(const std::optional<Endpoint>& target) const {
  Shipper* best = nullptr;
  for (const auto& shipper : committer_->shippers()) {
    if (!shipper->in_sync || replica_->membership().Find(shipper->receiver().id) == nullptr) continue;
    if (target && shipper->receiver().Redis() != *target) continue;
    if (!(shipper->may_lead() && shipper->reached) && !target) continue;
    if (best == nullptr || shipper->acked() > best->acked()) best = shipper.get();
  }
  return best;
}

// Dials the member again if it was last reached longer ago than a lease.  Peers may speak meanwhile.
bool Primary::ReachedNow(const Member& member) {
  const Member asked = member;
  probes_->Refresh(asked.id);
  // That it was not reached a moment ago is no reason to refuse an order without trying once more.
  if (probes_->ReachOf(asked) == Reach::kNot) probes_->End(asked.id);
  const MonoTime end = clock_->Now() + std::min<MonoTime>(options_->persist_timeout, options_->lease / 2);
  Reach reach = probes_->ReachOf(asked);
  while (standing_->Leading() && reach == Reach::kUnknown && clock_->Now() < end) {
    WaitForPeers(end);
    if (standing_->Leading()) reach = probes_->ReachOf(asked);
  }
  if (reach == Reach::kUnknown) probes_->GiveUp(asked.id);
  for (const auto& shipper : committer_->shippers()) {
    if (shipper->receiver().id == asked.id) shipper->reached = reach == Reach::kReached;
  }
  return reach == Reach::kReached;
}

void Primary::EndOffer(const Status& outcome) {
  if (!offer_) return;
  const auto done = std::move(offer_->done);
  offer_.reset();
  done(outcome);
}

}  // namespace faha
