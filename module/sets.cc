// Redis' commands that work on the members of a set.  Semantics, replies and errors are those of Redis 7.0.
#include <algorithm>

#include "module/commands.h"
#include "module/element_scan.h"
#include "module/sampling.h"
#include "module/writers.h"

namespace faha::module::sets {
namespace {

constexpr int kSet = REDISMODULE_NOTIFY_SET;

Reply Count(std::uint64_t count) { return Reply::Integer(static_cast<std::int64_t>(count)); }

Reply SetOf(std::vector<std::string> members) {
  return Reply::By([members = std::move(members)](RedisModuleCtx* ctx) {
    RedisModule_ReplyWithSet(ctx, static_cast<long>(members.size()));
    for (const std::string& member : members) SendText(ctx, member);
  });
}

// Deletes the key instead of its members one by one.
Reply PopAll(Call& call, const Set& set) {
  std::vector<std::string> members;
  members.reserve(set.Size());
  set.ForEach([&](std::string_view member) {
    members.emplace_back(member);
    return true;
  });
  if (Status status = call.store().CheckErase(call.arg(1).size(), 1); !status.ok()) return Reply::Error(status);
  call.Notify(1, kSet, "spop");
  return After(call.Erase(1), SetOf(std::move(members)));
}

Reply PopCount(Call& call) {
  const auto count = ParseInteger(call.arg(2));
  if (!count || *count < 0) return Reply::Error("ERR value is out of range, must be positive");
  auto set = OpenKey<Set>(call, 1);
  if (!set.existed() || *count == 0) return SetOf({});
  const auto wanted = static_cast<std::uint64_t>(*count);
  if (wanted >= set->Size()) return PopAll(call, *set);
  std::vector<std::string> members;
  members.reserve(wanted);
  VisitSample(*set, wanted, [&](std::string_view member) {
    members.emplace_back(member);
    return true;
  });
  const std::vector<std::string_view> names(members.begin(), members.end());
  if (const auto removed = RemoveNamed(call, 1, set, names); !removed.ok()) return Reply::Error(removed.status());
  return After(StoreKey(call, 1, set, kSet, "spop"), SetOf(std::move(members)));
}

void SendRandomMembers(RedisModuleCtx* ctx, const Set& set, std::int64_t count) {
  const auto visit = [ctx](std::string_view member) {
    SendText(ctx, member);
    return true;
  };
  const auto begin = [ctx](std::uint64_t members) { RedisModule_ReplyWithArray(ctx, static_cast<long>(members)); };
  VisitByCount(ctx, set, count, begin, visit);
}

}  // namespace

Reply Add(Call& call) {
  auto set = OpenKey<Set>(call, 1);
  Added members;
  for (int i = 2; i < call.size(); ++i) {
    if (!set->Contains(call.arg(i))) members.Add(call.arg(i).size());
  }
  if (members.elements == 0) return Count(0);
  if (Status status = MayStore(call, 1, set, members); !status.ok()) return Reply::Error(status);
  std::uint64_t added = 0;
  for (int i = 2; i < call.size() && !IsOverfull(*set); ++i) added += set->Put(call.arg(i)) ? 1 : 0;
  return After(StoreKey(call, 1, set, kSet, "sadd"), Count(added));
}

Reply Rem(Call& call) {
  auto set = OpenKey<Set>(call, 1);
  const auto removed = RemoveArguments(call, set);
  if (!removed.ok()) return Reply::Error(removed.status());
  if (removed.value() == 0) return Count(0);
  return After(StoreKey(call, 1, set, kSet, "srem"), Reply::Integer(removed.value()));
}

Reply Move(Call& call) {
  const std::string_view member = call.arg(3);
  auto from = OpenKey<Set>(call, 1);
  if (!from.existed()) {
    (void)call.FindAny(2);  // Redis looks at both, of whatever type the target is
    return Count(0);
  }
  if (call.arg(1) == call.arg(2)) return Count(from->Contains(member) ? 1 : 0);
  auto to = OpenKey<Set>(call, 2);
  if (!call.refused().ok() || !from->Contains(member)) return Count(0);
  const bool moves = !to->Contains(member);
  const Status may =
      moves ? MayMoveElement(call, 1, *from, 2, *to, member.size()) : MayErase(call, 1, *from, member.size(), 1);
  if (!may.ok()) return Reply::Error(may);
  from->Erase(member);
  Status status = StoreKey(call, 1, from, kSet, "srem");
  if (status.ok() && moves) {
    to->Put(member);
    status = StoreKey(call, 2, to, kSet, "sadd");
  }
  return After(status, Count(1));
}

Reply IsMember(Call& call) { return Count(ReadKey<Set>(call, 1)->Contains(call.arg(2)) ? 1 : 0); }

Reply MIsMember(Call& call) {
  const auto set = ReadKey<Set>(call, 1);
  Reply::Numbers found;
  found.reserve(static_cast<std::size_t>(call.size() - 2));
  for (int i = 2; i < call.size(); ++i) found.emplace_back(set->Contains(call.arg(i)) ? 1 : 0);
  return Reply::Integers(std::move(found));
}

Reply Members(Call& call) {
  return Holding(ReadKey<Set>(call, 1), [](RedisModuleCtx* ctx, const Set& set) {
    RedisModule_ReplyWithSet(ctx, static_cast<long>(set.Size()));
    set.ForEach([ctx](std::string_view member) {
      SendText(ctx, member);
      return true;
    });
  });
}

Reply Card(Call& call) { return Count(ReadKey<Set>(call, 1)->Size()); }

Reply Pop(Call& call) {
  if (call.size() > 3) return Call::SyntaxError();
  if (call.size() == 3) return PopCount(call);
  auto set = OpenKey<Set>(call, 1);
  if (!set.existed()) return Reply::Null();
  std::string member(set->Random(Dice().Roll()));
  if (Status status = MayErase(call, 1, *set, member.size(), 1); !status.ok()) return Reply::Error(status);
  set->Erase(member);
  return After(StoreKey(call, 1, set, kSet, "spop"), Reply::Text(std::move(member)));
}

Reply RandMember(Call& call) {
  if (call.size() > 3) return Call::SyntaxError();
  if (call.size() == 2) {
    auto set = ReadKey<Set>(call, 1);
    if (!set.existed()) return Reply::Null();
    return Holding(std::move(set),
                   [](RedisModuleCtx* ctx, const Set& members) { SendText(ctx, members.Random(Dice().Roll())); });
  }
  std::optional<Reply> error;
  const auto count = ParseSampleCount(call, 2, error);
  if (!count) return *error;
  return Holding(ReadKey<Set>(call, 1),
                 [count = *count](RedisModuleCtx* ctx, const Set& set) { SendRandomMembers(ctx, set, count); });
}

Reply Scan(Call& call) { return ScanElements<Set>(call, SendText); }

}  // namespace faha::module::sets
