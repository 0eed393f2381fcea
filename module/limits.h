// The limits that the process was started with (ulimit, LimitNOFILE=...), where FaHA needs more than Redis alone.  The
// limits of file sizes and of locked memory are reported by the parts that reach them: the pool, and RDMA.  Thread:
// main loop only.
#pragma once

#include "faha/options.h"
#include "faha/status.h"
#include "module/redis_api.h"

namespace faha::module {

// Raises the limit of open files as far as the process may, and warns if the limit is still too low for the connections
// to peers in addition to those of clients.  Errors: BadConfig - the address space cannot hold the pool.
Status CheckLimits(RedisModuleCtx* ctx, const Options& options);

}  // namespace faha::module
