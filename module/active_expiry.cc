#include "module/active_expiry.h"

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "module/state.h"

namespace faha::module {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::microseconds kShare{250}, kBusyShare{1000};

struct Walk {
  std::uint64_t cursor = 0;
  bool busy = false;  // a tenth or more of what was met last had expired
};
Walk walk;

// False: not now, for the log has no room.
bool Expire(RedisModuleCtx* ctx, DbId db, const std::string& key) {
  Store& store = *TheState().store;
  if (!store.CheckErase(key.size(), 1).ok() || !store.Delete(db, key).ok()) return false;
  EndUnit();
  ++TheState().expired_keys;
  if (RedisModule_SelectDb(ctx, static_cast<int>(db)) != REDISMODULE_OK) return true;  // nobody can watch it
  RedisModuleString* name = RedisModule_CreateString(ctx, key.data(), key.size());
  RedisModule_SignalModifiedKey(ctx, name);
  RedisModule_NotifyKeyspaceEvent(ctx, REDISMODULE_NOTIFY_EXPIRED, "expired", name);
  RedisModule_FreeString(ctx, name);
  return true;
}

}  // namespace

void ExpireSome(RedisModuleCtx* ctx) {
  const Store& store = *TheState().store;
  // Traffic is to be avoided while clients are paused, for a failover, say.
  if (store.Expiring() == 0 || !store.Serving() || RedisModule_AvoidReplicaTraffic() != 0) return;
  EndUnit();
  const TimeMs now = UnitTime();
  const auto end = Clock::now() + (walk.busy ? kBusyShare : kShare);
  std::uint64_t met = 0, expired = 0;
  std::vector<std::pair<DbId, std::string>> due;
  do {
    due.clear();
    walk.cursor = store.ScanExpiring(walk.cursor, [&](DbId db, std::string_view key, TimeMs expire_at) {
      ++met;
      if (now > expire_at) due.emplace_back(db, key);
    });
    for (const auto& [db, key] : due) {
      if (!Expire(ctx, db, key)) return;
      ++expired;
    }
  } while (walk.cursor != 0 && Clock::now() < end);
  walk.busy = expired * 10 >= met && expired > 0;
}

}  // namespace faha::module
