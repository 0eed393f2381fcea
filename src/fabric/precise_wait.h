// Waiting on an epoll set for microseconds.  Thread: any.
#pragma once

#include <sys/epoll.h>

#include <chrono>
#include <span>

namespace faha {

// epoll_wait with a timeout (0: it only looks) that is not rounded to milliseconds, because a lease or a persist must
// not be a millisecond late.  Returns as epoll_wait does.
int WaitPrecisely(int epoll_fd, std::span<epoll_event> events, std::chrono::microseconds timeout);

}  // namespace faha
