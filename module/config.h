// The `faha.*` configs.  Thread: main loop only.
#pragma once

#include "module/redis_api.h"

namespace faha::module {

// Registers and loads them into TheState().options.  False, after a log line, on a value that cannot be used.
bool LoadConfigs(RedisModuleCtx* ctx);

}  // namespace faha::module
