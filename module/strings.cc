// Redis' string commands.  Semantics, replies and errors are those of Redis 7.0.
#include <cmath>
#include <limits>

#include "module/commands.h"
#include "module/expiry.h"

namespace faha::module::strings {
namespace {

constexpr int kString = REDISMODULE_NOTIFY_STRING;

std::string Owned(const std::optional<Entry>& entry) { return std::string(entry->value); }

struct SetOptions {
  bool nx = false, xx = false, get = false, keep_ttl = false;
  Deadline deadline;
};

bool ParseSetOptions(const Call& call, SetOptions& options) {
  for (int i = 3; i < call.size(); ++i) {
    if (call.Is(i, "nx") && !options.xx) {
      options.nx = true;
    } else if (call.Is(i, "xx") && !options.nx) {
      options.xx = true;
    } else if (call.Is(i, "get")) {
      options.get = true;
    } else if (call.Is(i, "keepttl") && !options.deadline.given()) {
      options.keep_ttl = true;
    } else if (options.keep_ttl || !TakeDeadline(call, i, options.deadline)) {
      return false;
    }
  }
  return true;
}

Reply SetWith(Call& call, const SetOptions& options, std::string_view value) {
  TimeMs expire_at = kNoExpiry;
  if (options.deadline.given()) {
    std::optional<Reply> error;
    const auto time = TimeOf(call, options.deadline, error);
    if (!time) return *error;
    expire_at = *time;
  }
  // A plain SET, by far the most frequent form, need not look at the old value.
  if (!options.nx && !options.xx && !options.get && !options.keep_ttl) {
    const Status status = call.Put(1, {value, expire_at}, kString, "set");
    if (status.ok() && expire_at != kNoExpiry) call.Changed(1, REDISMODULE_NOTIFY_GENERIC, "expire");
    return After(status, Reply::Ok());
  }
  const auto old = options.get ? call.Read(1) : call.FindAny(1);
  Reply reply = Reply::Ok();
  if (options.get) reply = old ? Reply::Text(Owned(old)) : Reply::Null();
  if ((options.nx && old) || (options.xx && !old)) return options.get ? reply : Reply::Null();
  if (options.keep_ttl && old) expire_at = old->expire_at;
  const Status status = call.Put(1, {value, expire_at}, kString, "set");
  if (status.ok() && options.deadline.given()) call.Changed(1, REDISMODULE_NOTIFY_GENERIC, "expire");
  return After(status, std::move(reply));
}

Reply SetWithUnit(Call& call, Deadline::Unit unit) {
  SetOptions options;
  options.deadline = {unit, 2};
  return SetWith(call, options, call.arg(3));
}

Reply Increment(Call& call, std::int64_t by) {
  const auto old = call.Find(1);
  std::int64_t value = 0;
  if (old) {
    const auto number = ParseInteger(old->value);
    if (!number) return Call::NotAnInteger();
    value = *number;
  }
  if (__builtin_add_overflow(value, by, &value)) return Reply::Error("ERR increment or decrement would overflow");
  const Status status = call.Put(1, {std::to_string(value), old ? old->expire_at : kNoExpiry}, kString, "incrby");
  return After(status, Reply::Integer(value));
}

// Writes all pairs or none: it is checked that all have room before the first pair is written.
Reply SetAll(Call& call, Reply done) {
  std::uint64_t bytes = 0;
  for (int i = 1; i < call.size(); i += 2) {
    if (Status status = call.MayWrite(i, call.arg(i + 1).size()); !status.ok()) return Reply::Error(status);
    bytes += call.arg(i).size() + call.arg(i + 1).size();
  }
  const auto pairs = static_cast<std::uint64_t>(call.size() / 2);
  if (Status status = call.store().CheckWrite(bytes, pairs); !status.ok()) return Reply::Error(status);
  for (int i = 1; i < call.size(); i += 2) {
    call.FetchAhead(i, 2);
    if (Status status = call.Put(i, {call.arg(i + 1)}, kString, "set"); !status.ok()) return Reply::Error(status);
  }
  return done;
}

}  // namespace

Reply Set(Call& call) {
  SetOptions options;
  if (call.size() > 3 && !ParseSetOptions(call, options)) return Call::SyntaxError();
  return SetWith(call, options, call.arg(2));
}

Reply SetNx(Call& call) {
  if (call.FindAny(1)) return Reply::Integer(0);
  return After(call.Put(1, {call.arg(2)}, kString, "set"), Reply::Integer(1));
}

Reply SetEx(Call& call) { return SetWithUnit(call, Deadline::Unit::kEx); }
Reply PSetEx(Call& call) { return SetWithUnit(call, Deadline::Unit::kPx); }

Reply Get(Call& call) {
  const auto entry = call.Read(1);
  return entry ? Reply::Bulk(entry->value) : Reply::Null();
}

Reply GetSet(Call& call) {
  const auto old = call.Read(1);
  Reply reply = old ? Reply::Text(Owned(old)) : Reply::Null();
  return After(call.Put(1, {call.arg(2)}, kString, "set"), std::move(reply));
}

Reply GetDel(Call& call) {
  const auto entry = call.Read(1);
  if (!entry) return Reply::Null();
  Reply reply = Reply::Text(Owned(entry));
  return After(call.Delete(1), std::move(reply));
}

Reply GetEx(Call& call) {
  Deadline deadline;
  bool persist = false;
  for (int i = 2; i < call.size(); ++i) {
    if (call.Is(i, "persist") && !deadline.given()) {
      persist = true;
    } else if (persist || !TakeDeadline(call, i, deadline)) {
      return Call::SyntaxError();
    }
  }
  const auto entry = call.Read(1);
  if (!entry) return Reply::Null();
  if (!deadline.given() && !(persist && entry->expire_at != kNoExpiry)) return Reply::Bulk(entry->value);
  TimeMs expire_at = kNoExpiry;
  if (deadline.given()) {
    std::optional<Reply> error;
    const auto time = TimeOf(call, deadline, error);
    if (!time) return *error;
    expire_at = *time;
  }
  const std::string value = Owned(entry);
  if (deadline.absolute() && expire_at <= UnitTime()) return After(call.Delete(1), Reply::Text(value));
  const Status status = call.Put(1, {value, expire_at}, REDISMODULE_NOTIFY_GENERIC, persist ? "persist" : "expire");
  return After(status, Reply::Text(value));
}

Reply MSet(Call& call) {
  if (call.size() % 2 == 0) return call.WrongArity();
  return SetAll(call, Reply::Ok());
}

Reply MSetNx(Call& call) {
  if (call.size() % 2 == 0) return call.WrongArity();
  for (int i = 1; i < call.size(); i += 2) {
    if (call.FindAny(i)) return Reply::Integer(0);
  }
  return SetAll(call, Reply::Integer(1));
}

Reply MGet(Call& call) {
  std::vector<std::optional<std::string_view>> values;
  std::vector<bool> found;  // a key of another type is there, but has no value to show
  const auto look = [&] {
    bool expired = false;
    values.clear();
    found.clear();
    for (int i = 1; i < call.size(); ++i) {
      call.FetchAhead(i);
      const auto entry = call.Peek(i, expired);
      const bool is_string = entry && entry->type == ValueType::kString;
      found.push_back(entry.has_value());
      values.push_back(is_string ? std::optional(entry->value) : std::nullopt);
    }
    return expired;
  };
  values.reserve(static_cast<std::size_t>(call.size() - 1));
  if (look()) {
    // Expired keys are deleted, which is a write, so the views are taken again.
    for (int i = 1; i < call.size(); ++i) (void)call.FindAny(i);
    (void)look();
  }
  for (std::size_t i = 0; i < found.size(); ++i) {
    Call::CountLookup(found[i]);
    if (!found[i]) call.Missed(static_cast<int>(i) + 1);
  }
  return Reply::Array(std::move(values));
}

Reply Append(Call& call) {
  const auto entry = call.Find(1);
  if (auto error = call.TooLong((entry ? entry->value.size() : 0) + call.arg(2).size())) return *error;
  std::string value = entry ? Owned(entry) : std::string();
  value += call.arg(2);
  const Status status = call.Put(1, {value, entry ? entry->expire_at : kNoExpiry}, kString, "append");
  return After(status, Reply::Integer(static_cast<std::int64_t>(value.size())));
}

Reply StrLen(Call& call) {
  const auto entry = call.Read(1);
  return Reply::Integer(entry ? static_cast<std::int64_t>(entry->value.size()) : 0);
}

Reply Incr(Call& call) { return Increment(call, 1); }
Reply Decr(Call& call) { return Increment(call, -1); }

Reply IncrBy(Call& call) {
  const auto by = ParseInteger(call.arg(2));
  return by ? Increment(call, *by) : Call::NotAnInteger();
}

Reply DecrBy(Call& call) {
  const auto by = ParseInteger(call.arg(2));
  if (!by) return Call::NotAnInteger();
  if (*by == std::numeric_limits<std::int64_t>::min()) return Reply::Error("ERR decrement would overflow");
  return Increment(call, -*by);
}

Reply IncrByFloat(Call& call) {
  const auto entry = call.Find(1);
  long double value = 0;
  if (entry) {
    const auto number = ParseFloat(entry->value);
    if (!number) return Reply::Error("ERR value is not a valid float");
    value = *number;
  }
  const auto by = ParseFloat(call.arg(2));
  if (!by) return Reply::Error("ERR value is not a valid float");
  value += *by;
  if (std::isnan(value) || std::isinf(value)) return Reply::Error("ERR increment would produce NaN or Infinity");
  std::string result = TextOfFloat(value);
  const Status status = call.Put(1, {result, entry ? entry->expire_at : kNoExpiry}, kString, "incrbyfloat");
  return After(status, Reply::Text(std::move(result)));
}

// SET tells about the old value only with GET.
void FindSetKeys(const Call& call) {
  constexpr int kWrites = REDISMODULE_CMD_KEY_OW | REDISMODULE_CMD_KEY_UPDATE;
  constexpr int kReads = REDISMODULE_CMD_KEY_RW | REDISMODULE_CMD_KEY_UPDATE | REDISMODULE_CMD_KEY_ACCESS;
  bool reads = false;
  for (int i = 3; i < call.size(); ++i) reads = reads || call.Is(i, "get");
  RedisModule_KeyAtPosWithFlags(call.ctx(), 1, reads ? kReads : kWrites);
}

}  // namespace faha::module::strings
