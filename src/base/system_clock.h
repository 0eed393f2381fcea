// The real Clock: CLOCK_MONOTONIC.  Thread: any.
#pragma once

#include <ctime>

#include "base/check.h"
#include "faha/clock.h"

namespace faha {

class SystemClock final : public Clock {
 public:
  [[nodiscard]] MonoTime Now() const override {
    timespec now{};
    FAHA_CHECK(::clock_gettime(CLOCK_MONOTONIC, &now) == 0, "every Linux has CLOCK_MONOTONIC");
    return std::chrono::duration_cast<MonoTime>(std::chrono::seconds(now.tv_sec) +
                                                std::chrono::nanoseconds(now.tv_nsec));
  }
};

}  // namespace faha
