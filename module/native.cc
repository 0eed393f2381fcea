// Commands that Redis runs itself, on scratch keys (scratch.h): LCS, PFADD, PFCOUNT, PFMERGE, DUMP, RESTORE and
// MEMORY USAGE.  So semantics, replies and errors are those of the server.
#include <numeric>

#include "module/commands.h"
#include "module/rdb_value.h"
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

// Of a string as the server does it.  Of a collection it is the plain form of the type, which every server restores.
Reply Dump(Call& call) {
  const auto entry = call.ReadAny(1);
  if (!entry) return Reply::Null();
  if (entry->type == ValueType::kString) return Read(call, {1});
  std::string payload = RdbPayload(call.store(), *entry);
  if (!payload.empty()) return Reply::Text(std::move(payload));
  return Reply::Error({Code::kCorrupt, "the value of the key is damaged: take this node's data from its peers"});
}

namespace {

// A collection of more elements is not lent to the server.
constexpr std::uint64_t kMostLent = 1000;

// How many elements MEMORY USAGE is to look at; 0: all.  Nothing: the server is to say what is wrong.
std::optional<std::uint64_t> SamplesOf(const Call& call) {
  constexpr std::uint64_t kDefault = 5;
  if (call.size() == 3) return kDefault;
  const auto samples = call.size() == 5 && call.Is(3, "samples") ? ParseInteger(call.arg(4)) : std::nullopt;
  return samples && *samples >= 0 ? std::optional(static_cast<std::uint64_t>(*samples)) : std::nullopt;
}

std::uint64_t SizeOf(std::string_view text) { return text.size(); }
std::uint64_t SizeOf(double score) { return sizeof score; }
std::uint64_t SizeOf(std::uint64_t) { return 0; }  // the index of a list's element

// What the elements take of DRAM and of the pool, estimated as Redis does from a few of them.
template <typename Kind>
std::uint64_t Estimate(const Kind& collection, std::uint64_t samples) {
  constexpr std::uint64_t kOwnBytes = 60;  // of an element: what finds it, and what its record has besides its bytes
  const std::uint64_t size = collection.Size();
  if (samples == 0) samples = size;
  std::uint64_t bytes = 0, seen = 0;
  const auto visit = [&](auto... parts) {
    bytes += (SizeOf(parts) + ...);
    return ++seen < samples;
  };
  if constexpr (requires { collection.ForEach(visit); }) {
    collection.ForEach(visit);
  } else {
    collection.ForEach(0, size, Order::kForward, visit);
  }
  return seen == 0 ? 0 : bytes * size / seen + size * kOwnBytes;
}

}  // namespace

Reply MemoryUsage(Call& call) {
  const auto entry = call.FindAny(2);
  const auto samples = SamplesOf(call);
  const auto collection = entry && samples ? OpenAny(call.store(), *entry) : nullptr;
  if (collection == nullptr || collection->Size() <= kMostLent) return Read(call, {2});
  const auto estimate = [&]<typename Kind>() { return Estimate(static_cast<const Kind&>(*collection), *samples); };
  const std::uint64_t bytes = VisitKind(entry->type, estimate, std::uint64_t{0});
  return Reply::Integer(static_cast<std::int64_t>(call.arg(2).size() + bytes));
}

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
