#include "module/watch.h"

#include <iterator>
#include <set>
#include <string>
#include <unordered_set>

#include "module/expiry.h"
#include "module/state.h"

namespace faha::module {
namespace {

constexpr std::size_t kMaxNames = 65'536;  // beyond that, remembering costs more than signalling every key

// A key with an expiry that was watched, and when.
struct End {
  TimeMs when;
  DbId db;
  std::string name;
  auto operator<=>(const End&) const = default;
};

// Since all databases were empty last: Redis tells nobody when a client no longer watches.
struct Watched {
  std::unordered_set<std::string> names;
  bool everything = false;  // too many names: take every key for a watched one
  std::set<End> ends;       // those to come; too many: the next ones
};
Watched watched;
RedisModuleCtx* detached = nullptr;  // for the life of the server: the filter has none

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

bool IsAlive(DbId db, std::string_view name) {
  const auto entry = TheState().store->Get(db, name);
  return entry && (entry->expire_at == kNoExpiry || UnitTime() <= entry->expire_at);
}

// Deletes a key whose time has come.  Not within a script, whose time stands still.
void Expire(DbId db, std::string_view name) {
  if ((RedisModule_GetContextFlags(detached) & REDISMODULE_CTX_FLAGS_LUA) == 0) (void)RemoveExpired(detached, db, name);
}

void RememberEnds(std::string_view name) {
  const Store& store = *TheState().store;
  for (DbId db = 0; db < TheState().databases; ++db) {
    const auto entry = store.Size(db) == 0 ? std::nullopt : TheState().store->Get(db, name);
    if (!entry || entry->expire_at == kNoExpiry) continue;
    if (RedisModule_Milliseconds() > entry->expire_at) {
      Expire(db, name);
    } else {
      watched.ends.insert({entry->expire_at, db, std::string(name)});
      if (watched.ends.size() > kMaxNames) watched.ends.erase(std::prev(watched.ends.end()));
    }
  }
}

}  // namespace

void StartWatching(RedisModuleCtx* ctx) { detached = RedisModule_GetDetachedThreadSafeContext(ctx); }

void RememberWatched(std::string_view key) {
  RememberEnds(key);
  if (watched.everything) return;
  watched.names.emplace(key);
  if (watched.names.size() <= kMaxNames) return;
  watched.names.clear();
  watched.everything = true;
}

void ExpireWatched() {
  const TimeMs now = RedisModule_Milliseconds();
  while (!watched.ends.empty() && watched.ends.begin()->when < now) {
    const auto end = watched.ends.extract(watched.ends.begin());
    const auto entry = TheState().store->Get(end.value().db, end.value().name);
    if (entry && entry->expire_at != kNoExpiry && entry->expire_at < now) Expire(end.value().db, end.value().name);
  }
}

void SignalFlush(RedisModuleCtx* ctx, std::optional<DbId> db) {
  const int selected = RedisModule_GetSelectedDb(ctx);
  for (DbId each = db.value_or(0); each <= db.value_or(TheState().databases - 1); ++each) {
    if (TheState().store->Size(each) == 0 || RedisModule_SelectDb(ctx, static_cast<int>(each)) != REDISMODULE_OK)
      continue;
    SignalDatabase(ctx, each);
  }
  RedisModule_SelectDb(ctx, selected);
  if (!db) watched = {};
}

void ExpireBeforeSwap(DbId a, DbId b) {
  for (const std::string& name : watched.names) {
    for (const DbId db : {a, b}) {
      if (!IsAlive(db, name) && TheState().store->Get(db, name)) Expire(db, name);
    }
  }
}

// A key that is in one of the two, or was, has changed in both.
void SignalSwap(RedisModuleCtx* ctx, DbId a, DbId b) {
  Store& store = *TheState().store;
  const int selected = RedisModule_GetSelectedDb(ctx);
  for (const DbId db : {a, b}) {
    RedisModule_SelectDb(ctx, static_cast<int>(db));
    for (const std::string& name : watched.names) {
      if (IsAlive(a, name) || IsAlive(b, name)) Signal(ctx, name);
    }
    if (!watched.everything) continue;
    for (const DbId of : {a, b}) store.ForEachKey(of, [ctx](std::string_view name) { Signal(ctx, name); });
  }
  RedisModule_SelectDb(ctx, selected);
}

}  // namespace faha::module
