// Runs Redis' own commands on values that FaHA holds.  Thread: main loop only.
//
// A rarely used command is not implemented again.  Instead, its keys are lent to the native keyspace, which is
// otherwise empty; the native command runs; its results are taken back; and the native keys are deleted.  All of this
// happens within one command on one thread.  The following keeps it from being seen:
//   name, database   lent keys have their own names, in the client's database.  So the command runs as it was sent and
//                    names no other keys, and its signals (WATCH, tracking) concern only keys that the client has named
//   propagation      RM_Call without '!' and the key API propagate nothing.  No lent key has an expiry: a native key
//                    that expires would be deleted with a DEL to the AOF and to the replicas
//   signals          the module has NO_IMPLICIT_SIGNAL_MODIFIED, so lending and taking signal nothing.  A native write
//                    command signals its key.  If there is then no room for the result, this signal was not needed, and
//                    only makes a client read again
//   keyspace events  notify-keyspace-events is empty meanwhile; the caller fires the command's event with its write.
//                    Another module that subscribes through the API hears the native events all the same
//   the filter       passes FaHA's own RM_Call unchanged, but not what another module calls because of its events
//   ACL              the rights on every key that is named were checked for faha.<name> (rights.h); RM_Call checks none
//   memory           deny-oom was checked for faha.<name>, and the values are held twice while the command runs
// MONITOR, SLOWLOG and LATENCY show the native command after faha.<name>, as they show those of a script.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "module/call.h"

namespace faha::module {

using NativeReply = std::shared_ptr<RedisModuleCallReply>;

// Runs the native command `name` with the arguments of `call` after the first one, and `more` as the last one.  The
// reply is in the client's protocol, or in RESP2.  Errors are returned as replies; the result is never null.
enum class Protocol { kClients, kResp2 };
NativeReply RunNative(const Call& call, std::string_view name, Protocol protocol = Protocol::kClients,
                      RedisModuleString* more = nullptr);
// The same with these arguments.
NativeReply RunNative(const Call& call, std::string_view name, std::span<RedisModuleString* const> args,
                      Protocol protocol = Protocol::kClients);

// Runs the command of `call` natively with the caller's rights, because the command's own effects depend on those
// rights.  A caller that has no user, such as another module, has all rights.
NativeReply RunAsCaller(const Call& call);

bool IsError(const NativeReply& reply);

class Scratch {
 public:
  enum class For : std::uint8_t { kReading, kReplacing };
  // Lends the keys at these arguments, as far as they exist; the same key may be named twice.  Collections can only be
  // lent by the server's own RESTORE, which would signal the key; so they are lent under another name, see args().  To
  // a command that replaces whatever there is, a string stands for them.
  Scratch(Call& call, std::vector<int> keys, For use = For::kReading);
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  struct Result {
    std::optional<ValueType> type;  // nothing: it is a stream, or a value of another module
    std::string value;              // as in Entry
    std::uint64_t elements = 0;     // of a collection
    TimeMs expire_at = kNoExpiry;
    [[nodiscard]] Entry entry() const { return {value, expire_at, *type}; }
  };
  // The arguments of the call, without the command's name, where each key has the name under which it is lent.
  [[nodiscard]] std::span<RedisModuleString* const> args() const { return args_; }
  // What the native keyspace holds under the key at argument `key`; nothing if there is no such key.
  [[nodiscard]] std::optional<Result> Take(int key) const;

 private:
  void Lend(int key, const std::string& payload);
  Call& call_;
  std::vector<int> keys_;
  std::vector<RedisModuleString*> args_, names_;  // names_: those that were made here
  std::string events_;                            // the former value of notify-keyspace-events
};

}  // namespace faha::module
