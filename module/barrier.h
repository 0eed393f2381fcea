// Redis' write barrier: with AOF on and appendfsync always, a client whose reply waits for a writable socket is written
// after BEFORE_SLEEP, never before.  FaHA's commands are not propagated, so the AOF itself stays empty: the setting
// buys the barrier alone.  Where it is off the module turns it on, once; until it holds, every write commits inside its
// command: safe, but slow.  Thread: main loop only.
//
// Redis decides on a client's barrier when its replies begin to wait, and not again.  So a client whose replies waited
// already when the barrier was turned on has none until it has read them.  Such a client is unordered: its own commands
// commit inside, and those of all others do not.
#pragma once

#include <cstdint>
#include <span>

#include "module/redis_api.h"

namespace faha::module {

// Watches the settings.  False if Redis refuses.
bool StartBarrier(RedisModuleCtx* ctx);

// Redis may have switched its AOF off and on, as a replica does when it loads its primary's data set: until
// CheckBarrier has looked, the barrier does not hold.
void LookAtBarrierAgain();

// Looks whether the barrier holds and for whom, and turns it on if it may.  Called from the timer.
void CheckBarrier(RedisModuleCtx* ctx);

// Does one of these clients run a command now?
bool OneOfThemRuns(RedisModuleCtx* ctx, std::span<const std::uint64_t> clients);

}  // namespace faha::module
