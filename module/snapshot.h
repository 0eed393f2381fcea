// SAVE, BGSAVE and LASTSAVE: they write a copy of FaHA's keys and functions as a dump that stock Redis loads.  The dump
// has its own name, "faha-" followed by dbfilename, because Redis writes its own empty data set to dbfilename and would
// load the file of that name.  Thread: main loop only, and the one thread of the child process.
//
// BGSAVE's child is forked by Redis (RM_Fork), so Redis knows of it: Redis has one child at a time.  The child has the
// index as it was at the fork.  The pool is shared, and the store keeps the parts that the child has not read yet, as
// long as nobody needs the space (Store::HoldSegments).  If this hold is lost, the child is ended, and no new file is
// written.
#pragma once

#include <string>

#include "module/commands.h"
#include "module/redis_api.h"

namespace faha::module {

// A turn has ended with a successful commit: starts a scheduled snapshot as soon as Redis has no other child.
void SnapshotTurnEnds(RedisModuleCtx* ctx);

// Is there a snapshot's child, or is it being forked now?
bool SnapshotIsUnderWay();

// A client has sent SHUTDOWN; `saves`: with SAVE.  Redis may refuse the shutdown.
void ShutdownIsAsked(bool saves);
// The server ends, because of `signal` if that is not 0.  Ends a snapshot that is under way, and writes one if that was
// asked for.
void SnapshotAtShutdown(int signal);

// Sets the fields about dumps in INFO's text to FaHA's snapshots.
void TellSnapshots(std::string& info);

}  // namespace faha::module
