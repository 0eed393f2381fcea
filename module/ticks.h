// Calls a function periodically, by a clock that nobody sets.  Redis' timers use the time of day: after that was set
// back by an hour they would be an hour late.  Thread: main loop only.
#pragma once

#include <chrono>

#include "module/redis_api.h"

namespace faha::module {

// From now on calls `tick` once in every `period`, or later, when the event loop comes round.  Returns false if there
// is no timer.
bool StartTicking(std::chrono::milliseconds period, void (*tick)(RedisModuleCtx*));
// Something has happened that a tick should handle at the end of this turn.
void TickSoon();
// The end of a turn, not within a script: calls `tick` if it is due.
void TickIfDue(RedisModuleCtx* ctx);

}  // namespace faha::module
