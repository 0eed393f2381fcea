// The `faha.*` configs.  Thread: main loop only.
#pragma once

#include "faha/options.h"
#include "module/redis_api.h"

namespace faha::module {

// Registers and loads them; `effective` is what the store shall run with.  False, after a log line, on a value that
// cannot be used.
bool LoadConfigs(RedisModuleCtx* ctx, Options& effective);

}  // namespace faha::module
