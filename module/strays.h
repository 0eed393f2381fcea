// Keys in Redis' own keyspace, which FaHA keeps empty: another module can write there by the key API, past the command
// filter.  Nobody is served them and no copy of them is kept, so the log says it; they are not FaHA's to delete.
// Thread: main loop only.
#pragma once

#include "module/redis_api.h"

namespace faha::module {

// Call at every tick; looks once in a second.
void LookForStrays(RedisModuleCtx* ctx);

}  // namespace faha::module
