// INFO faha and FAHA.STATUS.  Thread: main loop only.
#pragma once

#include "module/redis_api.h"

namespace faha::module {

bool AddInfo(RedisModuleCtx* ctx);
int ReplyStatus(RedisModuleCtx* ctx);

}  // namespace faha::module
