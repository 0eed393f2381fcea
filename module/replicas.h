// Who may replicate from this server by Redis' own means: FaHA's backups alone.  Any other replica would be emptied,
// for Redis' own data set is empty here, and Sentinel would take it for one that can lead.  A backup tells its port by
// REPLCONF, and is known by that and by where it comes from: a backup that is connected to FaHA comes from there, too.
// Thread: main loop only.
#pragma once

#include "module/redis_api.h"

namespace faha::module {

// May PSYNC or SYNC run now?  False while nobody is known who would send it.
bool MaySync();

// Disconnects whoever replicates and may not: before what it was sent can make it drop its data.
void DropStrangers(RedisModuleCtx* ctx);

}  // namespace faha::module
