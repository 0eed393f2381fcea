// The seam to time.
#pragma once

#include <chrono>

namespace faha {

// Monotonic: for leases and timeouts, never for expiry.
using MonoTime = std::chrono::microseconds;

class Clock {
 public:
  virtual ~Clock() = default;
  [[nodiscard]] virtual MonoTime Now() const = 0;
};

}  // namespace faha
