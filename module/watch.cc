#include "module/watch.h"

#include <string>
#include <unordered_set>

#include "module/state.h"

namespace faha::module {
namespace {

constexpr DbId kMaxDatabase = 1023;        // more than anybody configures; empty ones cost one look-up
constexpr std::size_t kMaxNames = 65'536;  // beyond that, remembering costs more than signalling every key

// Since all databases were empty last: Redis tells nobody when a client no longer watches.
struct Watched {
  std::unordered_set<std::string> names;
  bool everything = false;  // too many names: take every key for a watched one
};
Watched watched;

void Signal(RedisModuleCtx* ctx, std::string_view name) {
  RedisModuleString* key = RedisModule_CreateString(ctx, name.data(), name.size());
  RedisModule_SignalModifiedKey(ctx, key);
  RedisModule_FreeString(ctx, key);
}

void SignalDatabase(RedisModuleCtx* ctx, DbId db) {
  Store& store = *TheState().store;
  if (watched.everything) {
    store.ForEachKey(db, [ctx](std::string_view name) { Signal(ctx, name); });
    return;
  }
  for (const std::string& name : watched.names) {
    if (store.Get(db, name)) Signal(ctx, name);
  }
}

}  // namespace

void RememberWatched(std::string_view key) {
  if (watched.everything) return;
  watched.names.emplace(key);
  if (watched.names.size() <= kMaxNames) return;
  watched.names.clear();
  watched.everything = true;
}

void SignalFlush(RedisModuleCtx* ctx, std::optional<DbId> db) {
  const int selected = RedisModule_GetSelectedDb(ctx);
  for (DbId each = db.value_or(0); each <= db.value_or(kMaxDatabase); ++each) {
    if (TheState().store->Size(each) == 0 || RedisModule_SelectDb(ctx, static_cast<int>(each)) != REDISMODULE_OK)
      continue;
    SignalDatabase(ctx, each);
  }
  RedisModule_SelectDb(ctx, selected);
  if (!db) watched = {};
}

}  // namespace faha::module
