// WATCH, the flushes and SWAPDB.  Redis marks a client's transaction when a key that it watches changes.  A change of a
// single key is signalled where it is made (Call::Changed).  A flush changes nothing in Redis' view, because Redis' own
// keyspace is empty.  So FaHA remembers which names were watched, and signals those that a flush removes or a swap
// changes.  Redis also does not know which keys have already expired when they are watched.  The end of such a key is
// no change, so these keys are deleted before they are watched.  Thread: main loop only.
#pragma once

#include <optional>
#include <string_view>

#include "faha/types.h"
#include "module/redis_api.h"

namespace faha::module {

// Returns false if Redis refuses.
bool StartWatching(RedisModuleCtx* ctx);

// A client names `key` in a WATCH, in a database that is not known.
void RememberWatched(std::string_view key);

// A transaction is about to run.
void ExpireWatched();

// All keys of `db`, or of all databases, are about to be deleted.
void SignalFlush(RedisModuleCtx* ctx, std::optional<DbId> db);

// The keys of two databases are about to be exchanged: deletes and reports expired keys while they are still in their
// old database.
void ExpireBeforeSwap(DbId a, DbId b);

// The keys of the two databases have been exchanged.
void SignalSwap(RedisModuleCtx* ctx, DbId a, DbId b);

}  // namespace faha::module
