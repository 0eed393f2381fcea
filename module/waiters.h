// Clients that wait for the outcome of an order: FAHA.PROMOTE, FAHA.FAILOVER.  Thread: main loop only.
// Each is told in a line of FaHA's own, also where Redis would answer for it: a server that becomes a replica tells
// blocked clients -UNBLOCKED and hangs up.  So they are told before, and at once: Redis' usual way to unblock a client
// takes effect only at the end of the event loop's turn.
#pragma once

#include <cstdint>
#include <functional>

#include "module/call.h"

namespace faha::module {

using Outcome = std::function<void(const Status&)>;

// Calls `start`, which reports the outcome once, now or later, and answers the client with it.  The client must be one
// that may block.
Reply AwaitOutcome(Call& call, const std::function<void(const Outcome&)>& start);

// May the client of `call` block?  It may not in a transaction or a script.
bool MayBlock(const Call& call);

[[nodiscard]] bool AnyoneWaits();
// Does this client wait since before this turn, or has it until its outcome came in this turn?  Then no other reply of
// this turn is meant for it.
[[nodiscard]] bool WaitsSinceBefore(std::uint64_t client);
// A turn has ended well.
void WaitersTurnEnds();

// Redis is about to become a replica: who waits still is told that the outcome is not known.
void InterruptWaiters(RedisModuleCtx* ctx);

}  // namespace faha::module
