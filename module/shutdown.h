// Signals that ask the server to end.  Redis refuses them while it writes its first AOF ("Writing initial AOF, can't
// exit") and forgets them.  FaHA turns the AOF on in a server that runs, and Redis starts it anew after each full
// synchronisation, so that a service manager's SIGTERM may well come then.  The module remembers the signal and gives
// it to Redis again when that AOF is written.  The SHUTDOWN command is not concerned: its client hears of the refusal.
//
// A primary hands its role over before it ends: to the backup that Sentinel chooses, so that clients are told of it, or
// to the best one.  A second signal ends it at once.
// Thread: main loop only, but for the signal handler.
#pragma once

#include "module/redis_api.h"

namespace faha::module {

// Watches SIGTERM and SIGINT.  False if Redis refuses.
bool StartWatchingSignals(RedisModuleCtx* ctx);

// Every tick.
void TendShutdown(RedisModuleCtx* ctx);

// Redis waits for its replicas before it ends: they lack nothing, for its data set is empty, and must not come again.
bool EndsSoon();

// The signal that the server was sent and has not refused; 0: none.
int ReceivedSignal();

// An administrator calls the shutdown off (SHUTDOWN ABORT): the signal counts no more.
void ForgetSignal();

}  // namespace faha::module
