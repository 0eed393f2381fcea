// How old what a backup serves may be.  Thread: main loop only.
// A batch tells what was committed when it was made, which may be long ago, and so may a heartbeat that waited on its
// way; but what a heartbeat echoes was sent from here, and behind the LSN that it names nothing was acknowledged then.
#pragma once

#include <algorithm>

#include "faha/clock.h"
#include "faha/types.h"

namespace faha {

class Freshness {
 public:
  // Behind `committed` nothing had been acknowledged at `as_of`.
  void Told(Lsn committed, MonoTime as_of) { committed_ = committed, as_of_ = as_of; }
  void Applied(Lsn applied) {
    if (applied >= committed_) current_at_ = std::max(current_at_, as_of_);
  }
  // All that was acknowledged at that time is applied.
  [[nodiscard]] MonoTime current_at() const { return current_at_; }

 private:
  Lsn committed_;
  MonoTime as_of_{0}, current_at_{0};
};

}  // namespace faha
