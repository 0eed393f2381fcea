// Clients that wait until a list or a sorted set has an element for them: BLPOP, BZPOPMIN and their like.  Thread: main
// loop only.
//
// A client waits in one queue for each of its keys, and each queue is served first come, first served.  Redis' own
// queues (RM_BlockClientOnKeys) are of no use: they are served only where the key is in Redis' own keyspace.
//   when       a key that was stored is looked at when the unit that stored it has ended, so before any other command
//              and at the latest before the turn's commit.  What a waiting client takes is a unit of its own
//   together   clients that only pop from one key, one behind the other, do so in one unit and with one write: a push
//              of many elements for many clients does not write the key once for each of them
//   the reply  of a client that was served is given to Redis when the turn has been committed.  Until then Redis counts
//              the client as blocked.  If the commit fails, the client is dropped like all others
//   the end    a time-out and CLIENT UNBLOCK are FaHA's own, so that neither can come between an element and its reply.
//              A client that is gone leaves its queues at once, and is not served
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>

#include "module/call.h"
#include "module/views.h"
#include "module/writers.h"

namespace faha::module {

// Pops from a collection that is not empty, was opened under the key at argument `key`, and is stored by the caller.
// If there is no room, nothing has changed, and the call is refused.
template <typename Kind>
using PopFrom = std::function<Reply(Call& call, int key, Opened<Kind>& collection)>;

// What a client asks for.  Arguments of its command have the same place when the client is served.
struct Wish {
  int first = 1, keys = 1;   // the arguments that are its keys
  int timeout = 0;           // the argument that is its time-out
  Reply none = NullArray();  // the reply where the client may not wait

  // One of the three.
  PopFrom<List> from_list = {};
  PopFrom<SortedSet> from_set = {};
  // Takes from the list under the key at argument `key`, and stores it; returns nothing if there is nothing to take.
  std::function<std::optional<Reply>(Call& call, int key)> take = {};

  const char* event = nullptr;  // of a pop

  [[nodiscard]] ValueType type() const { return from_set ? ValueType::kSortedSet : ValueType::kList; }
};

// Takes from the first of the keys that has something.  If none has, the client waits, where it may.
Reply TakeOrWait(Call& call, Wish wish);

// The key has changed, or another value has been put under it: whoever waits for it may be served.
void MayServe(DbId db, std::string_view key);
// The same for all keys of a database, and of all databases.
void MayServeAll(DbId db);
void MayServeAll();

// A turn has ended.  `committed`: the replies of those who were served may leave.
void BlockedTurnEnds(bool committed);
// Ends the waits whose time has come.  Called in every tick.
void TendBlocked(RedisModuleCtx* ctx);

// Has this client been waiting since before this turn, in vain until now?  Then no reply of this turn is meant for it.
[[nodiscard]] bool IsBlockedSinceBefore(std::uint64_t client);
// Was anyone served whose reply Redis has not taken yet?
[[nodiscard]] bool AnyoneIsServed();

// This node does not lead any more: tells all who still wait, as Redis does, and disconnects them.
void InterruptBlocked();

}  // namespace faha::module
