// Handles signals that ask the server to end.  Redis refuses such a signal while it writes its first AOF ("Writing
// initial AOF, can't exit"), and then forgets it.  FaHA turns the AOF on while the server runs, and Redis starts the
// AOF anew after each full synchronisation, so a service manager's SIGTERM may well come at such a time.  The module
// remembers the signal and gives it to Redis again when that AOF is written.  The SHUTDOWN command needs no such help:
// its client hears of the refusal.
//
// A primary hands its role over before it ends: to the backup that Sentinel chooses, so that clients are told of it, or
// without Sentinel to the best backup.  A second signal ends the server at once.
// Thread: main loop only, except for the signal handler.
#pragma once

#include "module/redis_api.h"

namespace faha::module {

// Starts watching SIGTERM and SIGINT.  Returns false if Redis refuses.
bool StartWatchingSignals(RedisModuleCtx* ctx);

// Called in every tick.
void TendShutdown(RedisModuleCtx* ctx);

// Is Redis waiting for its replicas before it ends?  The replicas lack nothing, because Redis' data set is empty, and
// they must not connect again.
bool EndsSoon();

// The signal that the server was sent and has not refused so far; 0: none.
int ReceivedSignal();

// An administrator has called the shutdown off (SHUTDOWN ABORT): the signal is forgotten.
void ForgetSignal();

}  // namespace faha::module
