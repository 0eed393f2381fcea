// Whether a wait looks before it sleeps: while that finds something, and now and then to see whether it would.
// Looking saves a wake-up where the answer comes within the time that is allowed for it.  Where nodes share too few
// processors it never does: who looks takes the processor from the one that would answer.  Thread: main loop only.
#pragma once

#include <algorithm>
#include <chrono>

namespace faha {

class SpinBudget {
 public:
  // How long the next wait looks: `limit` or not at all.
  std::chrono::microseconds Next(std::chrono::microseconds limit) {
    if (credit_ <= 0 && ++skipped_ < kProbeEvery) return std::chrono::microseconds{0};
    skipped_ = 0;
    return limit;
  }
  // A wait has looked.  A find pays for kWorth misses: it saves about as much time as they cost.
  void Looked(bool found) { credit_ = found ? std::min(credit_ + kWorth, kMost) : std::max(credit_ - 1, 0); }

 private:
  static constexpr int kWorth = 1, kMost = 16, kProbeEvery = 32;
  int credit_ = kMost, skipped_ = 0;
};

}  // namespace faha
