// Functions (FUNCTION LOAD): to whoever calls them they are data, so they are in the log, as Redis' own dump of all
// libraries under one key of a database that no client can select.  What the log says is what the server has: a change
// is made natively and written; after a change of roles, a restart, or a write that failed, the server is given what
// the log holds.  Thread: main loop only.
#pragma once

#include <string_view>

#include "module/redis_api.h"

namespace faha::module {

// Gives the server the libraries that the log holds, if it has others.  Call at every tick and when the role changes.
void AlignFunctions(RedisModuleCtx* ctx);

// Of a record of the hidden database: the libraries as entries of a dump; empty if it holds none.
std::string_view FunctionsInDump(std::string_view key, std::string_view value);

// The server has loaded a file or its primary's data set, and perhaps libraries with it.
void FunctionsWereLoaded();

}  // namespace faha::module
