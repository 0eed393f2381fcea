// Tells when a primary no longer serves its clients.  Pure.  Thread: main loop only.
#pragma once

#include <algorithm>

#include "faha/clock.h"

namespace faha {

class ServiceWatch {
 public:
  // The primary serves.  `cluster`: there are other members to which its clients could be sent.
  void Serves(bool cluster) {
    served_ = cluster;
    cut_since_ = kForever;
  }
  // The primary does not serve.  `may_recover`: as far as it knows, nobody was elected in its place, and its lease may
  // be renewed within a round trip: a lease can lapse just because its own main loop stood still.  True, once, when the
  // service is lost for good: at once, or after `patience` if it may recover.
  bool DoesNot(bool may_recover, MonoTime now, MonoTime patience) {
    if (!served_) return false;
    cut_since_ = std::min(cut_since_, now);
    if (may_recover && now - cut_since_ <= patience) return false;
    served_ = false;
    return true;
  }

 private:
  static constexpr MonoTime kForever = MonoTime::max();
  bool served_ = false;
  MonoTime cut_since_ = kForever;
};

}  // namespace faha
