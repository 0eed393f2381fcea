// Data of Redis' own that FaHA did not write.  FaHA would hide such data, and Redis, whose keyspace is empty under
// FaHA, would write an empty dump or AOF over them.  This is the one place that finds such data; the callers refuse to
// go on.  Thread: main loop only.
//
// FaHA's own servers have a native keyspace, dumps and AOFs as well, but without keys, so these do not count as native
// data.  Nor do functions, because Redis goes on serving them.
#pragma once

#include <istream>
#include <optional>
#include <string>

#include "module/redis_api.h"

namespace faha::module {

// Describes what the native keyspace holds in any database, such as "database 7 holds 3 keys"; nothing if it is empty.
std::optional<std::string> NativeKeys(RedisModuleCtx* ctx);

// The same for the files that Redis reads at a start or overwrites, whichever of them its settings make it read: the
// dump, the AOF, and the single-file AOF of versions before 7.0.  Only reads the files.  `has_pool`: FaHA ran here
// before, so commands of other modules in an AOF do not count as native data.
std::optional<std::string> NativeFiles(RedisModuleCtx* ctx, bool has_pool);

// Called before anything of FaHA exists.  Returns false, after a log line, if there is native data.
bool NoNativeData(RedisModuleCtx* ctx, bool has_pool);

// Watches for native data in what Redis itself loads.  If Redis loads it at its start, the server is ended.  If it came
// by replication, the keys are deleted at once, and Roles ends the replication.  Returns false if Redis refuses.
bool StartWatchingLoads(RedisModuleCtx* ctx);

}  // namespace faha::module
