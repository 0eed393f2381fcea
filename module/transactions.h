// Whether a command is being queued by MULTI.  If such a command is refused, the transaction is aborted, as with Redis,
// instead of failing between commands that take effect.  Thread: main loop only.
#pragma once

#include "module/redis_api.h"

namespace faha::module {

// A client has sent MULTI.
void MultiIsSeen();

// Will the command in the filter be queued?  Before 7.2 the filter is not told the client, so CLIENT LIST must be read:
// that takes time for each client, but is done only while transactions are open.  In that case the result may be
// wrongly true for another client's command, if a client with an open transaction has sent only the start of its next
// command.
bool IsQueued(RedisModuleCommandFilterCtx* filter);

}  // namespace faha::module
