// One order to one Redis Sentinel: SENTINEL FAILOVER, over a connection of its own.  One in TILT, which it is for half
// a minute after it stood still, would take the order and do nothing, so its INFO is read first.  Thread: main loop
// only; never blocks.  Not by hiredis: the server holds a copy of it with the same symbols, of whatever version.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "faha/types.h"

namespace faha::module {

class SentinelOrder {
 public:
  enum class Outcome {
    kPending,
    kAccepted,     // it fails over now, or was about to
    kRefused,      // answer() says why
    kUnreachable,  // or silent for kPatience
  };

  // To fail over the primary that it calls `name`.  `password`: its own, or empty.
  SentinelOrder(const Endpoint& sentinel, std::string_view name, std::string_view password);
  ~SentinelOrder();
  SentinelOrder(const SentinelOrder&) = delete;
  SentinelOrder& operator=(const SentinelOrder&) = delete;

  // Goes on as far as it can at once.
  Outcome Step();
  [[nodiscard]] const Endpoint& sentinel() const { return sentinel_; }
  // The last line that it answered.
  [[nodiscard]] const std::string& answer() const { return answer_; }

 private:
  static constexpr std::chrono::milliseconds kPatience{300};

  void Connect();
  Outcome Send();
  Outcome Receive();
  // The next whole reply of what was received: a line, or what a bulk string holds.
  std::optional<std::string> TakeReply();

  Endpoint sentinel_;
  std::chrono::steady_clock::time_point give_up_at_;
  int socket_ = -1;
  std::string unsent_;
  std::string name_;
  int answers_due_ = 1;  // before the one to the order
  bool ordered_ = false;
  std::string received_, answer_;
};

}  // namespace faha::module
