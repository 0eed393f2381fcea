// Redis' module API as far as a handler of data needs it, so that one is tested without a server.  Thread: one at a
// time.
// Making one sets the API's functions, which are global; what is not set here is null, and a test that calls it ends.
#pragma once

#include <functional>
#include <list>
#include <string>
#include <string_view>
#include <vector>

#include "module/redis_api.h"

namespace faha {

class FakeRedis {
 public:
  FakeRedis();
  FakeRedis(const FakeRedis&) = delete;
  FakeRedis& operator=(const FakeRedis&) = delete;

  [[nodiscard]] RedisModuleCtx* ctx() { return reinterpret_cast<RedisModuleCtx*>(this); }
  // For the life of this.
  std::vector<RedisModuleString*> Arguments(const std::vector<std::string>& words);

  int context_flags = 0;               // REDISMODULE_CTX_FLAGS_*
  int database = 0;                    // the client's
  long long now = 1'000'000;           // Unix time, ms
  std::function<void()> before_reply;  // anything is replied
  // As in RESP2, without line ends: "$text", ":1", "+OK", "-ERR ...", "*2", "_" for null.
  std::vector<std::string> replies;
  std::vector<std::string> events;    // "set key"
  std::vector<std::string> modified;  // keys

 private:
  static FakeRedis& Of(RedisModuleCtx* ctx) { return *reinterpret_cast<FakeRedis*>(ctx); }
  int Reply(std::string text);

  std::list<std::string> strings_;
};

}  // namespace faha
