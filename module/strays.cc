#include "module/strays.h"

#include <chrono>
#include <string>

#include "module/state.h"

namespace faha::module {
namespace {

std::string OtherModules(RedisModuleCtx* ctx) {
  std::string names;
  RedisModuleCallReply* list = CallServer(ctx, "MODULE", "c", "LIST");
  const bool known = list != nullptr && RedisModule_CallReplyType(list) == REDISMODULE_REPLY_ARRAY;
  for (size_t i = 0; known && i < RedisModule_CallReplyLength(list); ++i) {
    const std::string_view name =
        TextOf(RedisModule_CallReplyArrayElement(RedisModule_CallReplyArrayElement(list, i), 1));
    if (!name.empty() && name != "faha") names.append(names.empty() ? "" : ", ").append(name);
  }
  if (list != nullptr) RedisModule_FreeCallReply(list);
  return names.empty() ? "none is loaded now" : "loaded besides: " + names;
}

}  // namespace

void LookForStrays(RedisModuleCtx* ctx) {
  static std::chrono::steady_clock::time_point next;
  static unsigned long long told = 0;
  const auto now = std::chrono::steady_clock::now();
  if (now < next || TheState().loading) return;
  next = now + std::chrono::seconds(1);
  unsigned long long keys = 0;
  DbId last = 0;
  for (DbId db = 0; db < TheState().databases; ++db) {
    RedisModule_SelectDb(ctx, db);
    const unsigned long long here = RedisModule_DbSize(ctx);
    if (here > 0) last = db;
    keys += here;
  }
  RedisModule_SelectDb(ctx, 0);
  if (keys > told) {
    Log(LogLevel::kWarning, "NATIVEDATA another module (" + OtherModules(ctx) +
                                ") has written past FaHA into Redis' own keyspace, which holds " +
                                std::to_string(keys) + " keys now, the last in database " + std::to_string(last) +
                                ": nobody is served them, they have no copies and a restart loses them");
  }
  told = keys;
}

}  // namespace faha::module
