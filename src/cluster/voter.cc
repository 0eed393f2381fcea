#include "cluster/voter.h"

#include <algorithm>

#include "base/mutant.h"

namespace faha {

std::string_view RefusalText(Refusal refusal) {
  switch (refusal) {
    case Refusal::kNone: return "granted";
    case Refusal::kOldEpoch: return "it promised a later epoch";
    case Refusal::kAlreadyPromised: return "it promised this epoch to another node";
    case Refusal::kPrimaryAlive: return "the primary may still be alive";
    case Refusal::kNotWhole: return "its log is not whole yet";
    case Refusal::kNotReached:
      return "it does not reach this node where it says that it is (see faha.announce-host, faha.peer-host and "
             "faha.port)";
    case Refusal::kForkedOff: return "the cluster was forced to go on without what it holds";
  }
  return "unknown";
}

namespace {
// The two clocks may drift apart by an eighth while a lease runs.
MonoTime WithDrift(MonoTime lease) { return lease + lease / 8; }
}  // namespace

Voter::Voter(Epoch promised, NodeId voted_for, MonoTime lease, MonoTime now, Forgotten forgotten)
    : promised_(promised), voted_for_(voted_for), lease_(lease) {
  if (!forgotten.nothing) Heard(forgotten.holder, now);
}

Refusal Voter::Judge(Epoch epoch, NodeId candidate, Epoch interrupts, MonoTime now) const {
  const EpochOrder order = Mutated(Mutant::kVoterIgnoresEpoch) ? EpochOrder::kHigher
                           : epoch < promised_                 ? EpochOrder::kLower
                           : epoch == promised_                ? EpochOrder::kEqual
                                                               : EpochOrder::kHigher;
  const bool given_up = interrupts != Epoch{} && interrupts == promised_;
  return JudgePromise(order, candidate == voted_for_, LeaseMayRun(now), given_up || candidate == heard_);
}

void Voter::Promised(Epoch epoch, NodeId candidate) {
  promised_ = epoch;
  voted_for_ = candidate;
}

void Voter::Heard(NodeId primary, MonoTime now) {
  heard_ = primary;
  lease_end_ = std::max(lease_end_, now + WithDrift(lease_));
}

}  // namespace faha
