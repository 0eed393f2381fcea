// A primary's lease: the time until which no other node can have been elected, because a majority promised this when it
// last answered this primary (Ongaro's thesis, 6.4.1).  Pure.  Thread: main loop only.
#pragma once

#include "faha/clock.h"

namespace faha {

class Lease {
 public:
  // At `heard`, a majority, this node included, was last known to be in this node's epoch (0: never since it was
  // elected).
  void Count(MonoTime heard, MonoTime lease) { end_ = heard == MonoTime{0} ? heard : heard + lease; }
  // There is no other member that could be elected.
  void CountAlone() { end_ = kForever; }

  [[nodiscard]] bool alone() const { return end_ == kForever; }
  [[nodiscard]] bool Runs(MonoTime now) const { return alone() || now < end_; }
  [[nodiscard]] MonoTime end() const { return end_; }

  // No majority answered within the time that a caller waits: from now on callers are refused at once, until the lease
  // runs again.
  void GiveUp() { given_up_ = true; }
  void RunsAgain() { given_up_ = false; }
  [[nodiscard]] bool given_up() const { return given_up_; }

 private:
  static constexpr MonoTime kForever = MonoTime::max();
  MonoTime end_{0};
  bool given_up_ = false;
};

}  // namespace faha
