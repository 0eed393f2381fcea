#include "module/watch.h"

#include <iterator>
#include <memory_resource>
#include <set>
#include <string>
#include <unordered_set>

#include "module/client_list.h"
#include "module/expiry.h"
#include "module/memory.h"
#include "module/state.h"

namespace faha::module {
namespace {

// Beyond these limits, remembering names costs more than signalling every key.
constexpr std::size_t kMaxNames = 65'536;
constexpr std::size_t kMaxNameBytes = std::size_t{4} << 20;

// A watched key that has an expiry, and the time when it expires.
struct End {
  TimeMs when;
  DbId db;
  std::pmr::string name;
  auto operator<=>(const End&) const = default;
};

// What was watched since all databases were last empty, or since no client was left that could watch any of it.  It
// cannot be forgotten earlier, because Redis tells nobody when a client stops watching.
struct Watched {
  std::pmr::unordered_set<std::pmr::string> names{&ServerMemory()};
  std::size_t bytes = 0;                     // of the names, and of those in `ends`
  bool everything = false;                   // too many names: every key counts as watched
  std::pmr::set<End> ends{&ServerMemory()};  // expiries to come; if there are too many, the next ones
  std::uint64_t newest = 0;                  // no client with a higher id has watched any of it

  void Forget() {
    names.clear();
    ends.clear();
    bytes = 0;
    everything = false;
  }
};
Watched watched;
std::set<std::uint64_t> clients;     // ids of the connected clients: a later client has a higher id
RedisModuleCtx* detached = nullptr;  // lives as long as the server; the filter has no context

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
  for (const std::string_view name : watched.names) {
    if (store.Get(db, name)) Signal(ctx, name);
  }
}

bool IsAlive(DbId db, std::string_view name) {
  const auto entry = TheState().store->Get(db, name);
  return entry && (entry->expire_at == kNoExpiry || UnitTime() <= entry->expire_at);
}

// Deletes an expired key, but not within a script, because time stands still for a script.
void Expire(DbId db, std::string_view name) {
  if ((RedisModule_GetContextFlags(detached) & REDISMODULE_CTX_FLAGS_LUA) == 0) (void)RemoveExpired(detached, db, name);
}

void DropEnd(std::pmr::set<End>::iterator end) {
  watched.bytes -= end->name.size();
  watched.ends.erase(end);
}

void RememberEnds(std::string_view name) {
  const Store& store = *TheState().store;
  for (DbId db = 0; db < TheState().databases; ++db) {
    const auto entry = store.Size(db) == 0 ? std::nullopt : TheState().store->Get(db, name);
    if (!entry || entry->expire_at == kNoExpiry) continue;
    if (RedisModule_Milliseconds() > entry->expire_at) {
      Expire(db, name);
    } else {
      const auto [place, is_new] = watched.ends.insert({entry->expire_at, db, std::pmr::string(name, &ServerMemory())});
      if (is_new) watched.bytes += place->name.size();
      while (watched.ends.size() > kMaxNames || (watched.bytes > kMaxNameBytes && !watched.ends.empty()))
        DropEnd(std::prev(watched.ends.end()));
    }
  }
}

void OnClientChange(RedisModuleCtx*, RedisModuleEvent, uint64_t subevent, void* data) {
  const std::uint64_t id = static_cast<RedisModuleClientInfoV1*>(data)->id;
  if (subevent == REDISMODULE_SUBEVENT_CLIENT_CHANGE_CONNECTED) {
    clients.insert(id);
    return;
  }
  clients.erase(id);
  if (clients.empty() || *clients.begin() > watched.newest) watched.Forget();
}

}  // namespace

bool StartWatching(RedisModuleCtx* ctx) {
  detached = RedisModule_GetDetachedThreadSafeContext(ctx);
  // If the module is loaded into a running server, some clients are connected already.
  ForEachClient(ctx, [](const ListedClient& client) {
    if (const auto id = ParseInteger(client.Field("id"))) clients.insert(static_cast<std::uint64_t>(*id));
  });
  return RedisModule_SubscribeToServerEvent(ctx, RedisModuleEvent_ClientChange, OnClientChange) == REDISMODULE_OK;
}

void RememberWatched(std::string_view key) {
  watched.newest = clients.empty() ? watched.newest : *clients.rbegin();
  RememberEnds(key);
  if (watched.everything || !watched.names.emplace(key).second) return;
  watched.bytes += key.size();
  if (watched.names.size() <= kMaxNames && watched.bytes <= kMaxNameBytes) return;
  for (const std::string_view name : watched.names) watched.bytes -= name.size();
  watched.names.clear();
  watched.everything = true;
}

void ExpireWatched() {
  const TimeMs now = RedisModule_Milliseconds();
  while (!watched.ends.empty() && watched.ends.begin()->when < now) {
    const End end = *watched.ends.begin();
    DropEnd(watched.ends.begin());
    const auto entry = TheState().store->Get(end.db, end.name);
    if (entry && entry->expire_at != kNoExpiry && entry->expire_at < now) Expire(end.db, end.name);
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
  if (!db) watched.Forget();
}

void ExpireBeforeSwap(DbId a, DbId b) {
  for (const std::string_view name : watched.names) {
    for (const DbId db : {a, b}) {
      if (!IsAlive(db, name) && TheState().store->Get(db, name)) Expire(db, name);
    }
  }
}

// A key that exists, or existed, in one of the two databases has changed in both.
void SignalSwap(RedisModuleCtx* ctx, DbId a, DbId b) {
  Store& store = *TheState().store;
  const int selected = RedisModule_GetSelectedDb(ctx);
  for (const DbId db : {a, b}) {
    RedisModule_SelectDb(ctx, static_cast<int>(db));
    for (const std::string_view name : watched.names) {
      if (IsAlive(a, name) || IsAlive(b, name)) Signal(ctx, name);
    }
    if (!watched.everything) continue;
    for (const DbId of : {a, b}) store.ForEachKey(of, [ctx](std::string_view name) { Signal(ctx, name); });
  }
  RedisModule_SelectDb(ctx, selected);
}

}  // namespace faha::module
