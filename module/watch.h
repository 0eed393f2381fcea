// WATCH and the flushes.  Redis marks a client's transaction when a key it watches changes and signals every change of
// one key by itself; a flush, it believes, changes nothing, for its own keyspace is empty.  So FaHA remembers which
// names were watched, and signals those that a flush removes.  Thread: main loop only.
#pragma once

#include <optional>
#include <string_view>

#include "faha/types.h"
#include "module/redis_api.h"

namespace faha::module {

// A client has named `key` in a WATCH, in some database.
void RememberWatched(std::string_view key);

// All keys of `db`, or of all databases, are about to go.
void SignalFlush(RedisModuleCtx* ctx, std::optional<DbId> db);

}  // namespace faha::module
