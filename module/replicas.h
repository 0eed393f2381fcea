// Decides who may replicate from this server by Redis' own means: only FaHA's backups.  Any other replica would be
// emptied, because Redis' own data set is empty here, and Sentinel would consider it able to become the primary.  A
// backup tells its port with REPLCONF.  It is recognised by that port and by its address: a backup that is connected to
// FaHA connects from that address, too.  Thread: main loop only.
#pragma once

#include "module/redis_api.h"

namespace faha::module {

// May PSYNC or SYNC run now?  False while no known backup could be the sender.
bool MaySync();

// Disconnects replicas that may not replicate, before the data sent to them can make them drop their own data.
void DropStrangers(RedisModuleCtx* ctx);

}  // namespace faha::module
