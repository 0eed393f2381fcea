// WATCH, the flushes and SWAPDB.  Redis marks a client's transaction when a key it watches changes and signals every
// change of one key by itself; a flush, it believes, changes nothing, for its own keyspace is empty.  So FaHA remembers
// which names were watched, and signals those that a flush removes or a swap changes.  Nor does it know which watched
// keys have expired already, whose end is no change: those go before they are watched.  Thread: main loop only.
#pragma once

#include <optional>
#include <string_view>

#include "faha/types.h"
#include "module/redis_api.h"

namespace faha::module {

// False if Redis refuses.
bool StartWatching(RedisModuleCtx* ctx);

// A client names `key` in a WATCH, in some database.
void RememberWatched(std::string_view key);

// A transaction is about to run.
void ExpireWatched();

// All keys of `db`, or of all databases, are about to go.
void SignalFlush(RedisModuleCtx* ctx, std::optional<DbId> db);

// The keys of two databases are about to be exchanged: the end of those whose time has come is told where they were.
void ExpireBeforeSwap(DbId a, DbId b);

// They have been.
void SignalSwap(RedisModuleCtx* ctx, DbId a, DbId b);

}  // namespace faha::module
