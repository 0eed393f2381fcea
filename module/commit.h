// When writes become persistent, and what keeps a reply from leaving before.  Thread: main loop only.
//
// All that a turn of the event loop wrote is committed together in BEFORE_SLEEP; Redis sends the replies afterwards.
// In three cases a reply would leave earlier, and each has its answer:
//   a client that was blocked runs its pipeline after BEFORE_SLEEP    writes commit inside their command (in_window);
//                                                                     from 7.2 on, and in Valkey, it runs before
//   a script runs long, and Redis serves others meanwhile             the filter commits before the script (Precommit)
//   a client's reply waits for a writable socket                      Redis' write barrier; until it holds, and for a
//                                                                     client that it excepts, writes commit inside
//                                                                     their command (barrier.h)
// A transaction's own reply is none before its last element: a slow script within it may let the first ones out.
#pragma once

#include "faha/status.h"
#include "module/redis_api.h"

namespace faha::module {

// Subscribes to the event loop.  False if Redis refuses.
bool StartCommitting(RedisModuleCtx* ctx);

// A command that reads or writes begins.  True if it must commit by itself.
bool BeginCommand(RedisModuleCtx* ctx);

// Commits now, inside a command.  Errors: the command must answer with them; the turn's other replies will not leave.
Status CommitInside();

// Commits what is pending because replies may leave before BEFORE_SLEEP.  Errors: as CommitInside.
Status Precommit();

}  // namespace faha::module
