// Active expiry: keys whose time has come go although nobody asks for them.  Thread: main loop only.
#pragma once

#include "module/redis_api.h"

namespace faha::module {

// A part of an endless walk over all keys; call it in every tick.  It takes a quarter of a millisecond, and a whole one
// while a tenth of what it meets has expired.  Only a primary expires keys: backups hear of deletes.
void ExpireSome(RedisModuleCtx* ctx);

}  // namespace faha::module
