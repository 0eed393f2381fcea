// How old the data that a backup serves may be.  Thread: main loop only.
// A batch tells what was committed when it was made, which may be long ago.  The same is true of a heartbeat that was
// delayed on its way.  But a heartbeat also returns a time that this backup has sent itself, and at that time nothing
// behind the LSN in the heartbeat had been acknowledged.
#pragma once

#include <algorithm>

#include "faha/clock.h"
#include "faha/types.h"

namespace faha {

class Freshness {
 public:
  // At the time `as_of`, nothing behind `committed` had been acknowledged.
  void Told(Lsn committed, MonoTime as_of) { committed_ = committed, as_of_ = as_of; }
  void Applied(Lsn applied) {
    if (applied >= committed_) current_at_ = std::max(current_at_, as_of_);
  }
  // Everything that was acknowledged at this time is applied.
  [[nodiscard]] MonoTime current_at() const { return current_at_; }

 private:
  Lsn committed_;
  MonoTime as_of_{0}, current_at_{0};
};

}  // namespace faha
