// The seam to time.
#pragma once

#include <chrono>

namespace faha {

// A monotonic time that goes on while the machine is suspended: for leases and timeouts, never for expiry.
using MonoTime = std::chrono::microseconds;

class Clock {
 public:
  virtual ~Clock() = default;
  [[nodiscard]] virtual MonoTime Now() const = 0;
};

}  // namespace faha
