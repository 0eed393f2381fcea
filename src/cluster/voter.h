// Who may become primary, as one node judges it.  Pure: no clock, no disk, no network.  Thread: main loop only.
// Raft's rule (Ongaro & Ousterhout 2014, 5.2) and its leases (Ongaro's thesis, 6.4.1): one promise per epoch, and none
// to anybody else while a primary may still hold a lease this node gave it.  Logs are not compared: a candidate that
// lacks something fetches it from the best of its majority (see campaign.h).
#pragma once

#include <string_view>

#include "faha/clock.h"
#include "faha/types.h"

namespace faha {

enum class Refusal : std::uint8_t { kNone, kOldEpoch, kAlreadyPromised, kPrimaryAlive, kNotWhole, kNotReached };
inline constexpr Refusal kLastRefusal = Refusal::kNotReached;
std::string_view RefusalText(Refusal refusal);

enum class EpochOrder { kLower, kEqual, kHigher };

// The whole decision.  `same_candidate`: this epoch was promised to this very candidate; `may_interrupt`: the primary
// whose lease may run is the candidate itself, or hands over on its own will.
constexpr Refusal JudgePromise(EpochOrder order, bool same_candidate, bool lease_may_run, bool may_interrupt) {
  if (order == EpochOrder::kLower) return Refusal::kOldEpoch;
  if (order == EpochOrder::kEqual) return same_candidate ? Refusal::kNone : Refusal::kAlreadyPromised;
  return lease_may_run && !may_interrupt ? Refusal::kPrimaryAlive : Refusal::kNone;
}

class Voter {
 public:
  // What a node that has just started may have given to a primary before.
  struct Forgotten {
    bool nothing = false;  // it was alone, or the primary itself
    NodeId holder{};       // otherwise one lease, to this node; none: to whom it does not know
  };
  // `promised`, `voted_for`: what the pool remembers.  A lease that was forgotten counts from `now`.
  Voter(Epoch promised, NodeId voted_for, MonoTime lease, MonoTime now, Forgotten forgotten);

  // `interrupts`: the primary of that epoch gives its lease up for the candidate; 0: none does.  It can give up none
  // but its own: a lease of a later epoch goes on.
  [[nodiscard]] Refusal Judge(Epoch epoch, NodeId candidate, Epoch interrupts, MonoTime now) const;
  // The promise is persistent.
  void Promised(Epoch epoch, NodeId candidate);
  // The primary of the promised epoch was heard: it may count on this node for a lease from now on.
  void Heard(NodeId primary, MonoTime now);
  // The lease is given back: the primary said that it stepped down.
  void Released() { lease_end_ = MonoTime{0}; }

  [[nodiscard]] Epoch promised() const { return promised_; }
  [[nodiscard]] NodeId voted_for() const { return voted_for_; }
  [[nodiscard]] bool LeaseMayRun(MonoTime now) const { return now < lease_end_; }
  // Whose lease it is that may run; none if that is not known, or none was given.
  [[nodiscard]] NodeId LeaseHolder() const { return heard_; }

 private:
  Epoch promised_;
  NodeId voted_for_;
  MonoTime lease_;
  NodeId heard_;
  MonoTime lease_end_{0};
};

}  // namespace faha
