// Redis' hash commands.  Semantics, replies and errors are those of Redis 7.0.
#include <cmath>
#include <limits>

#include "module/commands.h"
#include "module/element_scan.h"
#include "module/sampling.h"
#include "module/writers.h"

namespace faha::module::hashes {
namespace {

constexpr int kHash = REDISMODULE_NOTIFY_HASH;

Reply NotAFloat() { return Reply::Error("ERR value is not a valid float"); }

// The end of the commands that set the field at argument 2.
Reply PutField(Call& call, Opened<Hash>& hash, std::string_view value, const char* event, Reply reply) {
  const std::string_view field = call.arg(2);
  if (Status status = MayStore(call, 1, hash, Added::One(field.size() + value.size())); !status.ok())
    return Reply::Error(status);
  hash->Put(field, value);
  return After(StoreKey(call, 1, hash, kHash, event), std::move(reply));
}

Reply SetFields(Call& call, bool count) {
  if (call.size() % 2 != 0) return call.WrongArity();
  Added fields;
  for (int i = 2; i < call.size(); i += 2) fields.Add(call.arg(i).size() + call.arg(i + 1).size());
  auto hash = OpenKey<Hash>(call, 1);
  if (Status status = MayStore(call, 1, hash, fields); !status.ok()) return Reply::Error(status);
  std::int64_t created = 0;
  for (int i = 2; i < call.size() && !IsOverfull(*hash); i += 2)
    created += hash->Put(call.arg(i), call.arg(i + 1)) ? 1 : 0;
  return After(StoreKey(call, 1, hash, kHash, "hset"), count ? Reply::Integer(created) : Reply::Ok());
}

enum class Half : std::uint8_t { kFields, kValues };

Reply AllOf(Call& call, Half half) {
  return Holding(ReadKey<Hash>(call, 1), [half](RedisModuleCtx* ctx, const Hash& hash) {
    RedisModule_ReplyWithArray(ctx, static_cast<long>(hash.Size()));
    hash.ForEach([&](std::string_view field, std::string_view value) {
      SendText(ctx, half == Half::kFields ? field : value);
      return true;
    });
  });
}

void SendPair(RedisModuleCtx* ctx, std::string_view field, std::string_view value) {
  SendText(ctx, field);
  SendText(ctx, value);
}

// With values, each field and its value are an array in RESP3, and stand side by side in RESP2.
void SendRandomFields(RedisModuleCtx* ctx, const Hash& hash, std::int64_t count, bool with_values) {
  const bool pairs = with_values && SpeaksResp3(ctx);
  const auto visit = [&](std::string_view field, std::string_view value) {
    if (pairs) RedisModule_ReplyWithArray(ctx, 2);
    SendText(ctx, field);
    if (with_values) SendText(ctx, value);
    return true;
  };
  const auto begin = [&](std::uint64_t fields) {
    RedisModule_ReplyWithArray(ctx, static_cast<long>(with_values && !pairs ? 2 * fields : fields));
  };
  VisitByCount(ctx, hash, count, begin, visit);
}

}  // namespace

Reply Set(Call& call) { return SetFields(call, true); }
Reply MSet(Call& call) { return SetFields(call, false); }

Reply SetNx(Call& call) {
  auto hash = OpenKey<Hash>(call, 1);
  if (hash->Find(call.arg(2))) return Reply::Integer(0);
  return PutField(call, hash, call.arg(3), "hset", Reply::Integer(1));
}

Reply Get(Call& call) {
  auto hash = ReadKey<Hash>(call, 1);
  const auto value = hash->Find(call.arg(2));
  if (!value) return Reply::Null();
  return Holding(std::move(hash), [value](RedisModuleCtx* ctx, const Hash&) { SendText(ctx, *value); });
}

Reply MGet(Call& call) {
  auto hash = ReadKey<Hash>(call, 1);
  std::vector<std::optional<std::string_view>> values;
  values.reserve(static_cast<std::size_t>(call.size() - 2));
  for (int i = 2; i < call.size(); ++i) values.push_back(hash->Find(call.arg(i)));
  return Holding(std::move(hash), [values = std::move(values)](RedisModuleCtx* ctx, const Hash&) {
    RedisModule_ReplyWithArray(ctx, static_cast<long>(values.size()));
    for (const auto& value : values) {
      if (value) {
        SendText(ctx, *value);
      } else {
        RedisModule_ReplyWithNull(ctx);
      }
    }
  });
}

Reply GetAll(Call& call) {
  return Holding(ReadKey<Hash>(call, 1), [](RedisModuleCtx* ctx, const Hash& hash) {
    RedisModule_ReplyWithMap(ctx, static_cast<long>(hash.Size()));
    hash.ForEach([ctx](std::string_view field, std::string_view value) {
      SendPair(ctx, field, value);
      return true;
    });
  });
}

Reply Keys(Call& call) { return AllOf(call, Half::kFields); }
Reply Values(Call& call) { return AllOf(call, Half::kValues); }

Reply Length(Call& call) { return Reply::Integer(static_cast<std::int64_t>(ReadKey<Hash>(call, 1)->Size())); }

Reply StrLen(Call& call) {
  const auto hash = ReadKey<Hash>(call, 1);
  const auto value = hash->Find(call.arg(2));
  return Reply::Integer(value ? static_cast<std::int64_t>(value->size()) : 0);
}

Reply Exists(Call& call) { return Reply::Integer(ReadKey<Hash>(call, 1)->Find(call.arg(2)) ? 1 : 0); }

Reply Del(Call& call) {
  auto hash = OpenKey<Hash>(call, 1);
  const auto deleted = RemoveArguments(call, hash);
  if (!deleted.ok()) return Reply::Error(deleted.status());
  if (deleted.value() == 0) return Reply::Integer(0);
  return After(StoreKey(call, 1, hash, kHash, "hdel"), Reply::Integer(deleted.value()));
}

Reply IncrBy(Call& call) {
  const auto by = ParseInteger(call.arg(3));
  if (!by) return Call::NotAnInteger();
  auto hash = OpenKey<Hash>(call, 1);
  std::int64_t value = 0;
  if (const auto old = hash->Find(call.arg(2))) {
    const auto number = ParseInteger(*old);
    if (!number) return Reply::Error("ERR hash value is not an integer");
    value = *number;
  }
  if (__builtin_add_overflow(value, *by, &value)) return Reply::Error("ERR increment or decrement would overflow");
  return PutField(call, hash, std::to_string(value), "hincrby", Reply::Integer(value));
}

Reply IncrByFloat(Call& call) {
  const auto by = ParseFloat(call.arg(3));
  if (!by) return NotAFloat();
  if (std::isinf(*by)) return Reply::Error("ERR value is NaN or Infinity");
  auto hash = OpenKey<Hash>(call, 1);
  long double value = 0;
  if (const auto old = hash->Find(call.arg(2))) {
    const auto number = ParseFloat(*old);
    if (!number) return Reply::Error("ERR hash value is not a float");
    value = *number;
  }
  value += *by;
  if (!std::isfinite(value)) return Reply::Error("ERR increment would produce NaN or Infinity");
  const std::string text = TextOfFloat(value);
  return PutField(call, hash, text, "hincrbyfloat", Reply::Text(text));
}

Reply RandField(Call& call) {
  constexpr std::int64_t kMostPairs = std::numeric_limits<std::int64_t>::max() / 2;
  if (call.size() == 2) {
    auto hash = ReadKey<Hash>(call, 1);
    if (!hash.existed()) return Reply::Null();
    return Holding(std::move(hash), [](RedisModuleCtx* ctx, const Hash& fields) {
      Dice dice;
      VisitRandom(fields, dice, [ctx](std::string_view field, std::string_view) {
        SendText(ctx, field);
        return true;
      });
    });
  }
  std::optional<Reply> error;
  const auto count = ParseSampleCount(call, 2, error);
  if (!count) return *error;
  const bool with_values = call.size() == 4;
  if (call.size() > 4 || (with_values && !call.Is(3, "withvalues"))) return Call::SyntaxError();
  if (with_values && (*count < -kMostPairs || *count > kMostPairs)) return Reply::Error("ERR value is out of range");
  return Holding(ReadKey<Hash>(call, 1), [count = *count, with_values](RedisModuleCtx* ctx, const Hash& hash) {
    SendRandomFields(ctx, hash, count, with_values);
  });
}

Reply Scan(Call& call) { return ScanElements<Hash>(call, SendPair); }

}  // namespace faha::module::hashes
