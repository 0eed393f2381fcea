#include "module/shutdown.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <optional>
#include <utility>

#include "module/sentinels.h"
#include "module/snapshot.h"
#include "module/state.h"

namespace faha::module {
namespace {

std::atomic<int> received{0};    // the last signal that Redis was given, until it is carried out or forgotten
std::atomic<int> held{0};        // a signal that waits until the role is handed over
std::atomic<bool> holds{false};  // the next signal is to wait for the hand-over
static_assert(std::atomic<int>::is_always_lock_free, "a signal handler stores it");

struct sigaction redis_on_term, redis_on_int;

// How far Redis has come with the signal.  Redis' cron decides about a signal, and the module sees an event at the end
// of each cron.  The first event after the signal may end a cron that had not seen the signal; the second event cannot.
bool judged = false;       // the previous cron has decided at the latest
bool child_lived = false;  // a child of Redis lived, or ended, since that cron began
bool refused = false;      // because of that child
bool ends_soon = false;    // see EndsSoon()

const struct sigaction& ActionOfRedis(int number) { return number == SIGINT ? redis_on_int : redis_on_term; }

void GiveToRedis(int number, siginfo_t* info, void* context) {
  const struct sigaction& action = ActionOfRedis(number);
  if ((action.sa_flags & SA_SIGINFO) != 0) {
    action.sa_sigaction(number, info, context);
  } else {
    action.sa_handler(number);
  }
}

void OnSignal(int number, siginfo_t* info, void* context) {
  if (holds.load() && held.exchange(number) == 0) return;
  received.store(number);
  GiveToRedis(number, info, context);
}

bool Watch(int number, struct sigaction& redis_action) {
  if (sigaction(number, nullptr, &redis_action) != 0) return false;
  // If nobody handles the signal, nothing could forget it.
  const bool handled = (redis_action.sa_flags & SA_SIGINFO) != 0 ||
                       (redis_action.sa_handler != SIG_DFL && redis_action.sa_handler != SIG_IGN);
  if (!handled) return true;
  struct sigaction ours = redis_action;
  ours.sa_flags |= SA_SIGINFO;
  ours.sa_sigaction = OnSignal;
  return sigaction(number, &ours, nullptr) == 0;
}

long long Field(RedisModuleCtx* ctx, const char* section, const char* name) {
  RedisModuleServerInfoData* info = RedisModule_GetServerInfo(ctx, section);
  int error = REDISMODULE_OK;
  const long long value = RedisModule_ServerInfoGetFieldSigned(info, name, &error);
  RedisModule_FreeServerInfo(ctx, info);
  return error == REDISMODULE_OK ? value : 0;
}

// Redis waits for its replicas before it ends; INFO has this field only while Redis waits.
bool WaitsForReplicas(RedisModuleCtx* ctx) {
  RedisModuleServerInfoData* info = RedisModule_GetServerInfo(ctx, "server");
  const bool waits = RedisModule_ServerInfoGetFieldC(info, "shutdown_in_milliseconds") != nullptr;
  RedisModule_FreeServerInfo(ctx, info);
  return waits;
}

// A snapshot's child does not count: a shutdown ends it, and is not refused because of it.
void OnChild(RedisModuleCtx*, RedisModuleEvent, uint64_t, void*) { child_lived = child_lived || !SnapshotIsUnderWay(); }

// Redis does not end if it cannot write its own files.  They hold nothing that counts, for the pool has everything.
void EndWithoutFiles(RedisModuleCtx* ctx, int number) {
  static bool tried = false;
  ForgetSignal();
  if (std::exchange(tried, true)) return;
  Log(LogLevel::kWarning, "Redis would not end, for the reason above: it is asked again, without its own files");
  Run(ctx, "CONFIG", "SET", number == SIGINT ? "shutdown-on-sigint" : "shutdown-on-sigterm", "nosave force");
  received.store(number);
  GiveToRedis(number, nullptr, nullptr);
}

// Called at the end of each of Redis' crons.
void OnCron(RedisModuleCtx* ctx, RedisModuleEvent, uint64_t, void*) {
  const int number = received.load();
  ends_soon = WaitsForReplicas(ctx);
  if (ends_soon) Run(ctx, "CLIENT", "KILL", "TYPE", "REPLICA");
  if (number == 0) {
    child_lived = false;
    return;
  }
  const bool writing = Field(ctx, "persistence", "aof_rewrite_in_progress") == 1;
  child_lived = child_lived || writing;
  if (ends_soon) {
    judged = true;  // and Redis will decide again
    return;
  }
  if (!std::exchange(judged, true)) return;
  refused = refused || child_lived;
  if (!refused) return EndWithoutFiles(ctx, number);
  if (writing) return;
  ForgetSignal();
  Log(LogLevel::kNotice, "Redis would not end while it wrote its first AOF: it is asked again");
  received.store(number);
  GiveToRedis(number, nullptr, nullptr);
}

using Time = std::chrono::steady_clock::time_point;
struct HandOver {
  Time began;
  bool ordered = false;  // ordered by this node, because Sentinel ordered nothing
  bool done = false;
};
std::optional<HandOver> hand_over;
// Sentinel's failover takes a second or two; if it has not come by then, the shutdown goes on without Sentinel.
constexpr std::chrono::milliseconds kSentinelTakes{3000}, kAllTakes{8000};

bool MayHandOver() {
  const StoreInfo info = TheState().store->Info();
  return info.role == Role::kPrimary && std::any_of(info.peers.begin(), info.peers.end(),
                                                    [](const PeerInfo& peer) { return peer.voting && peer.in_sync; });
}

void EndNow() {
  hand_over.reset();
  TheSentinels().Leave(false);
  const int number = held.exchange(0);
  received.store(number);
  GiveToRedis(number, nullptr, nullptr);
}

}  // namespace

void TendShutdown(RedisModuleCtx* ctx) {
  const bool may = MayHandOver();
  holds.store(may);
  if (held.load() == 0) return;
  const Time now = std::chrono::steady_clock::now();
  const bool watched = Sentinels::Watched(ctx), asks = TheState().options.sentinel_failover;
  if (watched && !asks) return EndNow();  // all is left to Sentinel
  if (!hand_over) {
    Log(LogLevel::kNotice, "a signal to end: the primary's role is handed over first");
    hand_over = HandOver{now};
    TheSentinels().Leave(true);
  }
  if (may && watched && now - hand_over->began < kSentinelTakes) return;
  if (may && !std::exchange(hand_over->ordered, true)) {
    TheState().store->HandOver(std::nullopt, [](const Status& status) {
      if (!status.ok()) Log(LogLevel::kWarning, status.ToString());
      if (hand_over) hand_over->done = true;
    });
  }
  if (hand_over->ordered && !hand_over->done && now - hand_over->began < kAllTakes) return;
  EndNow();
}

bool EndsSoon() { return ends_soon; }

int ReceivedSignal() { return received.load(); }

void ForgetSignal() {
  received.store(0);
  judged = child_lived = refused = false;
}

bool StartWatchingSignals(RedisModuleCtx* ctx) {
  return Watch(SIGTERM, redis_on_term) && Watch(SIGINT, redis_on_int) &&
         RedisModule_SubscribeToServerEvent(ctx, RedisModuleEvent_ForkChild, OnChild) == REDISMODULE_OK &&
         RedisModule_SubscribeToServerEvent(ctx, RedisModuleEvent_CronLoop, OnCron) == REDISMODULE_OK;
}

}  // namespace faha::module
