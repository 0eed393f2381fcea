// Decides when more is sent to a receiver that catches up while clients are served.  Sending to it takes processor
// time, bandwidth and the backups' time away from clients, and nobody knows how much of each.  So the receiver is
// served for a third of the time at most, which leaves two thirds of everything to the clients.
// Thread: main loop only.
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
  // May more be sent to the receiver now?  `busy`: clients are being served.  `sent`, `grown`: the bytes that were sent
  // to the receiver, and the bytes by which the log has grown, both counted from one fixed moment, whichever that is.
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
  // The bytes that must be sent to the receiver now, however many they are.  If they were limited, a log that grows by
  // more than the limit in one turn would outgrow the receiver.
  [[nodiscard]] std::uint64_t Owed(std::uint64_t sent, std::uint64_t grown) const {
    const std::uint64_t due = 2 * (grown - grown_before_), had = sent - sent_before_;
    return due > had ? due - had : 0;
  }
  // To be called after each answer of MaySend(): is something on its way that the receiver has not acknowledged yet?
  void UnderWay(bool under_way) { under_way_ = under_way; }

 private:
  // For each unit of time that the clients share with the receiver, they have this many units for themselves.
  static constexpr int kRest = 2;
  // The most time that is remembered as owed, to the clients or to the receiver.  This is enough because MaySend() is
  // called at least once in each tick.
  static constexpr MonoTime kMemory = std::chrono::milliseconds(20);

  MonoTime last_{0};
  MonoTime debt_{0};  // time that clients must have for themselves before more is sent
  bool under_way_ = false;
  bool paced_ = false;
  std::uint64_t sent_before_ = 0, grown_before_ = 0;
};

}  // namespace faha
