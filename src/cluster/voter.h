// Which node may become primary, as one node judges it.  Pure: no clock, no disk, no network.  Thread: main loop only.
// Raft's rule (Ongaro & Ousterhout 2014, 5.2) and its leases (Ongaro's thesis, 6.4.1): a node gives one promise per
// epoch, and none to another node while a primary may still hold a lease that this node gave it.  Logs are not
// compared: a candidate that lacks something fetches it from the best log of its majority (see campaign.h).
#pragma once

#include <string_view>

#include "faha/clock.h"
#include "faha/types.h"

namespace faha {

enum class Refusal : std::uint8_t {
  kNone,
  kOldEpoch,
  kAlreadyPromised,
  kPrimaryAlive,
  kNotWhole,
  kNotReached,
  kForkedOff
};
inline constexpr Refusal kLastRefusal = Refusal::kForkedOff;
std::string_view RefusalText(Refusal refusal);

enum class EpochOrder { kLower, kEqual, kHigher };

// The whole decision.  `same_candidate`: this epoch was promised to this same candidate.  `may_interrupt`: the primary
// whose lease may run is the candidate itself, or it hands over of its own will.
constexpr Refusal JudgePromise(EpochOrder order, bool same_candidate, bool lease_may_run, bool may_interrupt) {
  if (order == EpochOrder::kLower) return Refusal::kOldEpoch;
  if (order == EpochOrder::kEqual) return same_candidate ? Refusal::kNone : Refusal::kAlreadyPromised;
  return lease_may_run && !may_interrupt ? Refusal::kPrimaryAlive : Refusal::kNone;
}

class Voter {
 public:
  // The lease that a node may have given before it was started, and does not remember.
  struct Forgotten {
    bool nothing = false;  // none: it was alone, or it was the primary itself
    NodeId holder{};       // otherwise one lease, to this node; none: it does not know to which
  };
  // `promised`, `voted_for`: what the pool remembers.  A lease that the node does not remember counts from `now`.
  Voter(Epoch promised, NodeId voted_for, MonoTime lease, MonoTime now, Forgotten forgotten);

  // `interrupts`: the primary of that epoch gives up its lease for the candidate; 0: there is no such primary.  A
  // primary can give up only its own lease: a lease of a later epoch goes on.
  [[nodiscard]] Refusal Judge(Epoch epoch, NodeId candidate, Epoch interrupts, MonoTime now) const;
  // The promise was made persistent.
  void Promised(Epoch epoch, NodeId candidate);
  // The primary of the promised epoch was heard: from now on, for one lease, it may count on this node.
  void Heard(NodeId primary, MonoTime now);

  [[nodiscard]] Epoch promised() const { return promised_; }
  [[nodiscard]] NodeId voted_for() const { return voted_for_; }
  [[nodiscard]] bool LeaseMayRun(MonoTime now) const { return now < lease_end_; }
  // The holder of the lease that may run; none if it is not known, or if no lease was given.
  [[nodiscard]] NodeId LeaseHolder() const { return heard_; }

 private:
  Epoch promised_;
  NodeId voted_for_;
  MonoTime lease_;
  NodeId heard_;
  MonoTime lease_end_{0};
};

}  // namespace faha
