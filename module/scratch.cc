#include "module/scratch.h"

#include <cerrno>
#include <cstdlib>

#include "faha/collections.h"
#include "module/names.h"
#include "module/rdb_value.h"

namespace faha::module {
namespace {

constexpr const char* kEvents = "notify-keyspace-events";

// A native key that is open as long as this object lives.
class Key {
 public:
  Key(const Call& call, int key) : Key(call, call.raw(key)) {}
  Key(const Call& call, RedisModuleString* name)
      : key_(
            static_cast<RedisModuleKey*>(RedisModule_OpenKey(call.ctx(), name, REDISMODULE_READ | REDISMODULE_WRITE))) {
  }
  ~Key() { RedisModule_CloseKey(key_); }
  Key(const Key&) = delete;
  Key& operator=(const Key&) = delete;
  [[nodiscard]] RedisModuleKey* get() const { return key_; }

 private:
  RedisModuleKey* key_;
};

using Elements = std::unique_ptr<RedisModuleCallReply, decltype(RedisModule_FreeCallReply)>;

// The reply of a native command that tells all elements of the collection under a key.
template <typename... Arg>
Elements AllElements(const Call& call, int key, const char* command, const char* format, Arg... args) {
  RedisModuleCallReply* reply = CallServer(call.ctx(), ServersName(command).c_str(), format, call.raw(key), args...);
  return {reply, RedisModule_FreeCallReply};
}

// The packed collection of that type under a native key.
std::string Pack(const Call& call, int key, ValueType type) {
  const bool scored = type == ValueType::kSortedSet, pairs = type == ValueType::kHash;
  const Elements reply = scored                    ? AllElements(call, key, "zrange", "sccc", "0", "-1", "WITHSCORES")
                         : pairs                   ? AllElements(call, key, "hgetall", "s")
                         : type == ValueType::kSet ? AllElements(call, key, "smembers", "s")
                                                   : AllElements(call, key, "lrange", "scc", "0", "-1");
  Packer packer;
  const std::size_t count = reply == nullptr ? 0 : RedisModule_CallReplyLength(reply.get());
  const auto text = [&](std::size_t i) { return TextOf(RedisModule_CallReplyArrayElement(reply.get(), i)); };
  for (std::size_t i = 0; i < count; ++i) {
    const std::string_view first = text(i);
    if (scored) {
      packer.AddScored(first, std::strtod(std::string(text(++i)).c_str(), nullptr));
    } else if (pairs) {
      packer.Add(first, text(++i));
    } else {
      packer.Add(first);
    }
  }
  return packer.bytes();
}

std::optional<ValueType> TypeOf(int native) {
  switch (native) {
    case REDISMODULE_KEYTYPE_STRING: return ValueType::kString;
    case REDISMODULE_KEYTYPE_HASH: return ValueType::kHash;
    case REDISMODULE_KEYTYPE_SET: return ValueType::kSet;
    case REDISMODULE_KEYTYPE_ZSET: return ValueType::kSortedSet;
    case REDISMODULE_KEYTYPE_LIST: return ValueType::kList;
    default: return std::nullopt;
  }
}

}  // namespace

NativeReply RunNative(const Call& call, std::string_view name, std::span<RedisModuleString* const> args,
                      Protocol protocol) {
  RedisModuleCallReply* reply = CallServer(call.ctx(), ServersName(name).c_str(),
                                           protocol == Protocol::kClients ? "0Ev" : "Ev", args.data(), args.size());
  return {reply, RedisModule_FreeCallReply};
}

NativeReply RunNative(const Call& call, std::string_view name, Protocol protocol, RedisModuleString* more) {
  std::vector<RedisModuleString*> args(call.raw() + 1, call.raw() + call.size());
  if (more != nullptr) args.push_back(more);
  return RunNative(call, name, args, protocol);
}

NativeReply RunAsCaller(const Call& call) {
  errno = 0;
  NativeReply reply(CallServer(call.ctx(), ServersName(call.name()).c_str(), "0ECv", call.raw() + 1,
                               static_cast<std::size_t>(call.size() - 1)),
                    RedisModule_FreeCallReply);
  return errno == ENOTSUP ? RunNative(call, call.name()) : reply;
}

bool IsError(const NativeReply& reply) { return RedisModule_CallReplyType(reply.get()) == REDISMODULE_REPLY_ERROR; }

Scratch::Scratch(Call& call, std::vector<int> keys, For use)
    : call_(call), keys_(std::move(keys)), args_(call.raw() + 1, call.raw() + call.size()) {
  // Expired keys are deleted first, with their events.
  struct Lent {
    std::string value;
    bool is_string = true;
  };
  std::vector<std::optional<Lent>> values;
  for (const int key : keys_) {
    const auto entry = call_.FindAny(key);
    if (!entry) {
      values.emplace_back();
    } else if (entry->type == ValueType::kString || use == For::kReplacing) {
      values.push_back(Lent{entry->type == ValueType::kString ? std::string(entry->value) : std::string()});
    } else {
      values.push_back(Lent{RdbPayload(call_.store(), *entry), false});
    }
  }
  events_ = ConfigValue(call_.ctx(), kEvents);
  // Redis 7.0 does not show 'n' in the setting if the setting contains 'A'.
  if ((RedisModule_GetNotifyKeyspaceEvents() & REDISMODULE_NOTIFY_NEW) != 0) events_ += 'n';
  if (!events_.empty()) Run(call_.ctx(), "CONFIG", "SET", kEvents, "");
  for (std::size_t i = 0; i < keys_.size(); ++i) {
    if (!values[i]) continue;
    if (!values[i]->is_string) {
      Lend(keys_[i], values[i]->value);
      continue;
    }
    RedisModuleString* value = RedisModule_CreateString(call_.ctx(), values[i]->value.data(), values[i]->value.size());
    RedisModule_StringSet(Key(call_, keys_[i]).get(), value);
    RedisModule_FreeString(call_.ctx(), value);
  }
}

void Scratch::Lend(int key, const std::string& payload) {
  const std::string name = "faha.lent:" + std::to_string(names_.size()) + ":" + std::string(call_.arg(key));
  RedisModuleString* lent = RedisModule_CreateString(call_.ctx(), name.data(), name.size());
  names_.push_back(lent);
  args_[static_cast<std::size_t>(key) - 1] = lent;
  RedisModuleCallReply* reply =
      CallServer(call_.ctx(), ServersName("restore").c_str(), "scb", lent, "0", payload.data(), payload.size());
  if (reply == nullptr || RedisModule_CallReplyType(reply) == REDISMODULE_REPLY_ERROR) {
    call_.Refuse({Code::kUnavailable,
                  "the server's own RESTORE, which this command needs for collections, is renamed or fails: " +
                      std::string(TextOf(reply))});
  }
  if (reply != nullptr) RedisModule_FreeCallReply(reply);
}

Scratch::~Scratch() {
  for (const int key : keys_) RedisModule_DeleteKey(Key(call_, call_.raw(key)).get());
  for (RedisModuleString* name : names_) {
    RedisModule_DeleteKey(Key(call_, name).get());
    RedisModule_FreeString(call_.ctx(), name);
  }
  if (!events_.empty()) Run(call_.ctx(), "CONFIG", "SET", kEvents, events_.c_str());
}

std::optional<Scratch::Result> Scratch::Take(int key) const {
  const Key open(call_, key);
  const int type = RedisModule_KeyType(open.get());
  if (type == REDISMODULE_KEYTYPE_EMPTY) return std::nullopt;
  const mstime_t expire_at = RedisModule_GetAbsExpire(open.get());
  Result result{
      .type = TypeOf(type), .value = {}, .expire_at = expire_at == REDISMODULE_NO_EXPIRE ? kNoExpiry : expire_at};
  if (result.type == ValueType::kString) {
    size_t size = 0;
    const char* value = RedisModule_StringDMA(open.get(), &size, REDISMODULE_READ);
    result.value.assign(value, size);
  } else if (result.type) {
    result.elements = RedisModule_ValueLength(open.get());
    result.value = Pack(call_, key, *result.type);
  }
  return result;
}

}  // namespace faha::module
