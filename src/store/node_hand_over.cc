// Planned changes of the primary: handing over, and asking for it.  See node.h.
#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "base/mutant.h"
#include "store/node.h"

namespace faha {

namespace {
constexpr std::chrono::milliseconds kHandOverPatience{5000};
// How often a backup asks its primary to hand over.
constexpr MonoTime kAskPeriod{50'000};
}  // namespace

// Settles the turn before anything is judged, because peers may speak while it commits.  If the index cannot name its
// keys, this node serves nobody and has nothing to commit: then it is even more important that another node leads.
Status Node::SettleForHeir() {
  if (!engine_->broken() || !standing_.Leading() || !health_.ok()) return SettleTurn();
  if (NeedsCommit()) (void)FailTurn();
  return health_.failure();
}

Status Node::SettleTurn() {
  if (Status status = CheckServing(Code::kNotPrimary); !status.ok()) return status;
  return NeedsCommit() ? Commit() : Status::Ok();
}

void Node::HandOver(const std::optional<Endpoint>& target, std::function<void(const Status&)> done) {
  if (Status status = SettleForHeir(); !status.ok()) return done(status);
  if (offer_) {
    return done({Code::kUnavailable,
                 fmt::format("the role is being handed over to {} already", offer_->heir.Redis().ToString())});
  }
  Shipper* best = BestHeir(target);
  for (bool sure = false; best != nullptr && best->may_lead() && best->reached && !sure;) {
    const NodeId heir = best->receiver().id;
    const bool reached = ReachedNow(best->receiver());
    if (!standing_.Leading() || !health_.ok()) return done(CheckServing(Code::kNotPrimary));
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
  const MonoTime quiet_end = clock_->Now() + options_.persist_timeout;
  while (offer_ && standing_.Leading() && clock_->Now() < quiet_end) WaitForPeers(quiet_end);
  while (Mutated(Mutant::kHandOverBlocks) && offer_ && standing_.Leading() && clock_->Now() < offer_->end) {
    WaitForPeers(offer_->end);
  }
}

// The backup in sync that has the longest log, or only the backup `target`; null if there is none.
Shipper* Node::BestHeir(const std::optional<Endpoint>& target) const {
  Shipper* best = nullptr;
  for (const auto& shipper : committer_->shippers()) {
    if (!shipper->in_sync || replica_.membership().Find(shipper->receiver().id) == nullptr) continue;
    if (target && shipper->receiver().Redis() != *target) continue;
    if (!(shipper->may_lead() && shipper->reached) && !target) continue;
    if (best == nullptr || shipper->acked() > best->acked()) best = shipper.get();
  }
  return best;
}

// This node serves until it promises the heir's epoch.  An heir that fails, or takes too long, may still take up the
// role that it was offered.  So this node does not wait for it, but takes the offer back by leading a later epoch.
void Node::StepOffer() {
  if (!offer_) return;
  const std::string heir = offer_->heir.Redis().ToString();
  const bool late = clock_->Now() >= offer_->end;
  if (standing_.Leading()) {
    if (waiting_) return;  // a commit that waits must not lose its role for this
    const auto& shippers = committer_->shippers();
    const bool alive = std::any_of(shippers.begin(), shippers.end(), [&](const auto& shipper) {
      return shipper->receiver().id == offer_->heir.id && shipper->in_sync;
    });
    if (alive && !late) return;
    const Epoch floor = offer_->floor;
    EndOffer({Code::kUnavailable, fmt::format("{} did not take over: this node seeks to be the primary again", heir)});
    StartCampaign(voter_->promised(), floor, std::chrono::milliseconds::max(), nullptr);
  } else if (receiver_->streaming() && !standing_.Fetching()) {
    EndOffer(standing_.primary().id == offer_->heir.id
                 ? Status::Ok()
                 : Status{Code::kUnavailable, fmt::format("{} did not take over: the primary is {}", heir,
                                                          standing_.primary().Redis().ToString())});
  } else if (late) {
    EndOffer({Code::kNoQuorum,
              fmt::format("{} was promised the epoch but is not primary yet: see FAHA.STATUS there", heir)});
  }
}

void Node::EndOffer(const Status& outcome) {
  if (!offer_) return;
  const auto done = std::move(offer_->done);
  offer_.reset();
  done(outcome);
}

void Node::HandOverOffered(Epoch epoch) {
  if (epoch != voter_->promised() || replica_.membership().Find(self_.id) == nullptr) return;
  auto done = std::exchange(heir_ ? heir_->done : order_.done, nullptr);
  heir_.reset();
  StartCampaign(epoch, Epoch{}, kHandOverPatience, std::move(done));
}

void Node::TakeOver(std::chrono::milliseconds patience, std::function<void(const Status&)> done) {
  EndTakeOver({Code::kNoPromise, "another attempt has taken its place"});
  if (Status status = replica_.CheckDatabases(); !status.ok()) return done(status);
  const bool asks = receiver_->streaming() && (!candidacy_ || Mutated(Mutant::kOrderBeginsAnew));
  if (!asks || replica_.membership().Find(self_.id) == nullptr) return Promote(patience, std::move(done));
  heir_ = {.patience = patience, .done = std::move(done), .end = clock_->Now() + kHandOverPatience};
  StepTakeOver();
}

void Node::EndTakeOver(const Status& outcome) {
  if (!heir_) return;
  const auto done = std::move(heir_->done);
  heir_.reset();
  done(outcome);
}

// The primary ignores a backup that is not in sync yet, so the backup asks again.  A primary that has been silent for a
// lease is not asked.
void Node::StepTakeOver() {
  if (!heir_) return;
  const MonoTime now = clock_->Now();
  if (receiver_->streaming() && voter_->LeaseMayRun(now) && now < heir_->end) {
    if (now < heir_->next_ask) return;
    heir_->next_ask = now + kAskPeriod;
    receiver_->AskForHandOver();
    return;
  }
  Heir heir = std::move(*heir_);
  heir_.reset();
  Promote(heir.patience, std::move(heir.done));
}

}  // namespace faha
