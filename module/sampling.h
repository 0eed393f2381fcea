// Random elements of a collection.  Thread: main loop only.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <optional>
#include <string_view>
#include <unordered_set>

#include "module/call.h"
#include "module/client_list.h"
#include "module/views.h"

namespace faha::module {

// Random numbers of one call.  The seed comes from the server; SplitMix64 makes cheap numbers of it.
class Dice {
 public:
  Dice() { RedisModule_GetRandomBytes(reinterpret_cast<unsigned char*>(&state_), sizeof state_); }
  std::uint64_t Roll() {
    std::uint64_t mixed = state_ += 0x9e3779b97f4a7c15;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
    return mixed ^ (mixed >> 31);
  }

 private:
  std::uint64_t state_ = 0;
};

inline void VisitRandom(const Hash& hash, Dice& dice, const Hash::Visitor& visit) { hash.Random(dice.Roll(), visit); }
inline void VisitRandom(const Set& set, Dice& dice, const Set::Visitor& visit) { visit(set.Random(dice.Roll())); }
inline void VisitRandom(const SortedSet& set, Dice& dice, const SortedSet::Visitor& visit) {
  const std::uint64_t rank = dice.Roll() % set.Size();
  set.ForEach(rank, rank, Order::kForward, visit);
}

template <typename Kind>
void VisitAll(const Kind& collection, const typename Kind::Visitor& visit) {
  collection.ForEach(visit);
}
inline void VisitAll(const SortedSet& set, const SortedSet::Visitor& visit) {
  set.ForEach(0, set.Size(), Order::kForward, visit);
}

// Visits `count` different elements, each choice with the same probability; all of them if there are not so many.
template <typename Kind>
void VisitSample(const Kind& collection, std::uint64_t count, const typename Kind::Visitor& visit) {
  // One step of a walk over all elements costs about a tenth of one element that is drawn.
  constexpr std::uint64_t kStepsPerDraw = 10;
  Dice dice;
  std::uint64_t left = collection.Size();
  if (count == 0) return;
  if (left / kStepsPerDraw <= count) {
    VisitAll(collection, [&](auto... element) {
      if (dice.Roll() % left-- >= count) return true;
      visit(element...);
      return --count > 0;
    });
    return;
  }
  std::unordered_set<std::string_view> drawn;
  while (drawn.size() < count) {
    VisitRandom(collection, dice, [&](std::string_view name, auto... rest) {
      if (drawn.insert(name).second) visit(name, rest...);
      return true;
    });
  }
}

// Visits `count` elements, each of them any element with the same probability.  `count` may be larger than what any
// client can take: once Redis disconnects the command's client, because of the limits of its output buffer, no more are
// visited.
template <typename Kind>
void VisitDraws(RedisModuleCtx* ctx, const Kind& collection, std::uint64_t count, const typename Kind::Visitor& visit) {
  constexpr std::uint64_t kBetweenLooks = 4096;  // a look costs as much as some hundred elements
  const std::uint64_t client[] = {RedisModule_GetClientId(ctx)};
  bool leaving = false;
  Dice dice;
  for (std::uint64_t drawn = 0; drawn < count && !leaving; ++drawn) {
    VisitRandom(collection, dice, visit);
    if (drawn % kBetweenLooks != kBetweenLooks - 1) continue;
    ForEachClient(
        ctx, [&leaving](const ListedClient& listed) { leaving = listed.IsLeaving(); }, client);
  }
}

// What HRANDFIELD, SRANDMEMBER and ZRANDMEMBER with a count send: so many different elements, or, if `count` is
// negative, -count elements of which the same may come more than once.  First begin(n) is told how many there will be.
template <typename Kind, typename Begin>
void VisitByCount(RedisModuleCtx* ctx, const Kind& collection, std::int64_t count, Begin begin,
                  const typename Kind::Visitor& visit) {
  const auto wanted = static_cast<std::uint64_t>(count < 0 ? -count : count);
  const std::uint64_t elements = collection.Size() == 0 ? 0 : count < 0 ? wanted : std::min(wanted, collection.Size());
  begin(elements);
  if (count < 0) {
    VisitDraws(ctx, collection, elements, visit);
  } else {
    VisitSample(collection, elements, visit);
  }
}

// How many random elements a command asks for in its argument `i`; negative: the same one may come more than once.
// Nothing: `error` says why.
inline std::optional<std::int64_t> ParseSampleCount(const Call& call, int i, std::optional<Reply>& error) {
  const auto count = ParseInteger(call.arg(i));
  if (!count) {
    error = Call::NotAnInteger();
  } else if (*count == std::numeric_limits<std::int64_t>::min()) {
    const std::string most = std::to_string(std::numeric_limits<std::int64_t>::max());
    error = Reply::Error("ERR value is out of range, value must between -" + most + " and " + most);
  }
  return error ? std::nullopt : count;
}

}  // namespace faha::module
