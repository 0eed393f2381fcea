#include "tests/fakes/fake_redis.h"

#include <cstdint>
#include <utility>

namespace faha {

namespace {
std::string TextOfString(const RedisModuleString* string) { return *reinterpret_cast<const std::string*>(string); }
// No native command is there.
RedisModuleCallReply* Call(RedisModuleCtx*, const char*, const char*, ...) { return nullptr; }
}  // namespace

FakeRedis::FakeRedis() {
  RedisModule_StringPtrLen = [](const RedisModuleString* string, size_t* size) -> const char* {
    const auto& text = *reinterpret_cast<const std::string*>(string);
    *size = text.size();
    return text.data();
  };
  RedisModule_GetSelectedDb = [](RedisModuleCtx* ctx) { return Of(ctx).database; };
  RedisModule_GetContextFlags = [](RedisModuleCtx* ctx) { return ctx == nullptr ? 0 : Of(ctx).context_flags; };
  RedisModule_GetClientId = [](RedisModuleCtx*) { return 1ULL; };
  RedisModule_GetClientInfoById = [](void*, std::uint64_t) { return REDISMODULE_OK; };
  RedisModule_GetNotifyKeyspaceEvents = [] { return REDISMODULE_NOTIFY_NEW; };
  static FakeRedis* the = nullptr;
  the = this;
  RedisModule_Milliseconds = []() { return static_cast<mstime_t>(the->now); };
  RedisModule_Call = Call;
  RedisModule_SignalModifiedKey = [](RedisModuleCtx* ctx, RedisModuleString* key) {
    Of(ctx).modified.push_back(TextOfString(key));
    return REDISMODULE_OK;
  };
  RedisModule_NotifyKeyspaceEvent = [](RedisModuleCtx* ctx, int, const char* event, RedisModuleString* key) {
    Of(ctx).events.push_back(std::string(event) + " " + TextOfString(key));
    return REDISMODULE_OK;
  };
  RedisModule_ReplyWithStringBuffer = [](RedisModuleCtx* ctx, const char* text, size_t size) {
    return Of(ctx).Reply("$" + std::string(text, size));
  };
  RedisModule_ReplyWithSimpleString = [](RedisModuleCtx* ctx, const char* text) {
    return Of(ctx).Reply("+" + std::string(text));
  };
  RedisModule_ReplyWithError = [](RedisModuleCtx* ctx, const char* text) {
    return Of(ctx).Reply("-" + std::string(text));
  };
  RedisModule_ReplyWithLongLong = [](RedisModuleCtx* ctx, long long value) {
    return Of(ctx).Reply(":" + std::to_string(value));
  };
  RedisModule_ReplyWithArray = [](RedisModuleCtx* ctx, long size) { return Of(ctx).Reply("*" + std::to_string(size)); };
  RedisModule_ReplyWithNull = [](RedisModuleCtx* ctx) { return Of(ctx).Reply("_"); };
}

std::vector<RedisModuleString*> FakeRedis::Arguments(const std::vector<std::string>& words) {
  std::vector<RedisModuleString*> arguments;
  for (const std::string& word : words) {
    strings_.push_back(word);
    arguments.push_back(reinterpret_cast<RedisModuleString*>(&strings_.back()));
  }
  return arguments;
}

int FakeRedis::Reply(std::string text) {
  if (before_reply) before_reply();
  replies.push_back(std::move(text));
  return REDISMODULE_OK;
}

}  // namespace faha
