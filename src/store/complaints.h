// Decides which complaints are worth a line of the log.  Thread: main loop only.
// Complaints are caused by what peers and strangers do, and nobody may be able to fill a disk with them.  So the same
// line is written once a minute, and at most kMost different lines a minute.  Lines that were left out are counted.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "faha/clock.h"

namespace faha {

class Complaints {
 public:
  static constexpr std::size_t kMost = 20;
  static constexpr MonoTime kPeriod = std::chrono::minutes(1);

  // Should `line` be written at `now`?
  bool Admit(std::string_view line, MonoTime now) {
    if (now >= end_) {
      end_ = now + kPeriod;
      written_.clear();
    }
    if (written_.contains(std::string(line))) return false;
    if (written_.size() == kMost) return ++left_out_, false;
    return written_.emplace(line).second;
  }
  // How many lines, other than repeated ones, were left out since the last call.
  std::uint64_t TakeLeftOut() { return std::exchange(left_out_, 0); }

 private:
  std::unordered_set<std::string> written_;  // in the minute that ends at end_
  MonoTime end_{};
  std::uint64_t left_out_ = 0;
};

}  // namespace faha
