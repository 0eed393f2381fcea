// One order to one Redis Sentinel: SENTINEL FAILOVER, sent over a connection of its own.  A Sentinel is in TILT mode
// for half a minute after it has stood still.  In that mode it would accept the order and do nothing, so its INFO is
// read first.  Thread: main loop only; never blocks.  This code does not use hiredis, because the server contains a
// copy of hiredis with the same symbols and of unknown version.
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
    kAccepted,     // Sentinel fails over now, or was about to
    kRefused,      // answer() says why
    kUnreachable,  // or did not answer within kPatience
  };

  // An order to fail over the primary that this Sentinel calls `name`.  `password`: the Sentinel's password, or empty.
  SentinelOrder(const Endpoint& sentinel, std::string_view name, std::string_view password);
  ~SentinelOrder();
  SentinelOrder(const SentinelOrder&) = delete;
  SentinelOrder& operator=(const SentinelOrder&) = delete;

  // Makes as much progress as is possible without waiting.
  Outcome Step();
  [[nodiscard]] const Endpoint& sentinel() const { return sentinel_; }
  // The last line that the Sentinel answered.
  [[nodiscard]] const std::string& answer() const { return answer_; }

 private:
  static constexpr std::chrono::milliseconds kPatience{300};

  void Connect();
  Outcome Send();
  Outcome Receive();
  // Takes the next whole reply from the received bytes: a line, or the content of a bulk string.
  std::optional<std::string> TakeReply();

  Endpoint sentinel_;
  std::chrono::steady_clock::time_point give_up_at_;
  int socket_ = -1;
  std::string unsent_;
  std::string name_;
  int answers_due_ = 1;  // the answers still due before the order is sent
  bool ordered_ = false;
  std::string received_, answer_;
};

}  // namespace faha::module
