// Active expiry: deletes expired keys although no client asks for them.  Thread: main loop only.
#pragma once

#include "module/redis_api.h"

namespace faha::module {

// One step of an endless walk over all keys; call it in every tick.  A step takes a quarter of a millisecond, or a
// whole millisecond while a tenth of the keys that it meets have expired.  Only a primary expires keys: backups receive
// the deletes.
void ExpireSome(RedisModuleCtx* ctx);

}  // namespace faha::module
