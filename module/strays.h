// Finds keys in Redis' own keyspace, which FaHA keeps empty.  Another module can write keys there through the key API,
// past the command filter.  Such keys are served to nobody and have no copy, so a log line reports them; FaHA does not
// delete them, because they are not its own.  Thread: main loop only.
#pragma once

#include "module/redis_api.h"

namespace faha::module {

// Call it at every tick; it looks once a second.
void LookForStrays(RedisModuleCtx* ctx);

}  // namespace faha::module
