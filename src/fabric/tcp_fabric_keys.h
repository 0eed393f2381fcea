// What an event of the epoll set belongs to: a link's id, or one of these.  Thread: main loop only.
#pragma once

#include <cstdint>

namespace faha {

// Link ids start at 1 and never become as large as these keys.
inline constexpr std::uint64_t kListenKey = UINT64_MAX;
inline constexpr std::uint64_t kWakeKey = UINT64_MAX - 1;
inline constexpr std::uint64_t kTimerKey = UINT64_MAX - 2;

}  // namespace faha
