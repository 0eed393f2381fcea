#include "module/barrier.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "module/call.h"
#include "module/client_list.h"
#include "module/state.h"

namespace faha::module {
namespace {

bool asked = false;       // the module has turned the barrier on once; an operator who turns it off again is obeyed
bool complained = false;  // it was logged that the operator's choice is slow
bool changed = true;      // the barrier must be checked again
std::chrono::steady_clock::time_point forget_at;  // when to look which unordered clients have read their replies
constexpr std::chrono::seconds kForgetPeriod{1};

// Is the AOF on, and is the rewrite over with which a running server starts it?  Only then does Redis set the barrier.
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

// The clients with waiting replies.  Redis decides on a client's barrier when its replies begin to wait, and the
// replies of these clients may have waited before the barrier was on.
std::vector<std::uint64_t> WaitingClients(RedisModuleCtx* ctx, std::span<const std::uint64_t> among = {}) {
  std::vector<std::uint64_t> waiting;
  ForEachClient(
      ctx,
      [&](const ListedClient& client) {
        const bool replica = client.Field("flags").find('S') != std::string_view::npos;
        if (replica || client.Field("events").find('w') == std::string_view::npos) return;
        if (const auto id = ParseInteger(client.Field("id"))) waiting.push_back(static_cast<std::uint64_t>(*id));
      },
      among);
  std::sort(waiting.begin(), waiting.end());
  return waiting;
}

// A client that has read its waiting replies is ordered: it gets the barrier the next time that its replies wait.
void ForgetOrdered(RedisModuleCtx* ctx) {
  Gate& gate = TheState().gate;
  const auto now = std::chrono::steady_clock::now();
  if (gate.unordered().empty() || now < forget_at) return;
  forget_at = now + kForgetPeriod;
  gate.HoldBarrier(WaitingClients(ctx, gate.unordered()));
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

void OnConfigChange(RedisModuleCtx*, RedisModuleEvent, uint64_t, void* data) {
  const auto* change = static_cast<RedisModuleConfigChangeV1*>(data);
  const bool ours = std::any_of(change->config_names, change->config_names + change->num_changes, [](const char* name) {
    return std::string_view(name) == "appendonly" || std::string_view(name) == "appendfsync";
  });
  if (!ours) return;
  LookAtBarrierAgain();
}

}  // namespace

bool StartBarrier(RedisModuleCtx* ctx) {
  return RedisModule_SubscribeToServerEvent(ctx, RedisModuleEvent_Config, OnConfigChange) == REDISMODULE_OK;
}

void LookAtBarrierAgain() {
  TheState().gate.LoseBarrier();
  changed = true;
}

void CheckBarrier(RedisModuleCtx* ctx) {
  Gate& gate = TheState().gate;
  if (gate.barrier()) ForgetOrdered(ctx);
  if (gate.barrier() || !changed || gate.mutant == Mutant::kNoBarrier) return;
  if ((RedisModule_GetContextFlags(ctx) & REDISMODULE_CTX_FLAGS_LOADING) != 0) return;
  if (SettingsAreRight(ctx)) {
    changed = !Holds(ctx);
    if (!changed) gate.HoldBarrier(WaitingClients(ctx));
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

// Redis keeps the arguments of a command while the command runs.  A client that has sent only a part of its next
// command has arguments as well; counting it does no harm.
bool OneOfThemRuns(RedisModuleCtx* ctx, std::span<const std::uint64_t> clients) {
  bool runs = false;
  const auto look = [&](const ListedClient& client) { runs = runs || client.Field("argv-mem") != "0"; };
  ForEachClient(ctx, look, clients);
  return runs;
}

}  // namespace faha::module
