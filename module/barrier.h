// Redis' write barrier: with AOF on and appendfsync always, a client whose reply waits for a writable socket is written
// after BEFORE_SLEEP, never before.  FaHA's commands are not propagated, so the AOF itself stays empty: the setting
// buys the barrier alone.  Thread: main loop only. Where it is off the module turns it on, once; until it holds, every
// write commits inside its command: safe, but slow.
#pragma once

#include "module/redis_api.h"

namespace faha::module {

// Watches the settings.  False if Redis refuses.
bool StartBarrier(RedisModuleCtx* ctx);

// Looks whether the barrier holds, and turns it on if it may.  Called from the timer.
void CheckBarrier(RedisModuleCtx* ctx);

}  // namespace faha::module
