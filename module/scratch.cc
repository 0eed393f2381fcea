#include "module/scratch.h"

#include <cerrno>

#include "module/names.h"

namespace faha::module {
namespace {

constexpr const char* kEvents = "notify-keyspace-events";

// A native key that is open as long as this object lives.
class Key {
 public:
  Key(const Call& call, int key)
      : key_(static_cast<RedisModuleKey*>(
            RedisModule_OpenKey(call.ctx(), call.raw(key), REDISMODULE_READ | REDISMODULE_WRITE))) {}
  ~Key() { RedisModule_CloseKey(key_); }
  Key(const Key&) = delete;
  Key& operator=(const Key&) = delete;
  [[nodiscard]] RedisModuleKey* get() const { return key_; }

 private:
  RedisModuleKey* key_;
};

RedisModuleString* CopyOf(const Call& call, std::string_view value) {
  return RedisModule_CreateString(call.ctx(), value.data(), value.size());
}

}  // namespace

NativeReply RunNative(const Call& call, std::string_view name, Protocol protocol, RedisModuleString* more) {
  std::vector<RedisModuleString*> args(call.raw() + 1, call.raw() + call.size());
  if (more != nullptr) args.push_back(more);
  RedisModuleCallReply* reply = CallServer(call.ctx(), ServersName(name).c_str(),
                                           protocol == Protocol::kClients ? "0Ev" : "Ev", args.data(), args.size());
  return {reply, RedisModule_FreeCallReply};
}

NativeReply RunAsCaller(const Call& call) {
  errno = 0;
  NativeReply reply(CallServer(call.ctx(), ServersName(call.name()).c_str(), "0ECv", call.raw() + 1,
                               static_cast<std::size_t>(call.size() - 1)),
                    RedisModule_FreeCallReply);
  return errno == ENOTSUP ? RunNative(call, call.name()) : reply;
}

bool IsError(const NativeReply& reply) { return RedisModule_CallReplyType(reply.get()) == REDISMODULE_REPLY_ERROR; }

Scratch::Scratch(Call& call, std::vector<int> keys) : call_(call), keys_(std::move(keys)) {
  // Expired keys are deleted first, with their events.
  std::vector<RedisModuleString*> values;
  for (const int key : keys_) {
    const auto entry = call_.FindAny(key);
    values.push_back(entry ? CopyOf(call_, entry->value) : nullptr);
  }
  events_ = ConfigValue(call_.ctx(), kEvents);
  // Redis 7.0 does not show 'n' in the setting if the setting contains 'A'.
  if ((RedisModule_GetNotifyKeyspaceEvents() & REDISMODULE_NOTIFY_NEW) != 0) events_ += 'n';
  if (!events_.empty()) Run(call_.ctx(), "CONFIG", "SET", kEvents, "");
  for (std::size_t i = 0; i < keys_.size(); ++i) {
    if (values[i] == nullptr) continue;
    RedisModule_StringSet(Key(call_, keys_[i]).get(), values[i]);
    RedisModule_FreeString(call_.ctx(), values[i]);
  }
}

Scratch::~Scratch() {
  for (const int key : keys_) RedisModule_DeleteKey(Key(call_, key).get());
  if (!events_.empty()) Run(call_.ctx(), "CONFIG", "SET", kEvents, events_.c_str());
}

std::optional<Scratch::Result> Scratch::Take(int key) const {
  const Key open(call_, key);
  const int type = RedisModule_KeyType(open.get());
  if (type == REDISMODULE_KEYTYPE_EMPTY) return std::nullopt;
  if (type != REDISMODULE_KEYTYPE_STRING) return Result{.is_string = false, .value = {}};
  size_t size = 0;
  const char* value = RedisModule_StringDMA(open.get(), &size, REDISMODULE_READ);
  const mstime_t expire_at = RedisModule_GetAbsExpire(open.get());
  return Result{.value = std::string(value, size),
                .expire_at = expire_at == REDISMODULE_NO_EXPIRE ? kNoExpiry : expire_at};
}

}  // namespace faha::module
