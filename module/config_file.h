// The server's configuration file.  FaHA itself changes one line of it, `replicaof`, so that a node that loses its pool
// finds its cluster again.  CONFIG REWRITE, which Sentinel and operators order, is Redis' own where that file is the
// whole configuration, and refused where it is not: Redis would write the module, which an included file or the command
// line loads, a second time, and the server would not start again.  Thread: main loop only.
#pragma once

#include <optional>

#include "faha/types.h"
#include "module/redis_api.h"

namespace faha::module {

// The file names `primary` in its line `replicaof`, or has none.  Without a file, and where it says so already, nothing
// happens; what goes wrong is logged.
void KeepReplicaOf(RedisModuleCtx* ctx, const std::optional<Endpoint>& primary);

}  // namespace faha::module
