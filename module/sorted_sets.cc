// Redis' commands for single members of sorted sets.  Semantics, replies and errors are those of Redis 7.0.
#include <cmath>
#include <limits>

#include "module/blocking.h"
#include "module/commands.h"
#include "module/element_scan.h"
#include "module/sampling.h"
#include "module/scores.h"

namespace faha::module::sorted {
namespace {

constexpr int kSortedSet = REDISMODULE_NOTIFY_ZSET;

struct AddOptions {
  bool nx = false, xx = false, ch = false, incr = false, gt = false, lt = false;
  int first = 2;  // the argument that is the first score

  // Takes the argument `i` if it is an option.
  bool Take(const Call& call, int i) {
    for (const auto& [name, option] : {std::pair("nx", &AddOptions::nx),
                                       {"xx", &AddOptions::xx},
                                       {"ch", &AddOptions::ch},
                                       {"incr", &AddOptions::incr},
                                       {"gt", &AddOptions::gt},
                                       {"lt", &AddOptions::lt}}) {
      if (call.Is(i, name)) return this->*option = true;
    }
    return false;
  }

  // Returns nothing, or the error reply.
  std::optional<Reply> Parse(const Call& call) {
    while (first < call.size() && Take(call, first)) ++first;
    const int left = call.size() - first;
    if (left == 0 || left % 2 != 0) return Call::SyntaxError();
    if (nx && xx) return Reply::Error("ERR XX and NX options at the same time are not compatible");
    if ((nx && (gt || lt)) || (gt && lt)) {
      return Reply::Error("ERR GT, LT, and/or NX options at the same time are not compatible");
    }
    if (incr && left > 2) return Reply::Error("ERR INCR option supports a single increment-element pair");
    return std::nullopt;
  }

  // The score that a member gets whose score was `old`; nothing: it is left as it is.  NaN: an error.
  [[nodiscard]] std::optional<double> ScoreAfter(std::optional<double> old, double score) const {
    if (!old) return xx ? std::nullopt : std::optional(score);
    if (nx) return std::nullopt;
    if (incr) score += *old;
    if ((lt && score >= *old) || (gt && score <= *old)) return std::nullopt;
    return score;
  }
};

struct Outcome {
  std::int64_t added = 0, updated = 0;
  std::optional<double> last;  // the newest score of the last member; nothing: it was left as it was
};

// A member that is there may get another score.
Status MayAdd(Call& call, const AddOptions& options, Opened<SortedSet>& set) {
  Added members;
  for (int i = options.first + 1; i < call.size(); i += 2) {
    if (set->ScoreOf(call.arg(i)) ? set->large() && !options.nx : !options.xx) members.Add(call.arg(i).size());
  }
  return members.elements == 0 ? call.refused() : MayStore(call, 1, set, members);
}

Outcome AddAll(const Call& call, const AddOptions& options, const std::vector<double>& scores, SortedSet& set) {
  Outcome result;
  int i = options.first + 1;
  for (const double score : scores) {
    const std::string_view member = call.arg(i);
    const auto old = set.ScoreOf(member);
    result.last = options.ScoreAfter(old, score);
    if ((result.last && std::isnan(*result.last)) || IsOverfull(set)) break;
    if (result.last && (!old || *result.last != *old)) {
      set.Put(member, Kept(call.ctx(), *result.last, set.Size() + (old ? 0 : 1)));
      ++(old ? result.updated : result.added);
    }
    i += 2;
  }
  return result;
}

Reply AddWith(Call& call, AddOptions options) {
  if (auto error = options.Parse(call)) return *error;
  std::vector<double> scores;
  for (int i = options.first; i < call.size(); i += 2) {
    const auto score = ParseScore(call.arg(i));
    if (!score) return Reply::Error("ERR value is not a valid float");
    scores.push_back(*score);
  }
  auto set = OpenKey<SortedSet>(call, 1);
  if (Status status = MayAdd(call, options, set); !status.ok()) return Reply::Error(status);
  const Outcome result = AddAll(call, options, scores, *set);
  if (result.last && std::isnan(*result.last)) return Reply::Error("ERR resulting score is not a number (NaN)");
  Reply reply = Reply::Integer(result.added + (options.ch ? result.updated : 0));
  if (options.incr) reply = result.last ? ScoreReply(*result.last) : Reply::Null();
  if (result.added + result.updated == 0) return reply;
  return After(StoreKey(call, 1, set, kSortedSet, options.incr ? "zincr" : "zadd"), std::move(reply));
}

enum class End : std::uint8_t { kMin, kMax };

const char* PopEvent(End end) { return end == End::kMin ? "zpopmin" : "zpopmax"; }

// Removes up to `count` members from an end of the set that was opened under the key at argument `key`, and appends
// them to `taken`.  Errors: as RemoveRange; then nothing has changed.
Status Take(Call& call, int key, Opened<SortedSet>& set, End end, std::int64_t count, Scored& taken) {
  const std::uint64_t size = set->Size();
  const std::uint64_t members = std::min(size, static_cast<std::uint64_t>(count));
  if (members == 0) return call.refused();
  const auto take = [&taken](std::string_view member, double score) {
    taken.emplace_back(member, score);
    return true;
  };
  const std::uint64_t first = end == End::kMin ? 0 : size - members;
  set->ForEach(first, first + members - 1, end == End::kMin ? Order::kForward : Order::kBackward, take);
  return RemoveRange(call, key, set, first, members);
}

Reply Pop(Call& call, End end) {
  if (call.size() > 3) return Call::SyntaxError();
  const bool counted = call.size() == 3;
  const auto count = counted ? ParseInteger(call.arg(2)) : std::optional<std::int64_t>(1);
  if (!count || *count < 0) return Reply::Error("ERR value is out of range, must be positive");
  auto set = OpenKey<SortedSet>(call, 1);
  Scored taken;
  Status status = Take(call, 1, set, end, *count, taken);
  if (status.ok() && !taken.empty()) status = StoreKey(call, 1, set, kSortedSet, PopEvent(end));
  return After(status, Reply::By([taken = std::move(taken), counted](RedisModuleCtx* ctx) {
                 const Shape shape{true, counted && SpeaksResp3(ctx)};
                 shape.SendAll(ctx, taken);
               }));
}

// What ZMPOP asks for.
struct Wanted {
  int first = 0, keys = 0;  // the arguments that are its keys
  End end = End::kMin;
  std::int64_t count = 1;
};

// Argument `at` is the number of the keys.
std::optional<Reply> ParseWanted(const Call& call, int at, Wanted& wanted) {
  const auto keys = ParseInteger(call.arg(at));
  if (!keys || *keys < 1) return Reply::Error("ERR numkeys should be greater than 0");
  if (*keys >= call.size() - at - 1) return Call::SyntaxError();
  wanted.first = at + 1;
  wanted.keys = static_cast<int>(*keys);
  const int where = wanted.first + wanted.keys;
  const bool min = call.Is(where, "min");
  if (!min && !call.Is(where, "max")) return Call::SyntaxError();
  wanted.end = min ? End::kMin : End::kMax;
  std::optional<std::int64_t> count;
  for (int i = where + 1; i < call.size(); i += 2) {
    if (count || !call.Is(i, "count") || i + 1 == call.size()) return Call::SyntaxError();
    count = ParseInteger(call.arg(i + 1));
    if (!count || *count < 1) return Reply::Error("ERR count should be greater than 0");
  }
  wanted.count = count.value_or(1);
  return std::nullopt;
}

// The name of the key at argument `key`, and an array of members with their scores.
Reply WithKey(const Call& call, int key, Scored taken) {
  return Reply::By([name = std::string(call.arg(key)), taken = std::move(taken)](RedisModuleCtx* ctx) {
    RedisModule_ReplyWithArray(ctx, 2);
    SendText(ctx, name);
    Shape{true, true}.SendAll(ctx, taken);
  });
}

// The reply is the name of the key, the member and its score.
Reply PopOrWait(Call& call, End end) {
  const auto pop = [end](Call& its_call, int key, Opened<SortedSet>& set) {
    Scored taken;
    if (Status status = Take(its_call, key, set, end, 1, taken); !status.ok()) its_call.Refuse(std::move(status));
    return Reply::By([name = std::string(its_call.arg(key)), taken = std::move(taken)](RedisModuleCtx* ctx) {
      RedisModule_ReplyWithArray(ctx, 3);
      SendText(ctx, name);
      Shape{true, false}.Send(ctx, taken.front().first, taken.front().second);
    });
  };
  return TakeOrWait(call,
                    {.keys = call.size() - 2, .timeout = call.size() - 1, .from_set = pop, .event = PopEvent(end)});
}

Reply Rank(Call& call, Order order) {
  const auto set = ReadKey<SortedSet>(call, 1);
  const auto rank = set->RankOf(call.arg(2));
  if (!rank) return Reply::Null();
  return Reply::Integer(static_cast<std::int64_t>(order == Order::kForward ? *rank : set->Size() - 1 - *rank));
}

void SendSample(RedisModuleCtx* ctx, const SortedSet& set, std::int64_t count, bool scores) {
  const Shape shape = Shape::Of(ctx, scores);
  const auto send = [&](std::string_view member, double score) {
    shape.Send(ctx, member, score);
    return true;
  };
  VisitByCount(
      ctx, set, count, [&](std::uint64_t members) { shape.Begin(ctx, members); }, send);
}

}  // namespace

Reply Add(Call& call) { return AddWith(call, {}); }

Reply IncrBy(Call& call) {
  AddOptions options;
  options.incr = true;
  return AddWith(call, options);
}

Reply Rem(Call& call) {
  auto set = OpenKey<SortedSet>(call, 1);
  const auto removed = RemoveArguments(call, set);
  if (!removed.ok()) return Reply::Error(removed.status());
  if (removed.value() == 0) return Reply::Integer(0);
  return After(StoreKey(call, 1, set, kSortedSet, "zrem"), Reply::Integer(removed.value()));
}

Reply Card(Call& call) { return Reply::Integer(static_cast<std::int64_t>(ReadKey<SortedSet>(call, 1)->Size())); }

Reply Score(Call& call) {
  const auto score = ReadKey<SortedSet>(call, 1)->ScoreOf(call.arg(2));
  return score ? ScoreReply(*score) : Reply::Null();
}

Reply MScore(Call& call) {
  const auto set = ReadKey<SortedSet>(call, 1);
  std::vector<std::optional<double>> scores;
  for (int i = 2; i < call.size(); ++i) scores.push_back(set->ScoreOf(call.arg(i)));
  return Reply::By([scores = std::move(scores)](RedisModuleCtx* ctx) {
    RedisModule_ReplyWithArray(ctx, static_cast<long>(scores.size()));
    for (const auto& score : scores) {
      score ? RedisModule_ReplyWithDouble(ctx, *score) : RedisModule_ReplyWithNull(ctx);
    }
  });
}

Reply RankOf(Call& call) { return Rank(call, Order::kForward); }
Reply RevRankOf(Call& call) { return Rank(call, Order::kBackward); }
Reply PopMin(Call& call) { return Pop(call, End::kMin); }
Reply PopMax(Call& call) { return Pop(call, End::kMax); }

Reply MPop(Call& call) {
  Wanted wanted;
  if (auto error = ParseWanted(call, 1, wanted)) return *error;
  for (int key = wanted.first; key < wanted.first + wanted.keys; ++key) {
    auto set = OpenKey<SortedSet>(call, key);
    if (!call.refused().ok()) return Reply::Null();
    if (!set.existed()) continue;
    Scored taken;
    Status status = Take(call, key, set, wanted.end, wanted.count, taken);
    if (status.ok()) status = StoreKey(call, key, set, kSortedSet, PopEvent(wanted.end));
    return After(status, WithKey(call, key, std::move(taken)));
  }
  return NullArray();
}

Reply BPopMin(Call& call) { return PopOrWait(call, End::kMin); }
Reply BPopMax(Call& call) { return PopOrWait(call, End::kMax); }

Reply BMPop(Call& call) {
  Wanted wanted;
  if (auto error = ParseWanted(call, 2, wanted)) return *error;
  const auto pop = [wanted](Call& its_call, int key, Opened<SortedSet>& set) {
    Scored taken;
    Status status = Take(its_call, key, set, wanted.end, wanted.count, taken);
    if (!status.ok()) its_call.Refuse(std::move(status));
    return WithKey(its_call, key, std::move(taken));
  };
  return TakeOrWait(
      call, {.first = wanted.first, .keys = wanted.keys, .timeout = 1, .from_set = pop, .event = PopEvent(wanted.end)});
}

Reply RandMember(Call& call) {
  if (call.size() == 2) {
    return Holding(ReadKey<SortedSet>(call, 1), [](RedisModuleCtx* ctx, const SortedSet& set) {
      if (set.Size() == 0) return (void)RedisModule_ReplyWithNull(ctx);
      Dice dice;
      VisitRandom(set, dice, [ctx](std::string_view member, double) {
        SendText(ctx, member);
        return true;
      });
    });
  }
  std::optional<Reply> error;
  const auto count = ParseSampleCount(call, 2, error);
  if (!count) return *error;
  const bool scores = call.size() == 4;
  if (call.size() > 4 || (scores && !call.Is(3, "withscores"))) return Call::SyntaxError();
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max() / 2;
  if (scores && (*count < -kMost || *count > kMost)) return Reply::Error("ERR value is out of range");
  return Holding(ReadKey<SortedSet>(call, 1), [count = *count, scores](RedisModuleCtx* ctx, const SortedSet& set) {
    SendSample(ctx, set, count, scores);
  });
}

Reply Scan(Call& call) {
  // Unlike other commands, ZSCAN shows scores as strings in RESP3, too.
  return ScanElements<SortedSet, std::string_view, double>(
      call, +[](RedisModuleCtx* ctx, std::string_view member, double score) {
        SendText(ctx, member);
        SendText(ctx, ScoreText(score));
      });
}

}  // namespace faha::module::sorted
