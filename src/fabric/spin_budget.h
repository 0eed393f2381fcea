// Decides whether a wait looks for events before it sleeps: it does so while looking finds something, and otherwise
// only now and then, to see whether looking would find something.
// Looking saves a wake-up if the answer comes within the time that is allowed for looking.  Where nodes share too few
// processors, looking never saves one: the node that looks takes the processor from the node that would answer.
// Thread: main loop only.
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
  // To be called when a wait has looked.  A look that finds something pays for kWorth looks that find nothing: it saves
  // about as much time as they cost.
  void Looked(bool found) { credit_ = found ? std::min(credit_ + kWorth, kMost) : std::max(credit_ - 1, 0); }

 private:
  static constexpr int kWorth = 1, kMost = 16, kProbeEvery = 32;
  int credit_ = kMost, skipped_ = 0;
};

}  // namespace faha
