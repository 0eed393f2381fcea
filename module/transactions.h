// Whether a command is being queued by MULTI: one that is refused then aborts the transaction, as with Redis, instead
// of failing between commands that take effect.  Thread: main loop only.
#pragma once

#include "module/redis_api.h"

namespace faha::module {

// A client asks for MULTI.
void MultiIsSeen();

// Is the command in the filter going to be queued?  Before 7.2 the filter is not told of the client, and CLIENT LIST
// has to tell: it takes time for each client, but is asked only while transactions are open.  Then a client that has an
// open transaction, and has sent only the start of its next command, may make this true for another client's.
bool IsQueued(RedisModuleCommandFilterCtx* filter);

}  // namespace faha::module
