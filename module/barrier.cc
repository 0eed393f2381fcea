#include "module/barrier.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "module/client_list.h"
#include "module/state.h"

namespace faha::module {
namespace {

bool asked = false;       // the module has turned the barrier on once; an operator who turns it off again is obeyed
bool complained = false;  // said that the operator's choice is slow
bool changed = true;      // look again
// Clients whose replies have waited since before the setting held: they have no barrier until their replies are gone.
std::optional<std::set<std::string, std::less<>>> unordered;

// AOF is on, and past the rewrite with which a running server starts it: only then does Redis set the barrier.
bool Holds(RedisModuleCtx* ctx) {
  RedisModuleServerInfoData* info = RedisModule_GetServerInfo(ctx, "persistence");
  const auto field = [&](const char* name) {
    int error = REDISMODULE_OK;
    const long long value = RedisModule_ServerInfoGetFieldSigned(info, name, &error);
    return error == REDISMODULE_OK ? value : 0;
  };
  const bool on = field("aof_enabled") == 1;
  const bool starting = field("aof_rewrite_in_progress") == 1 || field("aof_rewrite_scheduled") == 1;
  RedisModule_FreeServerInfo(ctx, info);
  return on && !starting;
}

// The ids of the clients, replicas apart, whose replies wait for a writable socket.
std::set<std::string, std::less<>> WaitingClients(RedisModuleCtx* ctx) {
  std::set<std::string, std::less<>> waiting;
  ForEachClient(ctx, [&](const ListedClient& client) {
    const bool replica = client.Field("flags").find('S') != std::string_view::npos;
    if (!replica && client.Field("events").find('w') != std::string_view::npos) waiting.emplace(client.Field("id"));
  });
  return waiting;
}

// Redis gives a client its barrier when its replies begin to wait, so those that waited before must go first.
bool AllOrdered(RedisModuleCtx* ctx) {
  const auto waiting = WaitingClients(ctx);
  if (!unordered) {
    unordered = waiting;
  } else {
    std::erase_if(*unordered, [&](const std::string& id) { return !waiting.contains(id); });
  }
  return unordered->empty();
}

bool SettingsAreRight(RedisModuleCtx* ctx) {
  return ConfigValue(ctx, "appendonly") == "yes" && ConfigValue(ctx, "appendfsync") == "always";
}

void TurnOn(RedisModuleCtx* ctx) {
  asked = true;
  Log(LogLevel::kNotice,
      "turning on appendonly with appendfsync always: Redis orders replies by it, and the file stays "
      "empty; until it is on, every write commits by itself");
  if (!Run(ctx, "CONFIG", "SET", "appendfsync", "always", "appendonly", "yes")) {
    Log(LogLevel::kWarning,
        "BADCONFIG the server refuses appendonly yes: every write commits by itself, which is slow; "
        "set appendonly yes and appendfsync always");
  }
}

void LookAgain() {
  TheState().barrier = false;
  changed = true;
  unordered.reset();
}

void OnConfigChange(RedisModuleCtx*, RedisModuleEvent, uint64_t, void* data) {
  const auto* change = static_cast<RedisModuleConfigChangeV1*>(data);
  const bool ours = std::any_of(change->config_names, change->config_names + change->num_changes, [](const char* name) {
    return std::string_view(name) == "appendonly" || std::string_view(name) == "appendfsync";
  });
  if (!ours) return;
  LookAgain();
}

// A replica that loads its primary's data set stops its AOF and starts it again.
void OnLoading(RedisModuleCtx*, RedisModuleEvent, uint64_t, void*) { LookAgain(); }

}  // namespace

bool StartBarrier(RedisModuleCtx* ctx) {
  return RedisModule_SubscribeToServerEvent(ctx, RedisModuleEvent_Config, OnConfigChange) == REDISMODULE_OK &&
         RedisModule_SubscribeToServerEvent(ctx, RedisModuleEvent_Loading, OnLoading) == REDISMODULE_OK &&
         RedisModule_SubscribeToServerEvent(ctx, RedisModuleEvent_ReplicationRoleChanged, OnLoading) == REDISMODULE_OK;
}

void CheckBarrier(RedisModuleCtx* ctx) {
  State& state = TheState();
  if (state.barrier || !changed || state.mutant == Mutant::kNoBarrier) return;
  if ((RedisModule_GetContextFlags(ctx) & REDISMODULE_CTX_FLAGS_LOADING) != 0) return;
  if (SettingsAreRight(ctx)) {
    state.barrier = Holds(ctx) && AllOrdered(ctx);
    changed = !state.barrier;
    complained = false;
  } else if (!asked) {
    TurnOn(ctx);
  } else if (!complained) {
    complained = true;
    changed = false;
    Log(LogLevel::kWarning,
        "BADCONFIG appendonly yes with appendfsync always was turned off: every write commits by itself "
        "now, which is slow");
  }
}

}  // namespace faha::module
