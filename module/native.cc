// Commands that Redis runs itself, on scratch keys (scratch.h): LCS, PFADD, PFCOUNT, PFMERGE, DUMP, RESTORE and
// MEMORY USAGE.  So semantics, replies and errors are those of the server.
#include <numeric>

#include "module/commands.h"
#include "module/scratch.h"
#include "module/views.h"

namespace faha::module::native {
namespace {

std::vector<int> Arguments(int first, int end) {
  std::vector<int> result(static_cast<std::size_t>(end - first));
  std::iota(result.begin(), result.end(), first);
  return result;
}

// Reads the keys first, which reports missing keys; the native command does not report them: see scratch.h.
std::vector<int> ReadFirst(Call& call, std::vector<int> keys) {
  for (const int key : keys) (void)call.ReadAny(key);
  return keys;
}

// The same of keys that must be strings.
std::vector<int> ReadStrings(Call& call, std::vector<int> keys) {
  for (const int key : keys) (void)call.Read(key);
  return keys;
}

Reply Read(Call& call, std::vector<int> keys) {
  const Scratch scratch(call, std::move(keys));
  const std::string_view name = call.name();
  return Reply::Native(RunNative(call, name.substr(0, name.find('|')), scratch.args()));
}

// The result of a native write command.
struct Outcome {
  NativeReply reply;
  std::optional<Scratch::Result> target;
};

Outcome Write(Call& call, std::vector<int> keys, int target) {
  const Scratch scratch(call, std::move(keys), Scratch::For::kReplacing);
  NativeReply reply = RunNative(call, call.name());
  return {std::move(reply), scratch.Take(target)};
}

// PFADD and PFMERGE: their target keeps its expiry.
Reply Merged(Call& call, bool always) {
  if (always) ReadStrings(call, Arguments(1, call.size()));
  const auto entry = call.Find(1);
  if (!call.refused().ok()) return Reply::Null();
  const TimeMs expire_at = entry ? entry->expire_at : kNoExpiry;
  const Outcome outcome = Write(call, Arguments(1, always ? call.size() : 2), 1);
  const bool changed = always ? !IsError(outcome.reply) : RedisModule_CallReplyInteger(outcome.reply.get()) == 1;
  if (!changed) return Reply::Native(outcome.reply);
  return After(call.Put(1, {outcome.target->value, expire_at}, REDISMODULE_NOTIFY_STRING, "pfadd"),
               Reply::Native(outcome.reply));
}

}  // namespace

Reply Lcs(Call& call) { return Read(call, ReadFirst(call, {1, 2})); }
Reply Dump(Call& call) { return Read(call, ReadFirst(call, {1})); }
Reply MemoryUsage(Call& call) { return Read(call, {2}); }

Reply PfAdd(Call& call) { return Merged(call, false); }
Reply PfMerge(Call& call) { return Merged(call, true); }

Reply PfCount(Call& call) {
  const Scratch scratch(call, ReadStrings(call, Arguments(1, call.size())));
  if (!call.refused().ok()) return Reply::Null();
  // If PFCOUNT names one key, Redis would keep the count in the value and signal the key as changed.  If the same key
  // is named twice, Redis does neither.
  return Reply::Native(RunNative(call, call.name(), Protocol::kClients, call.size() == 2 ? call.raw(1) : nullptr));
}

Reply Restore(Call& call) {
  const Outcome outcome = Write(call, {1}, 1);
  if (IsError(outcome.reply)) return Reply::Native(outcome.reply);
  if (!outcome.target) {  // the restored key has expired already
    return call.FindAny(1) ? After(call.Delete(1), Reply::Native(outcome.reply)) : Reply::Native(outcome.reply);
  }
  if (!outcome.target->type) {
    return Reply::Error("UNSUPPORTED 'restore' of a stream or of a module's value: FaHA does not serve these");
  }
  if (!call.store().HasLarge()) {
    if (Status status = CheckElements(outcome.target->elements); !status.ok()) return Reply::Error(status);
  }
  std::string name;
  const auto restored = Settled(call, 1, outcome.target->entry(), false, name);
  if (!restored.ok()) return Reply::Error(restored.status());
  return After(call.Put(1, restored.value(), REDISMODULE_NOTIFY_GENERIC, "restore", true),
               Reply::Native(outcome.reply));
}

}  // namespace faha::module::native
