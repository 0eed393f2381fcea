// The limits that the process was started with (ulimit, LimitNOFILE=...), as far as FaHA needs more than Redis alone.
// Those of file sizes and of locked memory are told of by whoever meets them: the pool, and RDMA.  Thread: main loop
// only.
#pragma once

#include "faha/options.h"
#include "faha/status.h"
#include "module/redis_api.h"

namespace faha::module {

// Raises the limit of open files as far as the process may, and warns where it stays too low for peers beside clients.
// Errors: BadConfig - the address space cannot hold the pool.
Status CheckLimits(RedisModuleCtx* ctx, const Options& options);

}  // namespace faha::module
