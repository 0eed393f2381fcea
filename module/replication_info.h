// What Redis tells of its replication - INFO, ROLE, WAIT - as FaHA's: Redis' own runs along with an empty data set, and
// its roles, links and offsets say nothing about the data.  Offsets are LSNs.  Thread: main loop only.
#pragma once

#include <string>

#include "module/redis_api.h"

namespace faha::module {

// INFO's text with the section Replication, if it has one, as the client of `ctx` is to see it.
void TellReplication(RedisModuleCtx* ctx, std::string& text);

// A turn's writes are committed, or backups have answered: who waits for copies may have them.
void AnswerWaits();

}  // namespace faha::module
