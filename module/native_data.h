// Data of Redis' own that FaHA did not write.  FaHA would hide it, and Redis, whose keyspace is empty under FaHA, would
// write an empty dump or AOF over it.  Here is the one place that finds it; whoever asks refuses.  Thread: main loop
// only.
//
// FaHA's own servers have a native keyspace, dumps and AOFs as well: without keys, so they are none of it.  Functions
// are not either, for Redis goes on serving them.
#pragma once

#include <istream>
#include <optional>
#include <string>

#include "module/redis_api.h"

namespace faha::module {

// What the native keyspace holds, in any database, such as "database 7 holds 3 keys"; nothing if it is empty.
std::optional<std::string> NativeKeys(RedisModuleCtx* ctx);

// The same of the files that Redis reads at a start or writes over, whatever its settings have it read: the dump, the
// AOF, and the single-file AOF of before 7.0.  Only reads them.  `has_pool`: FaHA was here before, so that the commands
// of other modules in an AOF are no data of their own.
std::optional<std::string> NativeFiles(RedisModuleCtx* ctx, bool has_pool);

// Before anything of FaHA is there: false, after a log line, if there is native data.
bool NoNativeData(RedisModuleCtx* ctx, bool has_pool);

// The same of what Redis itself loads: at its start it ends the server.  A data set that came by replication goes at
// once, and Roles end the replication.  False if Redis refuses.
bool StartWatchingLoads(RedisModuleCtx* ctx);

}  // namespace faha::module
