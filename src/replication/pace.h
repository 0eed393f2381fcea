// Decides when a receiver that catches up is sent more while clients are served.  What it is sent takes processor time,
// bandwidth and the backups' time away from clients, and nobody knows how much of each.  So the receiver is served for
// a third of the time at most, which leaves two thirds of everything to the clients.  Thread: main loop only.
// Invariant: the receiver is sent twice as much as the log grows by, if it can take that, so it catches up in the end.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <utility>

#include "faha/clock.h"

namespace faha {

class Pace {
 public:
  // May more be sent now?  `busy`: clients are served.  `sent`, `grown`: the bytes that were sent to the receiver, and
  // those of the log, since any one moment.
  [[nodiscard]] bool MaySend(MonoTime now, bool busy, std::uint64_t sent, std::uint64_t grown) {
    const MonoTime since = now - std::exchange(last_, now);
    debt_ = std::clamp(under_way_ ? debt_ + kRest * since : debt_ - since, -kMemory, kMemory);
    if (!busy || !paced_) {
      paced_ = busy;
      debt_ = MonoTime{0};
      sent_before_ = sent;
      grown_before_ = grown;
      return true;
    }
    return debt_ <= MonoTime{0} || Owed(sent, grown) > 0;
  }
  // What it must be sent now, however much that is, bytes: or a log that grows by more in a turn would run away from
  // it.
  [[nodiscard]] std::uint64_t Owed(std::uint64_t sent, std::uint64_t grown) const {
    const std::uint64_t due = 2 * (grown - grown_before_), had = sent - sent_before_;
    return due > had ? due - had : 0;
  }
  // After each answer: is something on its way, not acknowledged yet?
  void UnderWay(bool under_way) { under_way_ = under_way; }

 private:
  // The time that clients have for themselves for each that they share.
  static constexpr int kRest = 2;
  // What is remembered of either at most: nobody looks more rarely than at each tick.
  static constexpr MonoTime kMemory = std::chrono::milliseconds(20);

  MonoTime last_{0};
  MonoTime debt_{0};  // time that clients must have for themselves before the next is sent
  bool under_way_ = false;
  bool paced_ = false;
  std::uint64_t sent_before_ = 0, grown_before_ = 0;
};

}  // namespace faha
