// SAVE, BGSAVE and LASTSAVE: a copy of FaHA's keys and functions as a dump that stock Redis loads.  It has a name of
// its own, "faha-" and dbfilename, because Redis writes its own data set, which is empty, to dbfilename, and would load
// what stands there.  Thread: main loop only, and that of the child.
//
// BGSAVE's child comes from Redis (RM_Fork), which so knows of it: it has one child at a time.  Of the index the child
// has what it was when it was forked; the pool is shared, and the store holds what the child has not read yet, as long
// as nobody needs the space (Store::HoldSegments).  When the hold is lost the child is ended, and there is no new file.
#pragma once

#include <string>

#include "module/commands.h"
#include "module/redis_api.h"

namespace faha::module {

// The end of a turn whose commit succeeded: begins what was scheduled, once Redis has no other child.
void SnapshotTurnEnds(RedisModuleCtx* ctx);

// Does a snapshot's child live, or is it just being forked?
bool SnapshotIsUnderWay();

// SHUTDOWN was sent with these words, and may be refused.
void ShutdownIsAsked(bool saves);
// The server ends, by `signal` if that is not 0: ends a snapshot, and writes one if that was asked for.
void SnapshotAtShutdown(int signal);

// INFO's answer says of dumps what it would of Redis' own.
void TellSnapshots(std::string& info);

}  // namespace faha::module
