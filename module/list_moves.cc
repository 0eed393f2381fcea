// Redis' commands that take elements from one of several lists, or from one list to another, and those of them that
// wait.  Semantics, replies and errors are those of Redis 7.0.
#include "module/blocking.h"
#include "module/commands.h"
#include "module/lists.h"

namespace faha::module::lists {
namespace {

constexpr int kList = REDISMODULE_NOTIFY_LIST;

// The index of the element at that end of a list that is not empty.
std::uint64_t IndexAt(const List& list, End end) { return end == End::kLeft ? 0 : list.Size() - 1; }

// The source and the target are one list.
Status Rotate(Call& call, const Way& way, Opened<List>& list, std::string_view element) {
  const Status may = MayMoveElement(call, way.from, *list, way.to, *list, element.size());
  if (!may.ok()) return may;
  list->Erase(IndexAt(*list, way.from_end), 1);
  Put(*list, way.to_end, element);
  if (Status status = StoreKey(call, way.to, list, kList, PushEvent(way.to_end)); !status.ok()) return status;
  call.Changed(way.from, kList, PopEvent(way.from_end));
  return Status::Ok();
}

// Returns nothing if there is nothing to move.
std::optional<Reply> MoveIfAny(Call& call, const Way& way) {
  auto source = OpenKey<List>(call, way.from);
  return source.existed() ? std::optional(Move(call, way, source)) : std::nullopt;
}

Reply MoveWith(Call& call, const Way& way) { return MoveIfAny(call, way).value_or(Reply::Null()); }

Reply MoveOrWait(Call& call, const Way& way, int timeout) {
  return TakeOrWait(call,
                    {.first = way.from, .timeout = timeout, .none = Reply::Null(), .take = [way](Call& its_call, int) {
                       return MoveIfAny(its_call, way);
                     }});
}

// The reply is the name of the key and the element.
Reply PopOrWait(Call& call, End end) {
  const auto pop = [end](Call& its_call, int key, Opened<List>& list) {
    Elements shown{std::string(its_call.arg(key))};
    if (Status status = Take(its_call, key, list, end, 1, shown); !status.ok()) its_call.Refuse(std::move(status));
    return Reply::By([shown = std::move(shown)](RedisModuleCtx* ctx) { Send(ctx, shown); });
  };
  return TakeOrWait(call,
                    {.keys = call.size() - 2, .timeout = call.size() - 1, .from_list = pop, .event = PopEvent(end)});
}

// What LMPOP asks for.
struct Wanted {
  int first = 0, keys = 0;  // the arguments that are its keys
  End end = End::kLeft;
  std::uint64_t count = 1;
};

// Parses a number that must be at least 1.
std::optional<std::int64_t> ParsePositive(std::string_view text) {
  const auto number = ParseInteger(text);
  return number && *number > 0 ? number : std::nullopt;
}

// Argument `at` is the number of the keys.
std::optional<Reply> ParseWanted(const Call& call, int at, Wanted& wanted) {
  const auto keys = ParsePositive(call.arg(at));
  if (!keys) return Reply::Error("ERR numkeys should be greater than 0");
  if (*keys > call.size() - at - 2) return Call::SyntaxError();
  wanted.first = at + 1;
  wanted.keys = static_cast<int>(*keys);
  const int after = wanted.first + wanted.keys;
  const auto end = ParseEnd(call, after);
  if (!end) return Call::SyntaxError();
  wanted.end = *end;
  if (after + 1 == call.size()) return std::nullopt;
  if (!call.Is(after + 1, "count") || after + 2 == call.size()) return Call::SyntaxError();
  const auto count = ParsePositive(call.arg(after + 2));
  if (!count) return Reply::Error("ERR count should be greater than 0");
  if (after + 3 != call.size()) return Call::SyntaxError();
  wanted.count = static_cast<std::uint64_t>(*count);
  return std::nullopt;
}

// The name of the key at argument `key`, and an array of elements.
Reply WithKey(const Call& call, int key, Elements popped) {
  return Reply::By([name = std::string(call.arg(key)), popped = std::move(popped)](RedisModuleCtx* ctx) {
    RedisModule_ReplyWithArray(ctx, 2);
    SendText(ctx, name);
    Send(ctx, popped);
  });
}

constexpr int kTakes = REDISMODULE_CMD_KEY_RW | REDISMODULE_CMD_KEY_ACCESS | REDISMODULE_CMD_KEY_DELETE;

}  // namespace

Reply Move(Call& call, const Way& way, Opened<List>& source) {
  std::string element(source->At(IndexAt(*source, way.from_end)).value_or(""));
  if (call.arg(way.from) == call.arg(way.to)) {
    const Status status = Rotate(call, way, source, element);
    return After(status, Reply::Text(std::move(element)));
  }
  auto target = OpenKey<List>(call, way.to);
  const Status may = MayMoveElement(call, way.from, *source, way.to, *target, element.size());
  if (!may.ok()) return Reply::Error(may);
  source->Erase(IndexAt(*source, way.from_end), 1);
  Put(*target, way.to_end, element);
  Status status = StoreKey(call, way.to, target, kList, PushEvent(way.to_end));
  if (status.ok()) status = StoreKey(call, way.from, source, kList, PopEvent(way.from_end));
  return After(status, Reply::Text(std::move(element)));
}

Reply LMove(Call& call) {
  const auto from = ParseEnd(call, 3), to = ParseEnd(call, 4);
  if (!from || !to) return Call::SyntaxError();
  return MoveWith(call, {.from = 1, .to = 2, .from_end = *from, .to_end = *to});
}

Reply RPopLPush(Call& call) { return MoveWith(call, {.from = 1, .to = 2}); }

Reply LMPop(Call& call) {
  Wanted wanted;
  if (auto error = ParseWanted(call, 1, wanted)) return *error;
  for (int key = wanted.first; key < wanted.first + wanted.keys; ++key) {
    auto list = OpenKey<List>(call, key);
    if (!call.refused().ok()) return Reply::Error(call.refused());
    if (!list.existed()) continue;
    Elements popped;
    const Status status = Pop(call, key, list, wanted.end, wanted.count, popped);
    return After(status, WithKey(call, key, std::move(popped)));
  }
  return NullArray();
}

void FindLMPopKeys(const Call& call) { FindCountedKeys(call, 1, kTakes); }

Reply BLPop(Call& call) { return PopOrWait(call, End::kLeft); }
Reply BRPop(Call& call) { return PopOrWait(call, End::kRight); }

Reply BLMove(Call& call) {
  const auto from = ParseEnd(call, 3), to = ParseEnd(call, 4);
  if (!from || !to) return Call::SyntaxError();
  return MoveOrWait(call, {.from = 1, .to = 2, .from_end = *from, .to_end = *to}, 5);
}

Reply BRPopLPush(Call& call) { return MoveOrWait(call, {.from = 1, .to = 2}, 3); }

Reply BLMPop(Call& call) {
  Wanted wanted;
  if (auto error = ParseWanted(call, 2, wanted)) return *error;
  const auto pop = [wanted](Call& its_call, int key, Opened<List>& list) {
    Elements popped;
    Status status = Take(its_call, key, list, wanted.end, wanted.count, popped);
    if (!status.ok()) its_call.Refuse(std::move(status));
    return WithKey(its_call, key, std::move(popped));
  };
  return TakeOrWait(
      call,
      {.first = wanted.first, .keys = wanted.keys, .timeout = 1, .from_list = pop, .event = PopEvent(wanted.end)});
}

void FindBLMPopKeys(const Call& call) { FindCountedKeys(call, 2, kTakes); }

}  // namespace faha::module::lists
