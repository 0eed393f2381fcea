// The module: wires the store to the server.  Thread: main loop only.
// The way of a command: filter.cc -> commands.cc -> strings.cc or generic.cc -> faha/store.h; a turn's end: gate.cc.
#include <filesystem>
#include <string>

#include "faha/version.h"
#include "module/active_expiry.h"
#include "module/barrier.h"
#include "module/blocking.h"
#include "module/client_list.h"
#include "module/commands.h"
#include "module/config.h"
#include "module/filter.h"
#include "module/functions.h"
#include "module/gate.h"
#include "module/limits.h"
#include "module/memory.h"
#include "module/names.h"
#include "module/native_data.h"
#include "module/node_status.h"
#include "module/redis_api.h"
#include "module/roles.h"
#include "module/sentinels.h"
#include "module/shutdown.h"
#include "module/state.h"
#include "module/strays.h"
#include "module/ticks.h"

namespace faha::module {

void Log(LogLevel level, std::string_view line) {
  const char* name = REDISMODULE_LOGLEVEL_WARNING;
  switch (level) {
    case LogLevel::kDebug: name = REDISMODULE_LOGLEVEL_DEBUG; break;
    case LogLevel::kVerbose: name = REDISMODULE_LOGLEVEL_VERBOSE; break;
    case LogLevel::kNotice: name = REDISMODULE_LOGLEVEL_NOTICE; break;
    case LogLevel::kWarning: break;
  }
  RedisModule_Log(nullptr, name, "faha: %.*s", static_cast<int>(line.size()), line.data());
}

namespace {

// Peers have sent something.  Redis is told a new role at once, because the client that asked for the new role writes
// as soon as it hears of it.
void OnReadable(int, void* ctx, int) {
  TheState().store->Poll();
  TheRoles().Align(static_cast<RedisModuleCtx*>(ctx));
  AlignFunctions(static_cast<RedisModuleCtx*>(ctx));
}

void Tick(RedisModuleCtx* ctx) {
  EndUnit();
  TendMemory();
  TheState().store->Tick();
  TendBlocked(ctx);
  TheRoles().Tick(ctx);
  AlignFunctions(ctx);
  TheSentinels().Tick(ctx);
  TendShutdown(ctx);
  CheckBarrier(ctx);
  ExpireSome(ctx);
  LookForStrays(ctx);
}

Status OpenStore(Options options) {
  State& state = TheState();
  options.log = Log;
  Env env;
  env.memory = &ServerMemory();
  auto opened = Store::Open(options, &TheRoles(), std::move(env));
  if (!opened.ok()) return opened.status();
  state.store = std::move(opened.value());
  TheSentinels().Recall();
  return Status::Ok();
}

bool TakeDatabases(RedisModuleCtx* ctx, Options& options) {
  constexpr std::int64_t kMaxDatabases = kHiddenDb;
  const std::int64_t databases = ParseInteger(ConfigValue(ctx, "databases")).value_or(1);
  if (databases > kMaxDatabases) {
    Log(LogLevel::kWarning, "BADCONFIG databases is over the limit of " + std::to_string(kMaxDatabases) + ": lower it");
    return false;
  }
  TheState().databases = static_cast<DbId>(databases);
  options.databases = TheState().databases;
  return true;
}

// A command that is queued, or waits, before FaHA is loaded would run natively afterwards.
bool NobodyIsAmidst(RedisModuleCtx* ctx) {
  bool open = false, waits = false, replica = false;
  ForEachClient(ctx, [&](const ListedClient& client) {
    open = open || client.Field("multi") != "-1";
    replica = replica || client.Field("flags").find('S') != std::string_view::npos;
    waits = waits || client.Field("flags").find('b') != std::string_view::npos;
  });
  if (open) Log(LogLevel::kWarning, "UNAVAILABLE a client is in a transaction (MULTI): load FaHA once none is");
  if (waits) Log(LogLevel::kWarning, "UNAVAILABLE a client waits (BLPOP, say): load FaHA once none does");
  if (replica)
    Log(LogLevel::kWarning,
        "UNAVAILABLE a replica without FaHA is connected, and would stay empty: load FaHA once none is");
  return !open && !waits && !replica;
}

bool Start(RedisModuleCtx* ctx) {
  RedisModule_SetModuleOptions(ctx, REDISMODULE_OPTION_NO_IMPLICIT_SIGNAL_MODIFIED);  // see scratch.h
  TheState().context = RedisModule_GetDetachedThreadSafeContext(ctx);
  if (const Status status = CheckNames(ctx); !status.ok()) {
    Log(LogLevel::kWarning, status.ToString());
    return false;
  }
  if (!NobodyIsAmidst(ctx)) return false;
  MakeReplies(ctx);
  Options options;
  if (!LoadConfigs(ctx, options) || !TakeDatabases(ctx, options)) return false;
  if (const Status status = CheckLimits(ctx, options); !status.ok()) {
    Log(LogLevel::kWarning, status.ToString());
    return false;
  }
  std::error_code error;
  if (!NoNativeData(ctx, std::filesystem::exists(options.pool_path, error))) return false;
  // The checkpoint lies beside the pool.  Nothing can lie beside a device, so in that case it lies in the server's dir.
  const bool device = std::filesystem::is_character_file(options.pool_path, error);
  options.checkpoint_path = device ? "faha.index" : options.pool_path + ".index";
  if (const Status status = OpenStore(options); !status.ok()) {
    Log(LogLevel::kWarning, status.ToString());
    return false;
  }
  if (!CreateCommands(ctx) || !StartFiltering(ctx) || !StartCommitting(ctx) || !StartBarrier(ctx) || !AddInfo(ctx) ||
      !StartWatchingSignals(ctx) || !StartWatchingLoads(ctx)) {
    Log(LogLevel::kWarning, "BADCONFIG the server refuses a part of the module: FaHA needs Redis 7.0 or later");
    return false;
  }
  const int descriptor = TheState().store->descriptor();
  if (descriptor >= 0) {
    RedisModule_EventLoopAdd(descriptor, REDISMODULE_EVENTLOOP_READABLE, OnReadable, TheState().context);
  }
  if (!StartTicking(Store::kTickPeriod, Tick)) {
    Log(LogLevel::kWarning, "UNAVAILABLE the server gives no timer: see its limit of open files");
    return false;
  }
  return TheRoles().Start(ctx);
}

}  // namespace
}  // namespace faha::module

#define FAHA_EXPORT extern "C" __attribute__((visibility("default")))

FAHA_EXPORT int RedisModule_OnLoad(RedisModuleCtx* ctx, RedisModuleString** argv, int argc) {
  if (RedisModule_Init(ctx, "faha", faha::VersionNumber(), REDISMODULE_APIVER_1) == REDISMODULE_ERR)
    return REDISMODULE_ERR;
  if (argc > 0) {
    faha::module::Log(
        faha::LogLevel::kWarning,
        "BADCONFIG the module takes no arguments, and '" + std::string(faha::module::View(argv[0])).substr(0, 64) +
            "' is one: settings are lines of redis.conf, such as faha.pool-bytes 4gb, or options, such as "
            "--faha.pool-bytes 4gb");
    return REDISMODULE_ERR;
  }
  return faha::module::Start(ctx) ? REDISMODULE_OK : REDISMODULE_ERR;
}

// The keyspace belongs to the module, so the module cannot be unloaded while the server runs.
FAHA_EXPORT int RedisModule_OnUnload(RedisModuleCtx*) {
  faha::module::Log(
      faha::LogLevel::kWarning,
      "BADCONFIG FaHA holds the keyspace and stays loaded, also where MODULE LOADEX had a setting that the server "
      "does not know: restart the server to be without it");
  return REDISMODULE_ERR;
}
