// The real Clock: CLOCK_BOOTTIME.  Thread: any.
// This clock goes on while the machine is suspended; CLOCK_MONOTONIC (and with it std::chrono::steady_clock) does not.
// A lease measured by CLOCK_MONOTONIC would still be held when the machine wakes up, long after the peers have elected
// another primary.
#pragma once

#include <ctime>

#include "base/check.h"
#include "faha/clock.h"

namespace faha {

class SystemClock final : public Clock {
 public:
  [[nodiscard]] MonoTime Now() const override {
    timespec now{};
    FAHA_CHECK(::clock_gettime(CLOCK_BOOTTIME, &now) == 0, "every Linux since 2.6.39 has CLOCK_BOOTTIME");
    return std::chrono::duration_cast<MonoTime>(std::chrono::seconds(now.tv_sec) +
                                                std::chrono::nanoseconds(now.tv_nsec));
  }
};

}  // namespace faha
