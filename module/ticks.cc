#include "module/ticks.h"

#include <sys/timerfd.h>
#include <unistd.h>

#include <cstdint>
#include <utility>

namespace faha::module {
namespace {

bool due = false;
void (*the_tick)(RedisModuleCtx*) = nullptr;

// This may run in the middle of a script, where nothing may be done, so it only wakes the event loop.
void OnExpired(int timer, void*, int) {
  std::uint64_t times = 0;
  due = ::read(timer, &times, sizeof times) == sizeof times || due;
}

}  // namespace

bool StartTicking(std::chrono::milliseconds period, void (*tick)(RedisModuleCtx*)) {
  const int timer = ::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  if (timer < 0) return false;
  const timespec each{period.count() / 1000, period.count() % 1000 * 1'000'000};
  const itimerspec times{each, each};
  the_tick = tick;
  if (::timerfd_settime(timer, 0, &times, nullptr) == 0 &&
      RedisModule_EventLoopAdd(timer, REDISMODULE_EVENTLOOP_READABLE, OnExpired, nullptr) == REDISMODULE_OK) {
    return true;
  }
  ::close(timer);
  return false;
}

void TickSoon() { due = true; }

void TickIfDue(RedisModuleCtx* ctx) {
  if (std::exchange(due, false)) the_tick(ctx);
}

}  // namespace faha::module
