// Planned changes of the primary: handing over, and asking for it.  See node.h.
#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "base/mutant.h"
#include "store/node.h"

namespace faha {

namespace {
// How often a backup asks its primary to hand over.
constexpr MonoTime kAskPeriod{50'000};
}  // namespace

// This node serves until it promises the heir's epoch.  An heir that fails, or takes too long, may still take up the
// role that it was offered.  So this node does not wait for it, but takes the offer back by leading a later epoch.
void Node::StepOffer() {
  const Primary::Offer* offer = primary_->offer();
  if (offer == nullptr) return;
  const std::string heir = offer->heir.Redis().ToString();
  const bool late = clock_->Now() >= offer->end;
  if (standing_.Leading()) {
    if (primary_->waiting()) return;  // a commit that waits must not lose its role for this
    const auto& shippers = committer_->shippers();
    const bool alive = std::any_of(shippers.begin(), shippers.end(), [&](const auto& shipper) {
      return shipper->receiver().id == offer->heir.id && shipper->in_sync;
    });
    if (alive && !late) return;
    const Epoch floor = offer->floor;
    primary_->EndOffer(
        {Code::kUnavailable, fmt::format("{} did not take over: this node seeks to be the primary again", heir)});
    StartCampaign(voter_->promised(), floor, std::chrono::milliseconds::max(), nullptr);
  } else if (receiver_->streaming() && !standing_.Fetching()) {
    primary_->EndOffer(standing_.primary().id == offer->heir.id
                           ? Status::Ok()
                           : Status{Code::kUnavailable, fmt::format("{} did not take over: the primary is {}", heir,
                                                                    standing_.primary().Redis().ToString())});
  } else if (late) {
    primary_->EndOffer({Code::kNoQuorum,
                        fmt::format("{} was promised the epoch but is not primary yet: see FAHA.STATUS there", heir)});
  }
}

void Node::HandOverOffered(Epoch epoch) {
  if (epoch != voter_->promised() || replica_.membership().Find(self_.id) == nullptr) return;
  auto done = std::exchange(heir_ ? heir_->done : order_.done, nullptr);
  heir_.reset();
  StartCampaign(epoch, Epoch{}, Primary::kHandOverPatience, std::move(done));
}

void Node::TakeOver(std::chrono::milliseconds patience, std::function<void(const Status&)> done) {
  EndTakeOver({Code::kNoPromise, "another attempt has taken its place"});
  if (Status status = replica_.CheckDatabases(); !status.ok()) return done(status);
  const bool asks = receiver_->streaming() && (!candidacy_ || Mutated(Mutant::kOrderBeginsAnew));
  if (!asks || replica_.membership().Find(self_.id) == nullptr) return Promote(patience, std::move(done));
  heir_ = {.patience = patience, .done = std::move(done), .end = clock_->Now() + Primary::kHandOverPatience};
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
