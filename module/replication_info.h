// Makes INFO, ROLE and WAIT tell about FaHA's replication.  Redis' own replication runs along with an empty data set,
// so its roles, links and offsets say nothing about the data.  The offsets shown are LSNs.  Thread: main loop only.
#pragma once

#include <string>

#include "module/redis_api.h"

namespace faha::module {

// Replaces the section Replication in INFO's text, if the text has it, with what the client of `ctx` shall see.
void TellReplication(RedisModuleCtx* ctx, std::string& text);

// The writes of a turn are committed, or backups have acknowledged: answers the clients whose WAIT is now satisfied.
void AnswerWaits();

}  // namespace faha::module
