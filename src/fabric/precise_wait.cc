#include "fabric/precise_wait.h"

#include <poll.h>

#include <cerrno>
#include <ctime>

namespace faha {

namespace {

timespec ToTimespec(std::chrono::microseconds time) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(time);
  const std::chrono::nanoseconds rest = time - seconds;
  return {static_cast<time_t>(seconds.count()), static_cast<long>(rest.count())};
}

}  // namespace

int WaitPrecisely(int epoll_fd, std::span<epoll_event> events, std::chrono::microseconds timeout) {
  const int size = static_cast<int>(events.size());
  if (timeout.count() <= 0) return ::epoll_wait(epoll_fd, events.data(), size, 0);
  const timespec time = ToTimespec(timeout);
#if defined(__GLIBC_PREREQ)
#if __GLIBC_PREREQ(2, 35)
  static bool has_pwait2 = true;
  if (has_pwait2) {
    const int count = ::epoll_pwait2(epoll_fd, events.data(), size, &time, nullptr);
    // EPERM is what some containers answer to calls they do not know.
    if (count >= 0 || (errno != ENOSYS && errno != EPERM)) return count;
    has_pwait2 = false;
  }
#endif
#endif
  pollfd set{epoll_fd, POLLIN, 0};
  if (::ppoll(&set, 1, &time, nullptr) <= 0) return 0;
  return ::epoll_wait(epoll_fd, events.data(), size, 0);
}

}  // namespace faha
