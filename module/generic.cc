// Redis' generic commands: keys, expiry, whole databases.  Semantics, replies and errors are those of Redis 7.0.
#include <limits>

#include "module/blocking.h"
#include "module/commands.h"
#include "module/names.h"
#include "module/scratch.h"
#include "module/watch.h"

namespace faha::module::generic {
namespace {

constexpr int kGeneric = REDISMODULE_NOTIFY_GENERIC;

struct ExpireFlags {
  bool nx = false, xx = false, gt = false, lt = false;
};

// Returns nothing, or the error.
std::optional<Reply> ParseExpireFlags(const Call& call, ExpireFlags& flags) {
  for (int i = 3; i < call.size(); ++i) {
    if (call.Is(i, "nx")) {
      flags.nx = true;
    } else if (call.Is(i, "xx")) {
      flags.xx = true;
    } else if (call.Is(i, "gt")) {
      flags.gt = true;
    } else if (call.Is(i, "lt")) {
      flags.lt = true;
    } else {
      return Reply::Error("ERR Unsupported option " + std::string(call.arg(i)));
    }
  }
  if (flags.nx && (flags.xx || flags.gt || flags.lt)) {
    return Reply::Error("ERR NX and XX, GT or LT options at the same time are not compatible");
  }
  if (flags.gt && flags.lt) return Reply::Error("ERR GT and LT options at the same time are not compatible");
  return std::nullopt;
}

// A key without expiry counts as one that lives for ever.
bool Allowed(const ExpireFlags& flags, TimeMs current, TimeMs wanted) {
  const bool forever = current == kNoExpiry;
  if (flags.nx && !forever) return false;
  if (flags.xx && forever) return false;
  if (flags.gt && (forever || wanted <= current)) return false;
  return !(flags.lt && !forever && wanted >= current);
}

Reply ExpireWith(Call& call, TimeMs base, std::int64_t unit) {
  constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();
  constexpr std::int64_t kMin = std::numeric_limits<std::int64_t>::min();
  ExpireFlags flags;
  if (auto error = ParseExpireFlags(call, flags)) return *error;
  const auto number = ParseInteger(call.arg(2));
  if (!number) return Call::NotAnInteger();
  if (*number > kMax / unit || *number < kMin / unit) return call.BadExpireTime();
  if (*number * unit > kMax - base) return call.BadExpireTime();
  const TimeMs when = *number * unit + base;
  const auto entry = call.FindAny(1);
  if (!entry || !Allowed(flags, entry->expire_at, when)) return Reply::Integer(0);
  const Status status = when <= UnitTime() ? call.Delete(1)
                                           : call.Put(1, {std::string(entry->value), when, entry->type, entry->large},
                                                      kGeneric, "expire");
  return status.ok() ? Reply::Integer(1) : Reply::Error(status);
}

Reply TimeToLive(Call& call, bool milliseconds) {
  const auto entry = call.ReadAny(1);
  if (!entry) return Reply::Integer(-2);
  if (entry->expire_at == kNoExpiry) return Reply::Integer(-1);
  const TimeMs left = std::max<TimeMs>(entry->expire_at - UnitTime(), 0);
  return Reply::Integer(milliseconds ? left : (left + 500) / 1000);
}

Reply TimeOfExpiry(Call& call, bool milliseconds) {
  const auto entry = call.ReadAny(1);
  if (!entry) return Reply::Integer(-2);
  if (entry->expire_at == kNoExpiry) return Reply::Integer(-1);
  const TimeMs at = entry->expire_at;  // may be the largest number
  return Reply::Integer(milliseconds ? at : at / 1000 + (at % 1000 >= 500 ? 1 : 0));
}

// Clears the client-side caches, by a flush of Redis' own keyspace, which is empty.
void ForgetCached(RedisModuleCtx* ctx) {
  const bool told = Run(ctx, ServersName("flushdb").c_str()) || Run(ctx, ServersName("flushall").c_str());
  if (!told) RedisModule_ResetDataset(0, 0);  // both are disabled
}

// Empties databases, but keeps functions, because functions are no keys.
Status Empty(Store& store, std::optional<DbId> db) {
  if (db || store.Size(kHiddenDb) == 0) return store.Flush(db);
  for (DbId each = 0; each < TheState().databases; ++each) {
    if (store.Size(each) == 0) continue;
    if (Status status = store.Flush(each); !status.ok()) return status;
  }
  return Status::Ok();
}

Reply FlushWith(Call& call, std::optional<DbId> db) {
  if (call.size() > 2 || (call.size() == 2 && !call.Is(1, "sync") && !call.Is(1, "async"))) return Call::SyntaxError();
  SignalFlush(call.ctx(), db);
  if (const Status status = Empty(call.store(), db); !status.ok()) return Reply::Error(status);
  ForgetCached(call.ctx());
  return Reply::Ok();
}

}  // namespace

Reply Del(Call& call) {
  std::uint64_t key_bytes = 0;
  for (int i = 1; i < call.size(); ++i) key_bytes += call.arg(i).size();
  // Deletes all of the keys or none, also in a full pool.
  const auto keys = static_cast<std::uint64_t>(call.size() - 1);
  if (Status status = call.store().CheckErase(key_bytes, keys); !status.ok()) return Reply::Error(status);
  std::int64_t deleted = 0;
  for (int i = 1; i < call.size(); ++i) {
    call.FetchAhead(i);
    if (!call.FindAny(i)) continue;
    if (Status status = call.Erase(i); !status.ok()) return Reply::Error(status);
    ++deleted;
  }
  return Reply::Integer(deleted);
}

Reply Exists(Call& call) {
  std::int64_t found = 0;
  for (int i = 1; i < call.size(); ++i) {
    call.FetchAhead(i);
    found += call.ReadAny(i) ? 1 : 0;
  }
  return Reply::Integer(found);
}

Reply Type(Call& call) {
  const auto entry = call.ReadAny(1);
  return Reply::Simple(entry ? NameOf(entry->type) : "none");
}

Reply Expire(Call& call) { return ExpireWith(call, UnitTime(), 1000); }
Reply PExpire(Call& call) { return ExpireWith(call, UnitTime(), 1); }
Reply ExpireAt(Call& call) { return ExpireWith(call, 0, 1000); }
Reply PExpireAt(Call& call) { return ExpireWith(call, 0, 1); }
Reply Ttl(Call& call) { return TimeToLive(call, false); }
Reply PTtl(Call& call) { return TimeToLive(call, true); }
Reply ExpireTime(Call& call) { return TimeOfExpiry(call, false); }
Reply PExpireTime(Call& call) { return TimeOfExpiry(call, true); }

Reply Persist(Call& call) {
  const auto entry = call.FindAny(1);
  if (!entry || entry->expire_at == kNoExpiry) return Reply::Integer(0);
  const Status status =
      call.Put(1, {std::string(entry->value), kNoExpiry, entry->type, entry->large}, kGeneric, "persist");
  return status.ok() ? Reply::Integer(1) : Reply::Error(status);
}

Reply DbSize(Call& call) { return Reply::Integer(static_cast<std::int64_t>(call.store().Size(call.db()))); }
Reply FlushDb(Call& call) { return FlushWith(call, call.db()); }
Reply FlushAll(Call& call) { return FlushWith(call, std::nullopt); }

Reply SwapDb(Call& call) {
  // Redis' own command, run on databases that are empty, checks the numbers and tells other modules.
  const NativeReply native = RunNative(call, call.name());
  if (IsError(native)) return Reply::Native(native);
  const auto a = static_cast<DbId>(*ParseInteger(call.arg(1)));
  const auto b = static_cast<DbId>(*ParseInteger(call.arg(2)));
  if (a == b) return Reply::Native(native);
  ExpireBeforeSwap(a, b);
  if (Status status = call.store().Swap(a, b); !status.ok()) return Reply::Error(status);
  SignalSwap(call.ctx(), a, b);
  for (const DbId db : {a, b}) MayServeAll(db);
  // Client-side caches do not know the databases of keys, and Redis 7 leaves them stale here.
  ForgetCached(call.ctx());
  return Reply::Native(native);
}

}  // namespace faha::module::generic
