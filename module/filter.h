// The command filter: turns each built-in command of the table into FaHA's own command, and refuses every other command
// that would touch Redis' own keyspace.  Thread: main loop only.
// The filter runs first in a command's life, also in scripts and when a command is queued in a transaction, but not
// again when EXEC runs the queued commands.
#pragma once

#include "module/redis_api.h"

namespace faha::module {

// Learns the server's command table and starts filtering.  False if Redis refuses.
bool StartFiltering(RedisModuleCtx* ctx);

}  // namespace faha::module
