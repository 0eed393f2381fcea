// Redis' own commands on values that FaHA holds.  Thread: main loop only.
//
// A command that is rarely used is not written again: its keys are lent to the native keyspace, which is otherwise
// empty, the native command runs, what it made of them is taken back, and the native keys go.  All of it happens within
// one command of one thread.  What keeps it from being seen:
//   name, database   the keys' own ones in the client's database: the command runs as it was sent, names no other keys,
//                    and what it signals (WATCH, tracking) is told of keys that the client has named
//   propagation      RM_Call without '!' and the key API propagate nothing.  Nothing lent has an expiry: a native key
//                    that expires would be deleted with a DEL to the AOF and to the replicas
//   signals          the module has NO_IMPLICIT_SIGNAL_MODIFIED, so lending and taking signal nothing.  A native write
//                    command signals its key; if there is then no room for the result, that was one signal too many,
//                    after which a client reads again
//   keyspace events  notify-keyspace-events is empty meanwhile; the caller fires the command's event with its write.
//                    Another module that subscribes through the API hears the native events all the same
//   the filter       passes our own RM_Call over, but not what another module calls upon its events
//   ACL              the rights on every key that is named were checked for faha.<name> (rights.h); RM_Call checks none
//   memory           deny-oom was checked for faha.<name>, and the values are held twice for the time of the command
// MONITOR, SLOWLOG and LATENCY show the native command after faha.<name>, as they show those of a script.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "module/call.h"

namespace faha::module {

using NativeReply = std::shared_ptr<RedisModuleCallReply>;

// The native command `name` with the arguments of `call` behind the first, and `more` at the end.  Its reply is in the
// client's protocol, or in RESP2.  Errors are replies; never null.
enum class Protocol { kClients, kResp2 };
NativeReply RunNative(const Call& call, std::string_view name, Protocol protocol = Protocol::kClients,
                      RedisModuleString* more = nullptr);

// The same command natively, with the caller's rights, for what it does by itself depends on them.  A caller that has
// no user, such as another module, has all rights.
NativeReply RunAsCaller(const Call& call);

bool IsError(const NativeReply& reply);

class Scratch {
 public:
  // Lends the keys at these arguments, as far as they exist; the same one twice is fine.
  Scratch(Call& call, std::vector<int> keys);
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  struct Result {
    bool is_string = true;
    std::string value;
    TimeMs expire_at = kNoExpiry;
  };
  // What the native keyspace holds under the key at argument `key`; nothing if it holds nothing.
  [[nodiscard]] std::optional<Result> Take(int key) const;

 private:
  Call& call_;
  std::vector<int> keys_;
  std::string events_;  // notify-keyspace-events, as it was
};

}  // namespace faha::module
