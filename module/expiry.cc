#include "module/expiry.h"

#include <limits>

namespace faha::module {

bool TakeDeadline(const Call& call, int& i, Deadline& deadline) {
  using Unit = Deadline::Unit;
  constexpr std::pair<std::string_view, Unit> kOptions[] = {
      {"ex", Unit::kEx}, {"px", Unit::kPx}, {"exat", Unit::kExAt}, {"pxat", Unit::kPxAt}};
  for (const auto& [option, unit] : kOptions) {
    if (!call.Is(i, option)) continue;
    if ((deadline.given() && deadline.unit != unit) || i + 1 >= call.size()) return false;
    deadline = {unit, ++i};
    return true;
  }
  return false;
}

std::optional<TimeMs> TimeOf(const Call& call, const Deadline& deadline, std::optional<Reply>& error) {
  using Unit = Deadline::Unit;
  constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();
  const auto number = ParseInteger(call.arg(deadline.arg));
  if (!number) {
    error = Call::NotAnInteger();
    return std::nullopt;
  }
  const bool seconds = deadline.unit == Unit::kEx || deadline.unit == Unit::kExAt;
  std::int64_t time = *number;
  const bool fits = time > 0 && (!seconds || time <= kMax / 1000);
  if (fits && seconds) time *= 1000;
  if (fits && !deadline.absolute()) time = time > kMax - UnitTime() ? 0 : time + UnitTime();
  if (!fits || time <= 0) {
    error = call.BadExpireTime();
    return std::nullopt;
  }
  return time;
}

bool RemoveExpired(RedisModuleCtx* ctx, DbId db, RedisModuleString* key) {
  Store& store = *TheState().store;
  const std::string_view name = View(key);
  if (RedisModule_AvoidReplicaTraffic() != 0) return false;
  if (!store.CheckErase(name.size(), 1).ok() || !store.Delete(db, name).ok()) return false;
  ++TheState().expired_keys;
  RedisModule_SignalModifiedKey(ctx, key);
  RedisModule_NotifyKeyspaceEvent(ctx, REDISMODULE_NOTIFY_EXPIRED, "expired", key);
  return true;
}

bool RemoveExpired(RedisModuleCtx* ctx, DbId db, std::string_view key) {
  RedisModule_SelectDb(ctx, static_cast<int>(db));
  RedisModuleString* name = RedisModule_CreateString(ctx, key.data(), key.size());
  const bool removed = RemoveExpired(ctx, db, name);
  RedisModule_FreeString(ctx, name);
  return removed;
}

}  // namespace faha::module
