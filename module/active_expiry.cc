#include "module/active_expiry.h"

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "module/expiry.h"
#include "module/state.h"

namespace faha::module {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::microseconds kShare{250}, kBusyShare{1000};

struct Walk {
  std::uint64_t cursor = 0;
  bool busy = false;  // a tenth or more of the keys that the last step met had expired
};
Walk walk;

// Returns false if the key cannot be deleted now.
bool Expire(RedisModuleCtx* ctx, DbId db, const std::string& key) {
  if (RedisModule_SelectDb(ctx, static_cast<int>(db)) != REDISMODULE_OK) {
    return true;  // the key is in a database that the server is not configured to have: nobody can ask for it
  }
  const bool removed = RemoveExpired(ctx, db, std::string_view(key));
  EndUnit();
  return removed;
}

}  // namespace

void ExpireSome(RedisModuleCtx* ctx) {
  const Store& store = *TheState().store;
  if (store.Expiring() == 0 || !store.Serving() || !TheState().active_expire) return;
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
