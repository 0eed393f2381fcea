// Redis' commands for ranges of sorted sets: by rank, by score and by the bytes of the members.  Semantics, replies and
// errors are those of Redis 7.0.
#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "module/commands.h"
#include "module/scores.h"

namespace faha::module::sorted {
namespace {

enum class By : std::uint8_t { kRank, kScore, kLex };

// The ranks from `first` to `end` - 1.
struct Ranks {
  std::uint64_t first = 0, end = 0;
  [[nodiscard]] std::uint64_t size() const { return end > first ? end - first : 0; }
};

// What the arguments for the smallest and the largest element say.
class Bounds {
 public:
  // Returns nothing, or the error reply.
  std::optional<Reply> Parse(By by, std::string_view min, std::string_view max) {
    by_ = by;
    switch (by) {
      case By::kRank: return ParseBoth(ParseRank, min, max) ? std::nullopt : std::optional(Call::NotAnInteger());
      case By::kScore:
        if (ParseBoth(ParseScoreBound, min, max)) return std::nullopt;
        return Reply::Error("ERR min or max is not a float");
      case By::kLex:
        if (ParseBoth(ParseLexBound, min, max)) return std::nullopt;
        return Reply::Error("ERR min or max not valid string range item");
    }
    std::abort();
  }

  // Ranks count from the side where `order` begins.
  [[nodiscard]] Ranks In(const SortedSet& set, Order order) const {
    const std::uint64_t size = set.Size();
    switch (by_) {
      case By::kRank: return OfRanks(size, order);
      case By::kScore: return {set.CountBelow(min_.score, min_.open), set.CountBelow(max_.score, !max_.open)};
      case By::kLex: return {BoundaryOf(set, min_, min_.open), BoundaryOf(set, max_, !max_.open)};
    }
    std::abort();
  }

 private:
  enum class Limitless : std::uint8_t { kNo, kLow, kHigh };
  struct Bound {
    std::int64_t rank = 0;
    double score = 0;
    std::string_view text;
    Limitless limitless = Limitless::kNo;  // "-" and "+"
    bool open = false;                     // the bound itself is not in the range
  };

  static bool ParseRank(std::string_view text, Bound& bound) {
    const auto rank = ParseInteger(text);
    if (rank) bound.rank = *rank;
    return rank.has_value();
  }
  // As lenient as Redis, which takes spaces at the beginning, a number that is too large, and nothing at all for zero.
  static bool ParseScoreBound(std::string_view text, Bound& bound) {
    bound.open = text.starts_with('(');
    const std::string owned(text.substr(bound.open ? 1 : 0));
    char* end = nullptr;
    bound.score = std::strtod(owned.c_str(), &end);
    return *end == '\0' && !std::isnan(bound.score);
  }
  static bool ParseLexBound(std::string_view text, Bound& bound) {
    if (text.empty()) return false;
    const bool ends = text.size() == 1 || text[1] == '\0';
    bound.open = text.front() != '[';
    bound.text = text.substr(1);
    switch (text.front()) {
      case '[':
      case '(': return true;
      case '-': bound.limitless = Limitless::kLow; return ends;
      case '+': bound.limitless = Limitless::kHigh; return ends;
      default: return false;
    }
  }
  template <typename Function>
  bool ParseBoth(Function parse, std::string_view min, std::string_view max) {
    return parse(min, min_) && parse(max, max_);
  }

  [[nodiscard]] Ranks OfRanks(std::uint64_t size, Order order) const {
    const auto all = static_cast<std::int64_t>(size);
    const auto from_begin = [all](std::int64_t rank) { return rank < 0 ? all + rank : rank; };
    const std::int64_t first = std::max<std::int64_t>(from_begin(min_.rank), 0);
    const std::int64_t last = std::min(from_begin(max_.rank), all - 1);
    if (first > last) return {};
    const auto begin = static_cast<std::uint64_t>(first);
    const auto end = static_cast<std::uint64_t>(last) + 1;
    return order == Order::kForward ? Ranks{begin, end} : Ranks{size - end, size - begin};
  }
  static std::uint64_t BoundaryOf(const SortedSet& set, const Bound& bound, bool inclusive) {
    if (bound.limitless == Limitless::kLow) return 0;
    if (bound.limitless == Limitless::kHigh) return set.Size();
    return set.CountBefore(bound.text, inclusive);
  }

  By by_ = By::kRank;
  Bound min_, max_;
};

// A range with all its options.
struct Range {
  std::optional<By> by;
  std::optional<Order> order;
  bool scores = false;
  std::int64_t offset = 0, limit = -1;
  Bounds bounds;

  // `key`: the argument before those of the bounds.  `stores`: the range is not shown.  Returns nothing, or the error
  // reply.
  std::optional<Reply> Parse(const Call& call, int key, bool stores) {
    for (int i = key + 3; i < call.size(); ++i) {
      if (!stores && call.Is(i, "withscores")) {
        scores = true;
      } else if (call.Is(i, "limit") && i + 2 < call.size()) {
        const auto first = ParseInteger(call.arg(i + 1));
        const auto count = ParseInteger(call.arg(i + 2));
        if (!first || !count) return Call::NotAnInteger();
        offset = *first;
        limit = *count;
        i += 2;
      } else if (!order && call.Is(i, "rev")) {
        order = Order::kBackward;
      } else if (!by && call.Is(i, "bylex")) {
        by = By::kLex;
      } else if (!by && call.Is(i, "byscore")) {
        by = By::kScore;
      } else {
        return Call::SyntaxError();
      }
    }
    return ParseBounds(call, key);
  }

  // Calls visit(member, score) for what is in the range, after begin(how many).
  template <typename Begin, typename Visit>
  void Walk(const SortedSet& set, Begin begin, Visit visit) const {
    const Ranks ranks = In(set);
    begin(ranks.size());
    if (ranks.size() != 0) set.ForEach(ranks.first, ranks.end - 1, *order, visit);
  }

 private:
  std::optional<Reply> ParseBounds(const Call& call, int key) {
    if (!order) order = Order::kForward;
    if (!by) by = By::kRank;
    if (limit != -1 && *by == By::kRank) {
      return Reply::Error("ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX");
    }
    if (scores && *by == By::kLex) {
      return Reply::Error("ERR syntax error, WITHSCORES not supported in combination with BYLEX");
    }
    const bool turned = *order == Order::kBackward && *by != By::kRank;
    return bounds.Parse(*by, call.arg(key + (turned ? 2 : 1)), call.arg(key + (turned ? 1 : 2)));
  }

  [[nodiscard]] Ranks In(const SortedSet& set) const {
    Ranks ranks = bounds.In(set, *order);
    if (*by == By::kRank) return ranks;
    // Redis shows nothing for a negative offset, and everything for a negative limit.
    if (offset < 0 || static_cast<std::uint64_t>(offset) >= ranks.size()) return {};
    std::uint64_t count = ranks.size() - static_cast<std::uint64_t>(offset);
    if (limit >= 0) count = std::min(count, static_cast<std::uint64_t>(limit));
    const auto skipped = static_cast<std::uint64_t>(offset);
    if (*order == Order::kForward) return {ranks.first + skipped, ranks.first + skipped + count};
    return {ranks.end - skipped - count, ranks.end - skipped};
  }
};

Reply Show(Call& call, std::optional<By> by, std::optional<Order> order) {
  struct Range range;
  range.by = by;
  range.order = order;
  if (auto error = range.Parse(call, 1, false)) return *error;
  return Holding(ReadKey<SortedSet>(call, 1), [range](RedisModuleCtx* ctx, const SortedSet& set) {
    const Shape shape = Shape::Of(ctx, range.scores);
    const auto begin = [&](std::uint64_t members) { shape.Begin(ctx, members); };
    range.Walk(set, begin, [&](std::string_view member, double score) {
      shape.Send(ctx, member, score);
      return true;
    });
  });
}

Reply Count(Call& call, By by) {
  Bounds bounds;
  if (auto error = bounds.Parse(by, call.arg(2), call.arg(3))) return *error;
  const auto set = ReadKey<SortedSet>(call, 1);
  return Reply::Integer(static_cast<std::int64_t>(bounds.In(*set, Order::kForward).size()));
}

Reply Remove(Call& call, By by, const char* event) {
  Bounds bounds;
  if (auto error = bounds.Parse(by, call.arg(2), call.arg(3))) return *error;
  auto set = OpenKey<SortedSet>(call, 1);
  const Ranks ranks = bounds.In(*set, Order::kForward);
  if (ranks.size() == 0) return Reply::Integer(0);
  Status status = RemoveRange(call, 1, set, ranks.first, ranks.size());
  if (status.ok()) status = StoreKey(call, 1, set, REDISMODULE_NOTIFY_ZSET, event);
  return After(status, Reply::Integer(static_cast<std::int64_t>(ranks.size())));
}

}  // namespace

Reply Range(Call& call) { return Show(call, {}, {}); }
Reply RevRange(Call& call) { return Show(call, By::kRank, Order::kBackward); }
Reply RangeByScore(Call& call) { return Show(call, By::kScore, Order::kForward); }
Reply RevRangeByScore(Call& call) { return Show(call, By::kScore, Order::kBackward); }
Reply RangeByLex(Call& call) { return Show(call, By::kLex, Order::kForward); }
Reply RevRangeByLex(Call& call) { return Show(call, By::kLex, Order::kBackward); }

Reply RangeStore(Call& call) {
  struct Range range;
  if (auto error = range.Parse(call, 2, true)) return *error;
  Scored result;
  {
    const auto set = ReadKey<SortedSet>(call, 2);
    const auto begin = [&](std::uint64_t members) { result.reserve(members); };
    range.Walk(*set, begin, [&](std::string_view member, double score) {
      result.emplace_back(member, score);
      return true;
    });
  }
  if (*range.order == Order::kBackward) std::reverse(result.begin(), result.end());
  return StoreResult(call, result, "zrangestore");
}

Reply CountByScore(Call& call) { return Count(call, By::kScore); }
Reply CountByLex(Call& call) { return Count(call, By::kLex); }
Reply RemRangeByRank(Call& call) { return Remove(call, By::kRank, "zremrangebyrank"); }
Reply RemRangeByScore(Call& call) { return Remove(call, By::kScore, "zremrangebyscore"); }
Reply RemRangeByLex(Call& call) { return Remove(call, By::kLex, "zremrangebylex"); }

}  // namespace faha::module::sorted
