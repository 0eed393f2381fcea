// Planned changes of the primary: handing over, and asking for it.  See node.h.
#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "store/node.h"

namespace faha {

namespace {
constexpr std::chrono::milliseconds kHandOverPatience{5000};
}  // namespace

// Before anything is judged: peers speak while it commits.
Status Node::SettleTurn() {
  if (Status status = CheckServing(Code::kNotPrimary); !status.ok()) return status;
  return NeedsCommit() ? Commit() : Status::Ok();
}

Status Node::HandOverNow(const std::optional<Endpoint>& target) {
  if (Status status = SettleTurn(); !status.ok()) return status;
  Shipper* best = nullptr;
  for (const auto& shipper : committer_->shippers()) {
    if (!shipper->in_sync || membership_.Find(shipper->receiver().id) == nullptr) continue;
    if (target && shipper->receiver().Redis() != *target) continue;
    if (best == nullptr || shipper->acked() > best->acked()) best = shipper.get();
  }
  if (best == nullptr) {
    return {Code::kUnavailable, target ? fmt::format("{} is not a backup in sync: see FAHA.STATUS", target->ToString())
                                       : std::string("no backup is in sync: see FAHA.STATUS")};
  }
  const Member heir = best->receiver();
  best->SendHandOver(voter_->promised());
  const MonoTime deadline = clock_->Now() + kHandOverPatience;
  const auto handed_over = [&] { return role_ == Role::kBackup && receiver_->streaming(); };
  while (!handed_over() && clock_->Now() < deadline) WaitForPeers(deadline);
  if (handed_over()) return Status::Ok();
  if (role_ == Role::kPrimary) {
    // What was offered may still be taken up, in this epoch and against its lease: this node serves in a later one.
    StartCampaign(voter_->promised(), Epoch{}, std::chrono::milliseconds::max(), nullptr);
    return {Code::kUnavailable,
            fmt::format("{} did not take over: this node seeks to be the primary again", heir.Redis().ToString())};
  }
  return {Code::kNoQuorum, fmt::format("{} was promised the epoch but is not primary yet: see FAHA.STATUS there",
                                       heir.Redis().ToString())};
}

void Node::HandOverOffered(Epoch epoch) {
  if (epoch != voter_->promised() || membership_.Find(self_.id) == nullptr) return;
  auto done = heir_ ? std::move(heir_->done) : nullptr;
  heir_.reset();
  StartCampaign(epoch, Epoch{}, kHandOverPatience, std::move(done));
}

void Node::TakeOver(std::chrono::milliseconds patience, std::function<void(const Status&)> done) {
  EndTakeOver({Code::kNoPromise, "another attempt has taken its place"});
  if (!receiver_->streaming() || membership_.Find(self_.id) == nullptr) return Promote(patience, std::move(done));
  heir_ = {.patience = patience, .done = std::move(done), .end = clock_->Now() + kHandOverPatience};
  StepTakeOver();
}

void Node::EndTakeOver(const Status& outcome) {
  if (!heir_) return;
  const auto done = std::move(heir_->done);
  heir_.reset();
  done(outcome);
}

// A backup that is not in sync yet is not heard: it asks again.  A primary that is silent for a lease is not asked.
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
