// What is done again and again, by a clock that nobody sets.  Redis' timers go by the time of day: after a step back of
// an hour they would be an hour late.  Thread: main loop only.
#pragma once

#include <chrono>

#include "module/redis_api.h"

namespace faha::module {

// From now on `tick` is called once in every `period`, or as soon as the event loop comes round.  False: no timer.
bool StartTicking(std::chrono::milliseconds period, void (*tick)(RedisModuleCtx*));
// Something came that a tick is to see at the end of this turn.
void TickSoon();
// The end of a turn, outside of scripts: calls `tick` if it is time.
void TickIfDue(RedisModuleCtx* ctx);

}  // namespace faha::module
