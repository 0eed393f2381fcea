// Redis' commands of one list.  Semantics, replies and errors are those of Redis 7.0.
#include "module/lists.h"

#include <algorithm>
#include <memory>

#include "module/commands.h"

namespace faha::module::lists {
namespace {

constexpr int kList = REDISMODULE_NOTIFY_LIST;

std::int64_t SizeOf(const Opened<List>& list) { return static_cast<std::int64_t>(list->Size()); }

// Indexes of a list that exist.
struct Range {
  std::uint64_t first = 0, count = 0;
};

// Negative numbers count from the end; both ends are included, and lie outside of the list if they like.
Range RangeOf(const Opened<List>& list, std::int64_t start, std::int64_t end) {
  const std::int64_t size = SizeOf(list);
  if (start < 0) start = std::max<std::int64_t>(0, start + size);
  if (end < 0) end += size;
  if (start > end || start >= size) return {};
  end = std::min(end, size - 1);
  return {static_cast<std::uint64_t>(start), static_cast<std::uint64_t>(end - start + 1)};
}

// The index that `index` means, if there is such an element.
std::optional<std::uint64_t> PlaceOf(const Opened<List>& list, std::int64_t index) {
  if (index < 0) index += SizeOf(list);
  if (index < 0 || index >= SizeOf(list)) return std::nullopt;
  return static_cast<std::uint64_t>(index);
}

Reply PushWith(Call& call, End end, bool only_existing) {
  auto list = OpenKey<List>(call, 1);
  if (only_existing && !list.existed()) return Reply::Integer(0);
  std::vector<std::string_view> elements;
  elements.reserve(static_cast<std::size_t>(call.size() - 2));
  for (int i = 2; i < call.size(); ++i) elements.push_back(call.arg(i));
  const Status status = Push(call, 1, list, end, elements);
  return After(status, Reply::Integer(SizeOf(list)));
}

Reply SendOwned(Elements elements) {
  return Reply::By([elements = std::move(elements)](RedisModuleCtx* ctx) { Send(ctx, elements); });
}

// LPOP and RPOP with a number: the reply is an array.
Reply PopSome(Call& call, End end) {
  const auto count = ParseInteger(call.arg(2));
  if (!count || *count < 0) return Reply::Error("ERR value is out of range, must be positive");
  auto list = OpenKey<List>(call, 1);
  if (!list.existed()) return NullArray();
  Elements popped;
  if (*count == 0) return SendOwned(std::move(popped));
  const Status status = Pop(call, 1, list, end, static_cast<std::uint64_t>(*count), popped);
  return After(status, SendOwned(std::move(popped)));
}

Reply PopWith(Call& call, End end) {
  if (call.size() > 3) return call.WrongArity();
  if (call.size() == 3) return PopSome(call, end);
  auto list = OpenKey<List>(call, 1);
  if (!list.existed()) return Reply::Null();
  Elements popped;
  const Status status = Pop(call, 1, list, end, 1, popped);
  return status.ok() ? Reply::Text(std::move(popped.front())) : Reply::Error(status);
}

// What LPOS searches for.
struct Sought {
  std::string_view element;
  std::int64_t rank = 1;                            // negative: searches from the end
  std::optional<std::int64_t> most = std::nullopt;  // nothing: the first match alone; 0: all
  std::uint64_t compared = 0;                       // how many elements are compared at most; 0: all
};

// Parses a number that must not be negative.
std::optional<std::int64_t> ParseCount(std::string_view text) {
  const auto number = ParseInteger(text);
  return number && *number >= 0 ? number : std::nullopt;
}

std::optional<Reply> ParseSought(const Call& call, Sought& sought) {
  for (int i = 3; i < call.size(); i += 2) {
    if (i + 1 == call.size()) return Call::SyntaxError();
    if (call.Is(i, "rank")) {
      const auto rank = ParseInteger(call.arg(i + 1));
      if (!rank) return Call::NotAnInteger();
      if (*rank == 0) {
        return Reply::Error(
            "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to "
            "start from the end of the list");
      }
      sought.rank = *rank;
    } else if (call.Is(i, "count")) {
      sought.most = ParseCount(call.arg(i + 1));
      if (!sought.most) return Reply::Error("ERR COUNT can't be negative");
    } else if (call.Is(i, "maxlen")) {
      const auto compared = ParseCount(call.arg(i + 1));
      if (!compared) return Reply::Error("ERR MAXLEN can't be negative");
      sought.compared = static_cast<std::uint64_t>(*compared);
    } else {
      return Call::SyntaxError();
    }
  }
  return std::nullopt;
}

// Calls found(index) for each match that LPOS tells about.  Ranks are compared as Redis does, whose numbers wrap
// around.
template <typename Found>
void Search(const List& list, const Sought& sought, Found found) {
  const std::uint64_t size = list.Size();
  const std::uint64_t compared = sought.compared == 0 ? size : std::min(sought.compared, size);
  if (compared == 0) return;
  const bool backward = sought.rank < 0;
  const std::uint64_t first = backward ? size - compared : 0;
  const auto rank = backward ? 0 - static_cast<std::uint64_t>(sought.rank) : static_cast<std::uint64_t>(sought.rank);
  std::uint64_t matches = 0;
  const auto visit = [&](std::uint64_t index, std::string_view element) {
    if (element != sought.element) return true;
    ++matches;
    if (static_cast<std::int64_t>(matches) < static_cast<std::int64_t>(rank)) return true;
    found(index);
    if (!sought.most) return false;
    return *sought.most == 0 || static_cast<std::int64_t>(matches - rank + 1) < *sought.most;
  };
  list.ForEach(first, first + compared - 1, backward ? Order::kBackward : Order::kForward, visit);
}

// Up to `most` elements that equal `element`, counted from the front or from the end, as ranges without gaps in the
// order in which they were found.  `most` 0: all.
std::vector<Range> FindRanges(const List& list, std::string_view element, std::uint64_t most, Order order) {
  std::vector<Range> ranges;
  std::uint64_t found = 0;
  const auto visit = [&](std::uint64_t index, std::string_view its) {
    if (its != element) return true;
    if (!ranges.empty() && ranges.back().first + ranges.back().count == index) {
      ++ranges.back().count;
    } else if (!ranges.empty() && index + 1 == ranges.back().first) {
      ranges.back() = {index, ranges.back().count + 1};
    } else {
      ranges.push_back({index, 1});
    }
    return ++found != most;
  };
  if (list.Size() > 0) list.ForEach(0, list.Size() - 1, order, visit);
  return ranges;
}

std::optional<std::uint64_t> Find(const List& list, std::string_view element) {
  std::optional<std::uint64_t> found;
  Search(list, {.element = element}, [&](std::uint64_t index) { found = index; });
  return found;
}

}  // namespace

std::optional<End> ParseEnd(const Call& call, int i) {
  if (call.Is(i, "left")) return End::kLeft;
  if (call.Is(i, "right")) return End::kRight;
  return std::nullopt;
}

Status Push(Call& call, int key, Opened<List>& list, End end, std::span<const std::string_view> elements) {
  Added added;
  for (const std::string_view element : elements) added.Add(element.size());
  if (Status status = MayStore(call, key, list, added); !status.ok()) return status;
  for (const std::string_view element : elements) Put(*list, end, element);
  return StoreKey(call, key, list, kList, PushEvent(end));
}

Status Take(Call& call, int key, Opened<List>& list, End end, std::uint64_t count, Elements& popped) {
  const std::uint64_t size = list->Size();
  count = std::min(count, size);
  const std::uint64_t first = end == End::kLeft ? 0 : size - count;
  popped.reserve(popped.size() + count);
  list->ForEach(first, first + count - 1, end == End::kLeft ? Order::kForward : Order::kBackward,
                [&](std::uint64_t, std::string_view element) {
                  popped.emplace_back(element);
                  return true;
                });
  return RemoveRange(call, key, list, first, count);
}

Status Pop(Call& call, int key, Opened<List>& list, End end, std::uint64_t count, Elements& popped) {
  if (Status status = Take(call, key, list, end, count, popped); !status.ok()) return status;
  return StoreKey(call, key, list, kList, PopEvent(end));
}

void Send(RedisModuleCtx* ctx, const Elements& elements) {
  RedisModule_ReplyWithArray(ctx, static_cast<long>(elements.size()));
  for (const std::string& element : elements) SendText(ctx, element);
}

Reply LPush(Call& call) { return PushWith(call, End::kLeft, false); }
Reply RPush(Call& call) { return PushWith(call, End::kRight, false); }
Reply LPushX(Call& call) { return PushWith(call, End::kLeft, true); }
Reply RPushX(Call& call) { return PushWith(call, End::kRight, true); }
Reply LPop(Call& call) { return PopWith(call, End::kLeft); }
Reply RPop(Call& call) { return PopWith(call, End::kRight); }

Reply LLen(Call& call) { return Reply::Integer(SizeOf(ReadKey<List>(call, 1))); }

Reply LIndex(Call& call) {
  auto list = ReadKey<List>(call, 1);
  if (!list.existed()) return Reply::Null();
  const auto index = ParseInteger(call.arg(2));
  if (!index) return Call::NotAnInteger();
  const auto place = PlaceOf(list, *index);
  if (!place) return Reply::Null();
  return Holding(std::move(list), [place = *place](RedisModuleCtx* ctx, const List& elements) {
    SendText(ctx, elements.At(place).value_or(""));
  });
}

Reply LSet(Call& call) {
  auto list = OpenKey<List>(call, 1);
  if (!list.existed()) return Reply::Error("ERR no such key");
  const auto index = ParseInteger(call.arg(2));
  if (!index) return Call::NotAnInteger();
  const auto place = PlaceOf(list, *index);
  if (!place) return Reply::Error("ERR index out of range");
  if (Status status = MayStore(call, 1, list, Added::One(call.arg(3).size())); !status.ok())
    return Reply::Error(status);
  list->Replace(*place, call.arg(3));
  return After(StoreKey(call, 1, list, kList, "lset"), Reply::Ok());
}

Reply LRange(Call& call) {
  const auto start = ParseInteger(call.arg(2)), end = ParseInteger(call.arg(3));
  if (!start || !end) return Call::NotAnInteger();
  auto list = ReadKey<List>(call, 1);
  const Range range = RangeOf(list, *start, *end);
  return Holding(std::move(list), [range](RedisModuleCtx* ctx, const List& elements) {
    RedisModule_ReplyWithArray(ctx, static_cast<long>(range.count));
    if (range.count == 0) return;
    elements.ForEach(range.first, range.first + range.count - 1, Order::kForward,
                     [ctx](std::uint64_t, std::string_view element) {
                       SendText(ctx, element);
                       return true;
                     });
  });
}

Reply LTrim(Call& call) {
  const auto start = ParseInteger(call.arg(2)), end = ParseInteger(call.arg(3));
  if (!start || !end) return Call::NotAnInteger();
  auto list = OpenKey<List>(call, 1);
  if (!list.existed()) return Reply::Ok();
  const Range kept = RangeOf(list, *start, *end);
  const std::uint64_t size = list->Size();
  if (kept.count == size) {
    // Redis tells of a trim that removes nothing as well.
    call.Changed(1, kList, "ltrim");
    return Reply::Ok();
  }
  if (Status status = KeepRange(call, 1, list, kept.first, kept.count); !status.ok()) return Reply::Error(status);
  return After(StoreKey(call, 1, list, kList, "ltrim"), Reply::Ok());
}

Reply LRem(Call& call) {
  const auto count = ParseInteger(call.arg(2));
  if (!count) return Call::NotAnInteger();
  auto list = OpenKey<List>(call, 1);
  const bool backward = *count < 0;
  const auto most = backward ? 0 - static_cast<std::uint64_t>(*count) : static_cast<std::uint64_t>(*count);
  auto ranges = FindRanges(*list, call.arg(3), most, backward ? Order::kBackward : Order::kForward);
  if (ranges.empty()) return Reply::Integer(0);
  std::uint64_t removed = 0;
  for (const Range& range : ranges) removed += range.count;
  if (Status status = MayErase(call, 1, *list, 0, removed); !status.ok()) return Reply::Error(status);
  // From the end on, so that the indexes of the others remain.
  if (!backward) std::reverse(ranges.begin(), ranges.end());
  for (const Range& range : ranges) list->Erase(range.first, range.count);
  return After(StoreKey(call, 1, list, kList, "lrem"), Reply::Integer(static_cast<std::int64_t>(removed)));
}

Reply LInsert(Call& call) {
  const bool after = call.Is(2, "after");
  if (!after && !call.Is(2, "before")) return Call::SyntaxError();
  auto list = OpenKey<List>(call, 1);
  if (!list.existed()) return Reply::Integer(0);
  const auto pivot = Find(*list, call.arg(3));
  if (!pivot) return Reply::Integer(-1);
  const std::uint64_t place = *pivot + (after ? 1 : 0);
  if (Status status = MayInsert(call, 1, list, place, call.arg(4).size()); !status.ok()) return Reply::Error(status);
  list->Insert(place, call.arg(4));
  const Status status = StoreKey(call, 1, list, kList, "linsert");
  return After(status, Reply::Integer(SizeOf(list)));
}

Reply LPos(Call& call) {
  Sought sought{.element = call.arg(2)};
  if (auto error = ParseSought(call, sought)) return *error;
  auto list = ReadKey<List>(call, 1);
  if (!sought.most) {
    std::optional<std::uint64_t> place;
    Search(*list, sought, [&](std::uint64_t index) { place = index; });
    return place ? Reply::Integer(static_cast<std::int64_t>(*place)) : Reply::Null();
  }
  return Holding(std::move(list), [sought](RedisModuleCtx* ctx, const List& elements) {
    long count = 0;
    RedisModule_ReplyWithArray(ctx, REDISMODULE_POSTPONED_LEN);
    Search(elements, sought, [&](std::uint64_t index) {
      RedisModule_ReplyWithLongLong(ctx, static_cast<long long>(index));
      ++count;
    });
    RedisModule_ReplySetArrayLength(ctx, count);
  });
}

}  // namespace faha::module::lists
