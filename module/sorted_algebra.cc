// Unions, intersections and differences of sorted sets and of plain sets, whose members have the score 1.  Semantics,
// replies and errors are those of Redis 7.0.
#include <algorithm>
#include <cmath>
#include <unordered_map>
#include <variant>

#include "module/commands.h"
#include "module/scores.h"

namespace faha::module::sorted {
namespace {

// One of the sets that an operation takes.
class Source {
 public:
  // The key must be one of a set, of a sorted set, or none; otherwise the call is refused.
  Source(Call& call, int key) : set_(Open(call, key)) {}

  double weight = 1;

  void Own() {
    std::visit([](auto& set) { set->Own(); }, set_);
  }
  [[nodiscard]] std::uint64_t Size() const {
    return std::visit([](const auto& set) { return set->Size(); }, set_);
  }
  [[nodiscard]] std::optional<double> ScoreOf(std::string_view member) const {
    if (const auto* plain = std::get_if<Opened<Set>>(&set_)) {
      return (*plain)->Contains(member) ? std::optional(1.0) : std::nullopt;
    }
    return std::get<Opened<SortedSet>>(set_)->ScoreOf(member);
  }
  void ForEach(const SortedSet::Visitor& visit) const {
    if (Size() == 0) return;
    if (const auto* plain = std::get_if<Opened<Set>>(&set_)) {
      return (*plain)->ForEach([&visit](std::string_view member) { return visit(member, 1); });
    }
    std::get<Opened<SortedSet>>(set_)->ForEach(0, Size() - 1, Order::kForward, visit);
  }

 private:
  using Either = std::variant<Opened<SortedSet>, Opened<Set>>;
  static Either Open(Call& call, int key) {
    bool expired = false;
    const auto entry = call.Peek(key, expired);
    if (entry && entry->type == ValueType::kSet) return ReadKey<Set>(call, key);
    return ReadKey<SortedSet>(call, key);
  }

  Either set_;
};

using Sources = std::vector<Source>;

enum class Aggregate : std::uint8_t { kSum, kMin, kMax };

double Together(Aggregate aggregate, double sum, double score) {
  switch (aggregate) {
    case Aggregate::kSum: return std::isnan(sum + score) ? 0 : sum + score;  // of both infinities
    case Aggregate::kMin: return score < sum ? score : sum;
    case Aggregate::kMax: return score > sum ? score : sum;
  }
  return sum;
}

// An infinite score with the weight 0 counts as 0.
double Weighted(const Source& source, double score) {
  const double weighted = source.weight * score;
  return std::isnan(weighted) ? 0 : weighted;
}

enum class Operation : std::uint8_t { kUnion, kInter, kDiff };
enum class Purpose : std::uint8_t { kShow, kStore, kCount };

// What the arguments say.
struct Plan {
  explicit Plan(Operation wanted, Purpose why = Purpose::kShow) : operation(wanted), purpose(why) {}

  Operation operation;
  Purpose purpose;
  Sources sources;
  Aggregate aggregate = Aggregate::kSum;
  bool scores = false;
  std::int64_t limit = 0;

  // `number`: the argument that says how many keys follow.  Returns nothing, or the error reply; the call may be
  // refused as well.
  std::optional<Reply> Parse(Call& call, int number) {
    const auto keys = ParseInteger(call.arg(number));
    if (!keys) return Call::NotAnInteger();
    if (*keys < 1) {
      return Reply::Error("ERR at least 1 input key is needed for '" + std::string(call.name()) + "' command");
    }
    if (*keys > call.size() - number - 1) return Call::SyntaxError();
    const int end = number + 1 + static_cast<int>(*keys);
    if (!OpenAll(call, number + 1, end)) return Reply::Null();
    for (int i = end; i < call.size();) {
      if (auto error = ParseOption(call, i)) return error;
    }
    return std::nullopt;
  }

 private:
  // False: one key is of another type, and the call is refused.
  bool OpenAll(Call& call, int first, int end) {
    bool expired = false;
    for (int i = first; i < end; ++i) {
      call.FetchAhead(i);
      (void)call.Peek(i, expired);
    }
    sources.reserve(static_cast<std::size_t>(end - first));
    for (int i = first; i < end; ++i) {
      sources.emplace_back(call, i);
      if (!call.refused().ok()) return false;
      // The delete of an expired key is a write, which would end the views of the sets before it.
      if (expired) sources.back().Own();
    }
    return true;
  }

  // Moves `i` behind the option.
  std::optional<Reply> ParseOption(const Call& call, int& i) {
    const int left = call.size() - i;
    const bool weighs = operation != Operation::kDiff && purpose != Purpose::kCount;
    const bool named = weighs && left >= 2;
    if (weighs && left > static_cast<int>(sources.size()) && call.Is(i, "weights")) return ParseWeights(call, ++i);
    if (named && call.Is(i, "aggregate")) return ParseAggregate(call, ++i);
    if (purpose == Purpose::kShow && call.Is(i, "withscores")) {
      scores = true;
      ++i;
      return std::nullopt;
    }
    if (purpose == Purpose::kCount && left >= 2 && call.Is(i, "limit")) return ParseLimit(call, ++i);
    return Call::SyntaxError();
  }

  std::optional<Reply> ParseWeights(const Call& call, int& i) {
    for (Source& source : sources) {
      const auto weight = ParseScore(call.arg(i++));
      if (!weight) return Reply::Error("ERR weight value is not a float");
      source.weight = *weight;
    }
    return std::nullopt;
  }
  std::optional<Reply> ParseAggregate(const Call& call, int& i) {
    const int word = i++;
    for (const auto& [name, value] :
         {std::pair("sum", Aggregate::kSum), {"min", Aggregate::kMin}, {"max", Aggregate::kMax}}) {
      if (!call.Is(word, name)) continue;
      aggregate = value;
      return std::nullopt;
    }
    return Call::SyntaxError();
  }
  std::optional<Reply> ParseLimit(const Call& call, int& i) {
    const auto number = ParseInteger(call.arg(i++));
    if (!number || *number < 0) return Reply::Error("ERR LIMIT can't be negative");
    limit = *number;
    return std::nullopt;
  }
};

// The smallest source first, which is also the order in which Redis adds scores up.
std::vector<const Source*> BySize(const Sources& sources) {
  std::vector<const Source*> ordered;
  for (const Source& source : sources) ordered.push_back(&source);
  std::stable_sort(ordered.begin(), ordered.end(),
                   [](const Source* a, const Source* b) { return a->Size() < b->Size(); });
  return ordered;
}

// Calls visit(member, score) for each member that all sources have, until it returns false.
void Intersect(const Plan& plan, const SortedSet::Visitor& visit) {
  const auto sources = BySize(plan.sources);
  sources.front()->ForEach([&](std::string_view member, double first) {
    double sum = Weighted(*sources.front(), first);
    for (auto source = sources.begin() + 1; source != sources.end(); ++source) {
      const auto score = (*source)->ScoreOf(member);
      if (!score) return true;
      sum = Together(plan.aggregate, sum, (*source)->weight * *score);
    }
    return visit(member, sum);
  });
}

void Unite(const Plan& plan, ScoredViews& result) {
  const auto sources = BySize(plan.sources);
  std::unordered_map<std::string_view, double> sums;
  sums.reserve(sources.back()->Size());
  for (const Source* source : sources) {
    source->ForEach([&](std::string_view member, double score) {
      const double weighted = Weighted(*source, score);
      const auto [sum, is_new] = sums.try_emplace(member, weighted);
      if (!is_new) sum->second = Together(plan.aggregate, sum->second, weighted);
      return true;
    });
  }
  result.assign(sums.begin(), sums.end());
}

// Looks the members of the first source up in the others.
void SubtractByLookUp(const Source& first, std::vector<const Source*> others, ScoredViews& result) {
  // What is to be left out is found soonest in the largest one.
  std::sort(others.begin(), others.end(), [](const Source* a, const Source* b) { return a->Size() > b->Size(); });
  first.ForEach([&](std::string_view member, double score) {
    const bool elsewhere = std::any_of(others.begin(), others.end(),
                                       [member](const Source* other) { return other->ScoreOf(member).has_value(); });
    if (!elsewhere) result.emplace_back(member, score);
    return true;
  });
}

// Removes the members of the others from those of the first source.
void SubtractByRemoval(const Source& first, const std::vector<const Source*>& others, ScoredViews& result) {
  std::unordered_map<std::string_view, double> left;
  first.ForEach([&](std::string_view member, double score) { return left.emplace(member, score).second; });
  for (const Source* other : others) {
    if (left.empty()) break;
    other->ForEach([&](std::string_view member, double) {
      left.erase(member);
      return !left.empty();
    });
  }
  result.assign(left.begin(), left.end());
}

void Subtract(const Plan& plan, ScoredViews& result) {
  const Source& first = plan.sources.front();
  std::vector<const Source*> others;
  std::uint64_t members = first.Size();
  for (auto source = plan.sources.begin() + 1; source != plan.sources.end(); ++source) {
    others.push_back(&*source);
    members += source->Size();
  }
  // The second way takes a step for each member of each source, and memory for those of the first one.
  if (first.Size() * plan.sources.size() / 2 <= members) return SubtractByLookUp(first, std::move(others), result);
  SubtractByRemoval(first, others, result);
}

// In the order of a sorted set.  The views are valid as long as the sources.
ScoredViews ResultOf(const Plan& plan) {
  ScoredViews result;
  switch (plan.operation) {
    case Operation::kUnion: Unite(plan, result); break;
    case Operation::kDiff: Subtract(plan, result); break;
    case Operation::kInter:
      Intersect(plan, [&result](std::string_view member, double score) {
        result.emplace_back(member, score);
        return true;
      });
      break;
  }
  std::sort(result.begin(), result.end(), [](const auto& a, const auto& b) {
    return a.second < b.second || (a.second == b.second && a.first < b.first);
  });
  return result;
}

Reply Show(Call& call, Operation operation) {
  const auto plan = std::make_shared<Plan>(operation);
  if (auto error = plan->Parse(call, 1)) return *error;
  return Reply::By([plan](RedisModuleCtx* ctx) { Shape::Of(ctx, plan->scores).SendAll(ctx, ResultOf(*plan)); });
}

Reply Store(Call& call, Operation operation, const char* event) {
  Plan plan(operation, Purpose::kStore);
  if (auto error = plan.Parse(call, 2)) return *error;
  return StoreResult(call, ResultOf(plan), event);
}

}  // namespace

Reply Union(Call& call) { return Show(call, Operation::kUnion); }
Reply Inter(Call& call) { return Show(call, Operation::kInter); }
Reply Diff(Call& call) { return Show(call, Operation::kDiff); }
Reply UnionStore(Call& call) { return Store(call, Operation::kUnion, "zunionstore"); }
Reply InterStore(Call& call) { return Store(call, Operation::kInter, "zinterstore"); }
Reply DiffStore(Call& call) { return Store(call, Operation::kDiff, "zdiffstore"); }

Reply InterCard(Call& call) {
  Plan plan(Operation::kInter, Purpose::kCount);
  if (auto error = plan.Parse(call, 1)) return *error;
  std::int64_t members = 0;
  Intersect(plan, [&](std::string_view, double) { return ++members != plan.limit; });
  return Reply::Integer(members);
}

}  // namespace faha::module::sorted
