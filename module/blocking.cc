#include "module/blocking.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <list>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "module/commands.h"
#include "module/scratch.h"
#include "module/state.h"
#include "module/waiters.h"

namespace faha::module {
namespace {

using Clock = std::chrono::steady_clock;

struct Waiter;

// Those who wait for one key.  A key has one type at a time, so that nobody has to be passed over.
struct Queue {
  std::list<Waiter*> lists, sorted_sets;

  std::list<Waiter*>& Of(ValueType type) { return type == ValueType::kList ? lists : sorted_sets; }
  [[nodiscard]] bool empty() const { return lists.empty() && sorted_sets.empty(); }
};
struct KeyHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view key) const { return std::hash<std::string_view>()(key); }
};
using Queues = std::unordered_map<std::string, Queue, KeyHash, std::equal_to<>>;
using Deadlines = std::multimap<Clock::time_point, Waiter*>;

// The queues of each database; none of them is empty.
std::map<DbId, Queues> queues;
Deadlines deadlines;

// A place in the queue of one key.
struct Place {
  int key;  // the argument that names the key
  std::list<Waiter*>::iterator at;
};

struct Waiter {
  Waiter(const Call& call, Wish its_wish, std::int64_t ms)
      : client(RedisModule_GetClientId(call.ctx())),
        db(call.db()),
        name(call.name()),
        wish(std::move(its_wish)),
        patience(ms) {
    for (int i = 0; i < call.size(); ++i) {
      RedisModule_RetainString(nullptr, call.raw(i));
      args.push_back(call.raw(i));
    }
  }
  ~Waiter() {
    for (RedisModuleString* arg : args) RedisModule_FreeString(nullptr, arg);
  }
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;

  [[nodiscard]] std::string_view key(int i) const { return View(args[static_cast<std::size_t>(i)]); }
  // The argument that names a key for which it waits.
  [[nodiscard]] int ArgumentOf(std::string_view name_of_key) const {
    return std::find_if(places.begin(), places.end(), [&](const Place& place) { return key(place.key) == name_of_key; })
        ->key;
  }

  std::uint64_t client;
  DbId db;
  std::string_view name;
  Wish wish;
  std::int64_t patience;  // in ms; 0: for ever
  std::vector<RedisModuleString*> args;
  RedisModuleBlockedClient* blocked = nullptr;
  std::vector<Place> places;
  std::optional<Deadlines::iterator> deadline;
  std::uint64_t since = 0;      // the turn in which it began to wait
  std::optional<Reply> answer;  // once it does not wait any more
  bool released = false;        // Redis was told so
  bool sent_away = false;       // it is disconnected after the answer
};
using Shared = std::shared_ptr<Waiter>;

// By the id of the client: those who wait, and those whose answer Redis has not taken yet.
std::unordered_map<std::uint64_t, Shared> waiters;
std::vector<Shared> answered;  // in this turn
std::uint64_t turn = 0;
std::vector<std::uint64_t> sent_away;  // clients to disconnect in the next tick

// The keys that have changed, in that order, since those who wait for them were last served.
using Ready = std::vector<std::pair<DbId, std::string>>;
Ready ready;

// Events and signals of what is taken come from a client of FaHA's own, whose database is the waiting client's.
RedisModuleCtx* Context() {
  static RedisModuleCtx* const context = RedisModule_GetDetachedThreadSafeContext(TheState().context);
  return context;
}

// Nobody else would end the loop's sleep for what happens behind BEFORE_SLEEP.
void WakeBehindSleep() {
  if (TheState().gate.in_window()) RedisModule_EventLoopAddOneShot([](void*) {}, nullptr);
}

void Enqueue(Waiter& waiter) {
  Queues& of_db = queues[waiter.db];
  std::unordered_set<std::string_view> seen;
  for (int key = waiter.wish.first; key < waiter.wish.first + waiter.wish.keys; ++key) {
    if (!seen.insert(waiter.key(key)).second) continue;
    auto& queue = of_db[std::string(waiter.key(key))].Of(waiter.wish.type());
    waiter.places.push_back({key, queue.insert(queue.end(), &waiter)});
  }
}

void LeaveQueues(Waiter& waiter) {
  for (const Place& place : waiter.places) {
    Queues& of_db = queues[waiter.db];
    const auto queue = of_db.find(waiter.key(place.key));
    queue->second.Of(waiter.wish.type()).erase(place.at);
    if (queue->second.empty()) of_db.erase(queue);
    if (of_db.empty()) queues.erase(waiter.db);
  }
  waiter.places.clear();
  if (waiter.deadline) deadlines.erase(*waiter.deadline);
  waiter.deadline.reset();
}

void Answer(const Shared& waiter, Reply reply) {
  LeaveQueues(*waiter);
  waiter->answer = std::move(reply);
  answered.push_back(waiter);
  WakeBehindSleep();
}

// --- What Redis calls.

int OnReply(RedisModuleCtx* ctx, RedisModuleString**, int) {
  const Shared waiter = *static_cast<Shared*>(RedisModule_GetBlockedClientPrivateData(ctx));
  waiters.erase(waiter->client);
  if (waiter->sent_away) sent_away.push_back(waiter->client);
  return waiter->answer->SendTo(ctx);
}

void FreeWaiter(RedisModuleCtx*, void* waiter) { delete static_cast<Shared*>(waiter); }

// The client is gone, or Redis has become a replica, and has told the client so.
void OnGone(RedisModuleCtx* ctx, RedisModuleBlockedClient* blocked) {
  const auto found = waiters.find(RedisModule_GetClientId(ctx));
  if (found == waiters.end()) return;
  const Shared waiter = found->second;
  waiters.erase(found);
  LeaveQueues(*waiter);
  if (!std::exchange(waiter->released, true)) RedisModule_UnblockClient(blocked, nullptr);
}

int Block(RedisModuleCtx* ctx, const Shared& waiter) {
  waiter->blocked = RedisModule_BlockClient(ctx, OnReply, nullptr, FreeWaiter, 0);
  RedisModule_SetDisconnectCallback(waiter->blocked, OnGone);
  waiter->since = turn;
  waiters[waiter->client] = waiter;
  Enqueue(*waiter);
  if (waiter->patience != 0) {
    waiter->deadline = deadlines.emplace(Clock::now() + std::chrono::milliseconds(waiter->patience), waiter.get());
  }
  return REDISMODULE_OK;
}

// --- Serving.

template <typename Kind>
const PopFrom<Kind>& PopOf(const Wish& wish) {
  if constexpr (std::is_same_v<Kind, List>) {
    return wish.from_list;
  } else {
    return wish.from_set;
  }
}
template <typename Kind>
constexpr int kEvents = std::is_same_v<Kind, List> ? REDISMODULE_NOTIFY_LIST : REDISMODULE_NOTIFY_ZSET;

// The command of a client that waits, to be carried out now.
Call CallOf(Waiter& waiter) {
  RedisModule_SelectDb(Context(), static_cast<int>(waiter.db));
  return {Context(), waiter.args.data(), static_cast<int>(waiter.args.size()), waiter.name, waiter.db};
}

template <typename Kind>
std::optional<Reply> PopNow(Call& call, int key, const Wish& wish) {
  auto opened = OpenKey<Kind>(call, key);
  if (!opened.existed()) return std::nullopt;
  Reply reply = PopOf<Kind>(wish)(call, key, opened);
  return After(StoreKey(call, key, opened, kEvents<Kind>, wish.event), std::move(reply));
}

std::optional<Reply> TakeNow(Call& call, int key, const Wish& wish) {
  if (wish.take) return wish.take(call, key);
  return wish.from_set ? PopNow<SortedSet>(call, key, wish) : PopNow<List>(call, key, wish);
}

// Ends the unit in which these clients were served.  `status`: of what was stored.
void AnswerAll(const Call& call, Status status, std::vector<std::pair<Shared, Reply>> served) {
  if (!call.refused().ok()) status = call.refused();
  if (status.ok()) status = call.store().CheckTold();
  for (auto& [waiter, reply] : served) Answer(waiter, After(status, std::move(reply)));
  CloseUnit();
}

// The functions that serve return false if there was nothing to take.

bool ServeFirst(const Queue& queue, std::string_view key) {
  const Shared waiter = waiters.at(queue.lists.front()->client);
  Call call = CallOf(*waiter);
  auto reply = waiter->wish.take(call, waiter->ArgumentOf(key));
  if (!reply) return false;
  AnswerAll(call, Status::Ok(), {{waiter, std::move(*reply)}});
  return true;
}

// Serves those at the head of the queue that only pop.
template <typename Kind>
bool ServeTogether(const std::list<Waiter*>& queue, std::string_view key) {
  Call call = CallOf(*queue.front());
  const int argument = queue.front()->ArgumentOf(key);
  auto opened = OpenKey<Kind>(call, argument);
  if (!opened.existed()) return false;
  std::vector<std::pair<Shared, Reply>> served;
  std::vector<const char*> events;
  for (Waiter* waiter : queue) {
    const auto& pop = PopOf<Kind>(waiter->wish);
    if (!pop || opened->Size() == 0) break;
    Call its_call = CallOf(*waiter);
    Reply reply = pop(its_call, waiter->ArgumentOf(key), opened);
    served.emplace_back(waiters.at(waiter->client), After(its_call.refused(), std::move(reply)));
    if (!its_call.refused().ok()) break;
    events.push_back(waiter->wish.event);
  }
  const Status status = events.empty() ? Status::Ok() : StoreKey(call, argument, opened, kEvents<Kind>, events);
  AnswerAll(call, status, std::move(served));
  return true;
}

// Serves the first of those who wait for a value of the type that the key has.
bool ServeSome(DbId db, std::string_view key) {
  const auto of_db = queues.find(db);
  if (of_db == queues.end()) return false;
  const auto found = of_db->second.find(key);
  if (found == of_db->second.end()) return false;
  const Queue& queue = found->second;
  const auto entry = TheState().store->Get(db, key);
  if (entry && entry->type == ValueType::kSortedSet && !queue.sorted_sets.empty())
    return ServeTogether<SortedSet>(queue.sorted_sets, key);
  if (!entry || entry->type != ValueType::kList || queue.lists.empty()) return false;
  return queue.lists.front()->wish.take ? ServeFirst(queue, key) : ServeTogether<List>(queue.lists, key);
}

// May this node write now?  A full pool does not matter, for a list that is emptied is deleted.
bool MayTake() {
  const Status status = TheState().store->CheckWrite(0, 0);
  return status.ok() || status.code() == Code::kNoSpace;
}

bool InScript() { return (RedisModule_GetContextFlags(Context()) & REDISMODULE_CTX_FLAGS_LUA) != 0; }

// The time-out at argument `i`, in milliseconds, or the error.
std::optional<std::int64_t> ParseTimeout(const Call& call, int i, std::optional<Reply>& error) {
  const auto seconds = ParseFloat(call.arg(i));
  if (!seconds) {
    error = Reply::Error("ERR timeout is not a float or out of range");
    return std::nullopt;
  }
  // A greater number overflows in Redis, which then takes it for a negative one.
  constexpr long double kMost = 9223372036854775807.0L;
  const long double ms = std::ceil(*seconds * 1000);
  if (ms < 0 || ms > kMost) {
    error = Reply::Error("ERR timeout is negative");
    return std::nullopt;
  }
  // Nobody lives to see the end of a longer one, and the clock can count to this one.
  constexpr std::int64_t kForEver = std::int64_t{1000} * 3600 * 24 * 36'500;
  return std::min(static_cast<std::int64_t>(ms), kForEver);
}

}  // namespace

Reply TakeOrWait(Call& call, Wish wish) {
  std::optional<Reply> error;
  const auto patience = ParseTimeout(call, wish.timeout, error);
  if (!patience) return *error;
  for (int key = wish.first; key < wish.first + wish.keys; ++key) {
    if (auto reply = TakeNow(call, key, wish)) return *reply;
    if (!call.refused().ok()) return wish.none;
  }
  if (!MayBlock(call)) return wish.none;
  const auto waiter = std::make_shared<Waiter>(call, std::move(wish), *patience);
  return Reply::By([waiter](RedisModuleCtx* ctx) { Block(ctx, waiter); });
}

void MayServe(DbId db, std::string_view key) {
  const auto of_db = queues.find(db);
  if (of_db == queues.end() || !of_db->second.contains(key)) return;
  // A key gets its turn when there is something to take, not before that.
  const auto entry = TheState().store->Get(db, key);
  if (!entry || (entry->type != ValueType::kList && entry->type != ValueType::kSortedSet)) return;
  if (!ready.empty() && ready.back().first == db && ready.back().second == key) return;
  ready.emplace_back(db, key);
  TheState().keys_ready = true;
  WakeBehindSleep();
}

void MayServeAll(DbId db) {
  const auto of_db = queues.find(db);
  if (of_db == queues.end()) return;
  for (const auto& [key, queue] : of_db->second) MayServe(db, key);
}

void MayServeAll() {
  for (const auto& [db, of_db] : queues) MayServeAll(db);
}

// A client that is served may push by itself, to a key for which others wait: they are served in the next round.
void ServeWaiting() {
  static bool serving = false;
  if (serving || InScript() || !MayTake()) return;
  serving = true;
  while (!ready.empty()) {
    for (const auto& [db, key] : std::exchange(ready, {})) {
      while (ServeSome(db, key)) continue;
    }
  }
  TheState().keys_ready = false;
  serving = false;
}

void BlockedTurnEnds(bool committed) {
  ++turn;
  for (const Shared& waiter : std::exchange(answered, {})) {
    if (waiter->released) continue;  // it is gone
    if (committed) {
      waiter->released = true;
      RedisModule_UnblockClient(waiter->blocked, new Shared(waiter));
    } else {
      RedisModule_DeauthenticateAndCloseClient(Context(), waiter->client);  // OnGone follows
    }
  }
}

void TendBlocked(RedisModuleCtx* ctx) {
  for (const std::uint64_t client : std::exchange(sent_away, {})) RedisModule_DeauthenticateAndCloseClient(ctx, client);
  if (deadlines.empty()) return;
  const auto now = Clock::now();
  while (!deadlines.empty() && deadlines.begin()->first <= now) {
    Answer(waiters.at(deadlines.begin()->second->client), NullArray());
  }
}

bool IsBlockedSinceBefore(std::uint64_t client) {
  const auto found = waiters.find(client);
  return found != waiters.end() && !found->second->answer && found->second->since < turn;
}

bool AnyoneIsServed() {
  return std::any_of(waiters.begin(), waiters.end(), [](const auto& each) { return each.second->answer.has_value(); });
}

void InterruptBlocked() {
  for (const auto& [client, waiter] : waiters) {
    if (waiter->answer) continue;
    waiter->sent_away = true;
    Answer(waiter, Reply::Error("UNBLOCKED force unblock from blocking operation, instance state changed (master -> "
                                "replica?)"));
  }
}

Reply server::Unblock(Call& call) {
  BeginUnit(call.ctx());
  const bool fails = call.size() == 4 && call.Is(3, "error");
  const bool known = call.size() == 3 || fails || (call.size() == 4 && call.Is(3, "timeout"));
  const auto id = ParseInteger(call.arg(2));
  const auto found = known && id ? waiters.find(static_cast<std::uint64_t>(*id)) : waiters.end();
  if (found == waiters.end()) return Reply::Native(RunNative(call, "client"));
  if (found->second->answer) return Reply::Integer(0);
  Answer(found->second, fails ? Reply::Error("UNBLOCKED client unblocked via CLIENT UNBLOCK") : NullArray());
  return Reply::Integer(1);
}

}  // namespace faha::module
