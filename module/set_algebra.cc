// Intersections, unions and differences of sets.  Semantics, replies and errors are those of Redis 7.0.
#include <algorithm>
#include <unordered_set>

#include "module/commands.h"
#include "module/writers.h"

namespace faha::module::sets {
namespace {

using Sets = std::vector<Opened<Set>>;

// Opens the sets under the keys at the arguments `first` to `end` - 1.  False: one is no set, and the call is refused.
bool OpenAll(Call& call, int first, int end, Sets& sets) {
  bool expired = false;
  for (int i = first; i < end; ++i) {
    call.FetchAhead(i);
    (void)call.Peek(i, expired);
  }
  sets.reserve(static_cast<std::size_t>(end - first));
  for (int i = first; i < end; ++i) {
    sets.push_back(ReadKey<Set>(call, i));
    if (!call.refused().ok()) return false;
    // The delete of an expired key is a write, which would end the views of the sets before it.
    if (expired) sets.back()->Own();
  }
  return true;
}

// An operation visits the members of its result, each once, until `visit` returns false.
using Operation = void (*)(const Sets&, const Set::Visitor& visit);

void Intersect(const Sets& sets, const Set::Visitor& visit) {
  std::vector<const Set*> by_size;
  for (const auto& set : sets) by_size.push_back(&*set);
  std::sort(by_size.begin(), by_size.end(), [](const Set* a, const Set* b) { return a->Size() < b->Size(); });
  by_size.front()->ForEach([&](std::string_view member) {
    const bool everywhere =
        std::all_of(by_size.begin() + 1, by_size.end(), [member](const Set* set) { return set->Contains(member); });
    return !everywhere || visit(member);
  });
}

void Unite(const Sets& sets, const Set::Visitor& visit) {
  if (sets.size() == 1) return sets.front()->ForEach(visit);
  std::unordered_set<std::string_view> seen;
  bool goes_on = true;
  for (const auto& set : sets) {
    set->ForEach([&](std::string_view member) {
      if (seen.insert(member).second) goes_on = visit(member);
      return goes_on;
    });
    if (!goes_on) return;
  }
}

// Looks each member of the first set up in the others.
void SubtractByLookUp(const Set& first, std::vector<const Set*> others, const Set::Visitor& visit) {
  // What is to be left out is found soonest in the largest one.
  std::sort(others.begin(), others.end(), [](const Set* a, const Set* b) { return a->Size() > b->Size(); });
  first.ForEach([&](std::string_view member) {
    const bool elsewhere =
        std::any_of(others.begin(), others.end(), [member](const Set* set) { return set->Contains(member); });
    return elsewhere || visit(member);
  });
}

// Removes the members of the others from those of the first set.
void SubtractByRemoval(const Set& first, const std::vector<const Set*>& others, const Set::Visitor& visit) {
  std::unordered_set<std::string_view> left;
  first.ForEach([&](std::string_view member) {
    left.insert(member);
    return true;
  });
  for (const Set* set : others) {
    set->ForEach([&](std::string_view member) {
      left.erase(member);
      return !left.empty();
    });
  }
  for (const std::string_view member : left) {
    if (!visit(member)) return;
  }
}

void Subtract(const Sets& sets, const Set::Visitor& visit) {
  const Set& first = *sets.front();
  std::vector<const Set*> others;
  std::uint64_t members = first.Size();
  for (auto set = sets.begin() + 1; set != sets.end(); ++set) {
    if ((*set)->Size() == 0) continue;
    others.push_back(&**set);
    members += (*set)->Size();
  }
  // The second way takes a step for each member of each set, and memory for those of the first one.
  if (first.Size() * (others.size() + 1) / 2 <= members) return SubtractByLookUp(first, std::move(others), visit);
  SubtractByRemoval(first, others, visit);
}

Reply Show(Call& call, Operation operation) {
  auto sets = std::make_shared<Sets>();
  if (!OpenAll(call, 1, call.size(), *sets)) return Reply::Null();
  return Reply::By([sets = std::move(sets), operation](RedisModuleCtx* ctx) {
    RedisModule_ReplyWithSet(ctx, REDISMODULE_POSTPONED_LEN);
    long members = 0;
    operation(*sets, [&](std::string_view member) {
      SendText(ctx, member);
      ++members;
      return true;
    });
    RedisModule_ReplySetSetLength(ctx, members);
  });
}

Reply StoreResult(Call& call, Operation operation, const char* event) {
  Sets sets;
  if (!OpenAll(call, 2, call.size(), sets)) return Reply::Null();
  Packer packer;
  operation(sets, [&](std::string_view member) {
    packer.Add(member);
    return true;
  });
  auto result = OpenPacked<Set>(packer.bytes());
  const auto size = static_cast<std::int64_t>(result->Size());
  return After(ReplaceKey(call, 1, std::move(result), REDISMODULE_NOTIFY_SET, event), Reply::Integer(size));
}

}  // namespace

Reply Inter(Call& call) { return Show(call, Intersect); }
Reply Union(Call& call) { return Show(call, Unite); }
Reply Diff(Call& call) { return Show(call, Subtract); }
Reply InterStore(Call& call) { return StoreResult(call, Intersect, "sinterstore"); }
Reply UnionStore(Call& call) { return StoreResult(call, Unite, "sunionstore"); }
Reply DiffStore(Call& call) { return StoreResult(call, Subtract, "sdiffstore"); }

Reply InterCard(Call& call) {
  const auto keys = ParseInteger(call.arg(1));
  if (!keys || *keys < 1) return Reply::Error("ERR numkeys should be greater than 0");
  if (*keys > call.size() - 2) return Reply::Error("ERR Number of keys can't be greater than number of args");
  const int end = 2 + static_cast<int>(*keys);
  std::int64_t limit = 0;
  for (int i = end; i < call.size(); i += 2) {
    if (!call.Is(i, "limit") || i + 1 == call.size()) return Call::SyntaxError();
    const auto number = ParseInteger(call.arg(i + 1));
    if (!number || *number < 0) return Reply::Error("ERR LIMIT can't be negative");
    limit = *number;
  }
  Sets sets;
  if (!OpenAll(call, 2, end, sets)) return Reply::Null();
  std::int64_t members = 0;
  Intersect(sets, [&](std::string_view) { return ++members != limit; });
  return Reply::Integer(members);
}

}  // namespace faha::module::sets
