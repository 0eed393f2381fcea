// Redis' write barrier: with AOF on and appendfsync always, Redis writes to a client whose reply waits for a writable
// socket after BEFORE_SLEEP, never before it.  FaHA's commands are not propagated, so the AOF itself stays empty: FaHA
// uses this setting only for the barrier.  Where the barrier is off, the module turns it on, once.  Until the barrier
// holds, every write commits inside its command, which is safe but slow.  Thread: main loop only.
//
// Redis decides whether the barrier applies to a client when the client's replies begin to wait, and does not decide
// again while they wait.  So a client whose replies were already waiting when the barrier was turned on has no barrier
// until it has read them.  Such a client is called unordered: its own commands commit inside, those of all other
// clients do not.
#pragma once

#include <cstdint>
#include <span>

#include "module/redis_api.h"

namespace faha::module {

// Watches the settings.  False if Redis refuses.
bool StartBarrier(RedisModuleCtx* ctx);

// Redis may have switched its AOF off and on, as a replica does when it loads its primary's data set.  After this call
// the barrier counts as lost until CheckBarrier has looked again.
void LookAtBarrierAgain();

// Checks whether the barrier holds and for which clients, and turns it on if that is allowed.  Called from the timer.
void CheckBarrier(RedisModuleCtx* ctx);

// Is a command of one of these clients running now?
bool OneOfThemRuns(RedisModuleCtx* ctx, std::span<const std::uint64_t> clients);

}  // namespace faha::module
