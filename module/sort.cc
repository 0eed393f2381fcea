// SORT and SORT_RO.  Semantics, replies and errors are those of Redis 7.0.
//
// Redis' own command runs first, on a native keyspace that is empty: it checks the options, and whether the caller may
// read the keys that BY and GET name.  If it has no objection, the elements are sorted here.
#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "module/commands.h"
#include "module/scratch.h"
#include "module/views.h"

namespace faha::module::sorting {
namespace {

struct Options {
  bool descending = false, alphabetic = false;
  std::int64_t skip = 0, limit = -1;
  std::optional<std::string_view> by;  // nothing: by the elements themselves
  bool unsorted = false;               // BY has no '*'
  std::vector<std::string_view> gets;
  int target = 0;  // the argument that names the key to store the result under; 0: none.  The last one counts
};

// If Redis refuses the options, what is returned means nothing, except for `target`.
Options Parse(const Call& call) {
  Options options;
  for (int i = 2; i < call.size(); ++i) {
    if (call.Is(i, "desc")) {
      options.descending = true;
    } else if (call.Is(i, "asc")) {
      options.descending = false;
    } else if (call.Is(i, "alpha")) {
      options.alphabetic = true;
    } else if (call.Is(i, "limit") && i + 2 < call.size()) {
      options.skip = ParseInteger(call.arg(i + 1)).value_or(0);
      options.limit = ParseInteger(call.arg(i + 2)).value_or(-1);
      i += 2;
    } else if (i + 1 == call.size()) {
      break;  // what follows needs an argument
    } else if (call.Is(i, "store")) {
      options.target = ++i;
    } else if (call.Is(i, "by")) {
      options.by = call.arg(++i);
      options.unsorted = options.by->find('*') == std::string_view::npos;
    } else if (call.Is(i, "get")) {
      options.gets.push_back(call.arg(++i));
    }
  }
  return options;
}

// What the pattern names for an element: '#' is the element, '*' stands for it in the name of a key, and "->" is
// followed by a field of a hash.  Nothing: there is no such value.
std::optional<std::string> LookUp(Call& call, std::string_view pattern, const std::string& element) {
  if (pattern == "#") return element;
  const std::size_t star = pattern.find('*');
  if (star == std::string_view::npos) return std::nullopt;
  std::string_view behind = pattern.substr(star + 1);
  std::optional<std::string_view> field;
  const std::size_t arrow = behind.find("->");
  if (arrow != std::string_view::npos && arrow + 2 < behind.size()) {
    field = behind.substr(arrow + 2);
    behind = behind.substr(0, arrow);
  }
  const std::string name = std::string(pattern.substr(0, star)).append(element).append(behind);
  const auto entry = call.store().Get(call.db(), name);
  if (!entry || (entry->expire_at != kNoExpiry && UnitTime() > entry->expire_at)) return std::nullopt;
  if (!field) {
    return entry->type == ValueType::kString ? std::optional(std::string(entry->value)) : std::nullopt;
  }
  if (entry->type != ValueType::kHash) return std::nullopt;
  const auto hash = OpenCollection<Hash>(call.store(), *entry);
  const auto value = hash == nullptr ? std::nullopt : hash->Find(*field);
  return value ? std::optional(std::string(*value)) : std::nullopt;
}

struct Item {
  std::string element;
  double score = 0;
  std::optional<std::string> weight = {};  // of a sort by letters; nothing: there is none, which is before all others
};

template <typename Kind, typename Visit>
void ForEachElementOf(Call& call, const Entry& entry, Visit visit) {
  if (const auto collection = OpenCollection<Kind>(call.store(), entry)) ForEachElement(*collection, visit);
}

// `options`: an order that does not exist is replaced by one, where the result must not depend on how the elements are
// kept.
std::vector<Item> ElementsOf(Call& call, Options& options) {
  std::vector<Item> items;
  const auto add = [&items](std::string_view element) { items.push_back({std::string(element)}); };
  const auto entry = call.ReadAny(1);
  if (!entry) return items;
  const bool in_script = (RedisModule_GetContextFlags(call.ctx()) & REDISMODULE_CTX_FLAGS_LUA) != 0;
  if (entry->type == ValueType::kSet && options.unsorted && (options.target != 0 || in_script)) {
    options.unsorted = false;
    options.alphabetic = true;
    options.by.reset();
  }
  switch (entry->type) {
    case ValueType::kList:
      ForEachElementOf<List>(call, *entry, [&](std::uint64_t, std::string_view element) { add(element); });
      break;
    case ValueType::kSet: ForEachElementOf<Set>(call, *entry, add); break;
    case ValueType::kSortedSet:
      ForEachElementOf<SortedSet>(call, *entry, [&](std::string_view member, double) { add(member); });
      break;
    case ValueType::kString:
    case ValueType::kHash: call.Refuse(Call::WrongType()); break;
  }
  if (options.unsorted && options.descending && entry->type != ValueType::kSet)
    std::reverse(items.begin(), items.end());
  return items;
}

// Sets what the items are sorted by.  False: a weight is no number.
bool Weigh(Call& call, const Options& options, std::vector<Item>& items) {
  for (Item& item : items) {
    std::optional<std::string> weight = options.by ? LookUp(call, *options.by, item.element) : item.element;
    if (options.alphabetic) {
      item.weight = std::move(weight);
      continue;
    }
    if (!weight) continue;
    char* end = nullptr;
    errno = 0;
    item.score = std::strtod(weight->c_str(), &end);
    if (*end != '\0' || errno == ERANGE || std::isnan(item.score)) return false;
  }
  return true;
}

int CompareWeights(const Item& a, const Item& b, bool bytewise) {
  if (!a.weight || !b.weight) return static_cast<int>(a.weight.has_value()) - static_cast<int>(b.weight.has_value());
  return bytewise ? a.weight->compare(*b.weight) : std::strcoll(a.weight->c_str(), b.weight->c_str());
}

// Stored results are ordered by bytes, so that they do not depend on the locale.
void SortItems(const Options& options, std::vector<Item>& items) {
  const auto compare = [&](const Item& a, const Item& b) {
    int order = 0;
    if (options.alphabetic) {
      order = CompareWeights(a, b, options.target != 0);
    } else {
      order = a.score < b.score ? -1 : a.score > b.score ? 1 : a.element.compare(b.element);
    }
    return options.descending ? order > 0 : order < 0;
  };
  std::stable_sort(items.begin(), items.end(), compare);
}

// The part of the items that LIMIT names.
std::span<const Item> Part(const Options& options, const std::vector<Item>& items) {
  const auto size = static_cast<std::int64_t>(items.size());
  const std::int64_t first = std::clamp<std::int64_t>(options.skip, 0, size);
  const std::int64_t count = options.limit < 0 ? size - first : std::min(options.limit, size - first);
  return std::span(items).subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count));
}

using Row = std::vector<std::optional<std::string>>;

Row Results(Call& call, const Options& options, std::span<const Item> items) {
  Row row;
  for (const Item& item : items) {
    if (options.gets.empty()) row.emplace_back(item.element);
    for (const std::string_view pattern : options.gets) row.push_back(LookUp(call, pattern, item.element));
  }
  return row;
}

Reply Store(Call& call, int target, const Row& row) {
  Packer packer;
  for (const auto& text : row) packer.Add(text.value_or(""));
  const Status status =
      ReplaceKey(call, target, OpenPacked<List>(packer.bytes()), REDISMODULE_NOTIFY_LIST, "sortstore");
  return After(status, Reply::Integer(static_cast<std::int64_t>(row.size())));
}

// What Redis itself says of the command where there are no keys.
NativeReply RunOnNothing(Call& call) {
  const Scratch nothing(call, {});
  return RunAsCaller(call);
}

}  // namespace

Reply Sort(Call& call) {
  const NativeReply checked = RunOnNothing(call);
  if (IsError(checked)) return Reply::Native(checked);
  Options options = Parse(call);
  std::vector<Item> items = ElementsOf(call, options);
  if (!options.unsorted) {
    if (!Weigh(call, options, items)) return Reply::Error("ERR One or more scores can't be converted into double");
    SortItems(options, items);
  }
  Row row = Results(call, options, Part(options, items));
  if (options.target != 0) return Store(call, options.target, row);
  return Reply::By([row = std::move(row)](RedisModuleCtx* ctx) {
    RedisModule_ReplyWithArray(ctx, static_cast<long>(row.size()));
    for (const auto& text : row) {
      text ? RedisModule_ReplyWithStringBuffer(ctx, text->data(), text->size()) : RedisModule_ReplyWithNull(ctx);
    }
  });
}

void FindKeys(const Call& call) {
  constexpr int kSource = REDISMODULE_CMD_KEY_RO | REDISMODULE_CMD_KEY_ACCESS;
  constexpr int kTarget = REDISMODULE_CMD_KEY_OW | REDISMODULE_CMD_KEY_UPDATE;
  RedisModule_KeyAtPosWithFlags(call.ctx(), 1, kSource);
  if (const int target = Parse(call).target; target != 0) RedisModule_KeyAtPosWithFlags(call.ctx(), target, kTarget);
}

}  // namespace faha::module::sorting
