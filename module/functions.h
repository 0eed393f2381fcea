// Functions (FUNCTION LOAD).  Clients that call functions rely on them as on data, so the log holds them: as Redis' own
// dump of all libraries, under one key of a database that no client can select.  The log decides which functions the
// server has.  A change is made natively and then written to the log; after a change of roles, a restart, or a failed
// write, the server is given the functions that the log holds.  Thread: main loop only.
#pragma once

#include <string_view>

#include "module/redis_api.h"

namespace faha::module {

// Gives the server the libraries that the log holds, if the server has others.  Call it at every tick and when the role
// changes.
void AlignFunctions(RedisModuleCtx* ctx);

// The libraries in a record of the hidden database, as entries of a dump; empty if the record holds none.
std::string_view FunctionsInDump(std::string_view key, std::string_view value);

// The server has loaded a file or its primary's data set, which may have contained libraries.
void FunctionsWereLoaded();

}  // namespace faha::module
