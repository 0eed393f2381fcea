// Redis' commands that walk through the keyspace.  Semantics, replies and errors are those of Redis 7.0.
#include <optional>
#include <string>
#include <vector>

#include "module/commands.h"
#include "module/element_scan.h"
#include "module/glob.h"

namespace faha::module::scan {
namespace {

// A SCAN that finds no key to return in a part of the keyspace goes on to the next part.  Like Redis, it looks at this
// many parts for each key that COUNT asks for.
constexpr std::uint64_t kPartsPerCount = 10;

// Views of keys, valid until something is written.
using Keys = std::vector<std::string_view>;

// The conditions that a key must meet to be returned.
struct Filter {
  std::string_view pattern = "*";
  std::optional<std::string_view> type;  // the name of the type; nothing: any
  TimeMs now = UnitTime();

  [[nodiscard]] bool Takes(std::string_view key, TimeMs expire_at, ValueType its_type) const {
    const bool alive = expire_at == kNoExpiry || now <= expire_at;
    const bool of_type = !type || EqualsIgnoringCase(*type, NameOf(its_type));
    return alive && of_type && (pattern == "*" || GlobMatches(pattern, key));
  }
};

std::uint64_t ScanPart(const Call& call, std::uint64_t cursor, const Filter& filter, Keys& keys) {
  return call.store().Scan(call.db(), cursor, [&](std::string_view key, TimeMs expire_at, ValueType type) {
    if (filter.Takes(key, expire_at, type)) keys.push_back(key);
  });
}

void Send(RedisModuleCtx* ctx, const Keys& keys) {
  RedisModule_ReplyWithArray(ctx, static_cast<long>(keys.size()));
  for (const std::string_view key : keys) RedisModule_ReplyWithStringBuffer(ctx, key.data(), key.size());
}

}  // namespace

Reply Scan(Call& call) {
  const auto from = ParseCursor(call.arg(1));
  if (!from) return InvalidCursor();
  Filter filter;
  ElementScan options;
  if (auto error = options.ParseOptions(call, 2, &filter.type)) return *error;
  filter.pattern = options.pattern;
  Keys keys;
  std::uint64_t cursor = *from;
  std::uint64_t visited = 0;
  do {
    cursor = ScanPart(call, cursor, filter, keys);
    ++visited;
  } while (cursor != 0 && keys.size() < options.count && visited / kPartsPerCount < options.count);
  return Reply::By([keys = std::move(keys), next = std::to_string(cursor)](RedisModuleCtx* ctx) {
    RedisModule_ReplyWithArray(ctx, 2);
    RedisModule_ReplyWithStringBuffer(ctx, next.data(), next.size());
    Send(ctx, keys);
  });
}

Reply AllKeys(Call& call) {
  Filter filter;
  filter.pattern = call.arg(1);
  Keys keys;
  std::uint64_t cursor = 0;
  do {
    cursor = ScanPart(call, cursor, filter, keys);
  } while (cursor != 0);
  return Reply::By([keys = std::move(keys)](RedisModuleCtx* ctx) { Send(ctx, keys); });
}

Reply RandomKey(Call& call) {
  const Filter filter;
  std::optional<std::string_view> found;
  // If most keys have expired and have not been deleted yet, the next living key is as good as a random one.
  for (int tries = 0; tries < 100 && !found; ++tries) {
    std::uint64_t random = 0;
    RedisModule_GetRandomBytes(reinterpret_cast<unsigned char*>(&random), sizeof random);
    const auto take = [&](std::string_view key, TimeMs expire_at, ValueType type) {
      if (filter.Takes(key, expire_at, type)) found = key;
    };
    if (!call.store().RandomKey(call.db(), random, take)) return Reply::Null();
  }
  Keys keys;
  std::uint64_t cursor = 0;
  while (!found) {
    cursor = ScanPart(call, cursor, filter, keys);
    if (!keys.empty()) found = keys.front();
    if (cursor == 0) break;
  }
  return found ? Reply::Bulk(*found) : Reply::Null();
}

}  // namespace faha::module::scan
