// The server's configuration file.  FaHA itself changes one line of it, `replicaof`, so that a node that loses its pool
// finds its cluster again.  CONFIG REWRITE, which Sentinel and operators order, is left to Redis if that file is the
// whole configuration.  Otherwise it is refused: Redis would write a second line that loads the module, in addition to
// the one in an included file or on the command line, and the server would not start again.  Thread: main loop only.
#pragma once

#include <optional>

#include "faha/types.h"
#include "module/redis_api.h"

namespace faha::module {

// Makes the file's line `replicaof` name `primary`, or removes the line if there is no primary.  Does nothing if there
// is no file or the file is already right.  Errors are logged.
void KeepReplicaOf(RedisModuleCtx* ctx, const std::optional<Endpoint>& primary);

}  // namespace faha::module
