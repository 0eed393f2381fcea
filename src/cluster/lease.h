// A primary's lease: until when no other node can have been elected, because a majority promised so when it answered
// this one last (Ongaro's thesis, 6.4.1).  Pure.  Thread: main loop only.
#pragma once

#include "faha/clock.h"

namespace faha {

class Lease {
 public:
  // A majority, this node included, was last known to be in its epoch at `heard` (0: never since it was elected).
  void Count(MonoTime heard, MonoTime lease) { end_ = heard == MonoTime{0} ? heard : heard + lease; }
  // There is no other member that could be elected.
  void CountAlone() { end_ = kForever; }

  [[nodiscard]] bool alone() const { return end_ == kForever; }
  [[nodiscard]] bool Runs(MonoTime now) const { return alone() || now < end_; }
  [[nodiscard]] MonoTime end() const { return end_; }

  // Nobody answered within the time that a caller waits: from now on callers are refused at once, until it runs again.
  void GiveUp() { given_up_ = true; }
  void RunsAgain() { given_up_ = false; }
  [[nodiscard]] bool given_up() const { return given_up_; }

 private:
  static constexpr MonoTime kForever = MonoTime::max();
  MonoTime end_{0};
  bool given_up_ = false;
};

}  // namespace faha
