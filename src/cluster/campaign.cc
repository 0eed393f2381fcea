#include "cluster/campaign.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "cluster/quorum.h"

namespace faha {

Campaign::Campaign(Member self, Members members, Epoch promised, LogEnd end, Epoch interrupts)
    : self_(std::move(self)),
      members_(std::move(members)),
      members_end_(end),
      highest_(promised),
      interrupts_(interrupts),
      best_(self_),
      best_end_(end) {
  Judge();
}

const Member* Campaign::MemberOf(const NodeId& id) const {
  const auto it = std::find_if(members_.begin(), members_.end(), [&](const Member& m) { return m.id == id; });
  return it == members_.end() ? nullptr : &*it;
}

bool Campaign::MajorityAnswers() const {
  const auto answering = std::count_if(members_.begin(), members_.end(),
                                       [&](const Member& m) { return m.id == self_.id || states_.contains(m.id); });
  return static_cast<std::size_t>(answering) >= Majority(members_.size());
}

// The members of a longer log are taken: it may hold a newer configuration, and a majority of an outdated one decides
// nothing.
void Campaign::Learn(LogEnd end, const Members& members) {
  if (end <= members_end_ || members.empty()) return;
  members_end_ = end;
  members_ = members;
}

void Campaign::OnState(const NodeId& peer, const PeerState& state) {
  if (peer == self_.id) return;
  if (state.whole) Learn(state.end, state.members);
  states_[peer] = state;
  highest_ = std::max(highest_, state.promised);
  Judge();
}

// While asking: decides whether a primary is alive, and whether enough members answer to try for promises.
void Campaign::Judge() {
  if (next_ != Next::kAsk) return;
  bool lease_may_run = false;
  for (const auto& [id, state] : states_) {
    if (state.serving && (interrupts_ == Epoch{} || state.promised != interrupts_)) {
      primary_ = state.primary;
      next_ = Next::kFollow;
      return;
    }
    lease_may_run = lease_may_run || (state.lease_may_run && state.lease_holder != self_.id);
  }
  if (!MajorityAnswers()) return;
  if (lease_may_run && interrupts_ == Epoch{}) return;
  epoch_ = highest_.Next();
  next_ = Next::kPromise;
}

void Campaign::OnOwnPromise(LogEnd end, const Members& members) {
  FAHA_CHECK(next_ == Next::kPromise, "a promise that no campaign asked for");
  OnPromise(self_.id, {.granted = true, .refusal = Refusal::kNone, .promised = epoch_, .end = end, .members = members});
}

void Campaign::OnPromise(const NodeId& peer, const PromiseAnswer& answer) {
  if (next_ != Next::kPromise) return;
  const Member* member = MemberOf(peer);
  if (!answer.granted) {
    refusal_ = fmt::format("{} refuses: {}", member != nullptr ? member->Redis().ToString() : "this node",
                           RefusalText(answer.refusal));
    highest_ = std::max({highest_, answer.promised, epoch_});
    // This epoch's attempt ends only when a majority refuses; a single refusal may be outvoted.
    states_.erase(peer);
    if (!MajorityAnswers()) AskAgain();
    return;
  }
  if (answer.promised != epoch_) return;
  if (answer.whole) Learn(answer.end, answer.members);
  member = MemberOf(peer);
  grants_[peer] = {answer.end, answer.whole};
  if (answer.whole && answer.end > best_end_ && member != nullptr) {
    best_end_ = answer.end;
    best_ = *member;
  }
  JudgePromises();
}

void Campaign::JudgePromises() {
  std::size_t votes = 0;
  for (const Member& member : members_) {
    const auto grant = grants_.find(member.id);
    if (grant == grants_.end()) continue;
    if (!grant->second.whole && grant->second.end > best_end_) {
      refusal_ = fmt::format("{} gave up a log that reached further than those that answer: start the other servers",
                             member.Redis().ToString());
      continue;
    }
    ++votes;
  }
  if (votes >= Majority(members_.size())) next_ = Next::kWon;
}

void Campaign::AskAgain() {
  next_ = Next::kAsk;
  grants_.clear();
  highest_ = std::max(highest_, epoch_);
}

void Campaign::OnUnreachable(const NodeId& peer) {
  states_.erase(peer);
  if (next_ == Next::kAsk) return Judge();
  if (next_ == Next::kPromise && !grants_.contains(peer) && !MajorityAnswers()) AskAgain();
}

void Campaign::OnPromisesLate() {
  if (next_ != Next::kPromise) return;
  states_.clear();
  AskAgain();
}

std::string Campaign::Obstacle() const {
  if (!refusal_.empty()) return refusal_;
  if (!MajorityAnswers()) {
    return fmt::format("{} other nodes answer, but a majority of the {} members must", states_.size(), members_.size());
  }
  return "a member heard the primary within its lease";
}

}  // namespace faha
