// Clients that wait for the outcome of an order: FAHA.PROMOTE, FAHA.FAILOVER.  Thread: main loop only.
// Each client gets FaHA's own answer, even where Redis would answer for FaHA: a server that becomes a replica sends
// -UNBLOCKED to blocked clients and closes their connections.  So these clients are answered before that, and at once,
// because Redis' usual way to unblock a client takes effect only at the end of the event loop's turn.
#pragma once

#include <cstdint>
#include <functional>

#include "module/call.h"

namespace faha::module {

using Outcome = std::function<void(const Status&)>;

// Calls `start`, which reports the outcome exactly once, now or later, and answers the client with that outcome.  The
// client must be one that may block.
Reply AwaitOutcome(Call& call, const std::function<void(const Outcome&)>& start);

// May the client of `call` block?  It may not in a transaction or a script.
bool MayBlock(const Call& call);

[[nodiscard]] bool AnyoneWaits();
// Has this client been waiting since before this turn, or did it wait until its outcome came in this turn?  Then no
// other reply of this turn is meant for it.
[[nodiscard]] bool WaitsSinceBefore(std::uint64_t client);
// A turn has ended.
void WaitersTurnEnds();

// Redis is about to become a replica: tells the clients that still wait that the outcome is not known.
void InterruptWaiters(RedisModuleCtx* ctx);

}  // namespace faha::module
