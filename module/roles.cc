#include "module/roles.h"

#include <optional>
#include <vector>

#include "module/call.h"
#include "module/client_list.h"
#include "module/sentinels.h"
#include "module/state.h"

namespace faha::module {
namespace {

// Redis asked for the role, and goes on asking by staying in it: so does FaHA.
constexpr std::chrono::milliseconds kPatience = std::chrono::hours(24 * 365);
// Sentinel finds its order carried out within a second and a tick.
constexpr std::chrono::milliseconds kSentinelPatience{1500};

// Whom Redis replicates from; nothing if it is a primary.
std::optional<Endpoint> RedisPrimary(RedisModuleCtx* ctx) {
  RedisModuleServerInfoData* info = RedisModule_GetServerInfo(ctx, "replication");
  std::optional<Endpoint> primary;
  if (const char* host = RedisModule_ServerInfoGetFieldC(info, "master_host")) {
    int error = REDISMODULE_OK;
    const long long port = RedisModule_ServerInfoGetFieldSigned(info, "master_port", &error);
    primary = Endpoint{host, static_cast<std::uint16_t>(port)};
  }
  RedisModule_FreeServerInfo(ctx, info);
  return primary;
}

void OnRoleChange(RedisModuleCtx* ctx, RedisModuleEvent, uint64_t subevent, void*) {
  TheRoles().RedisRoleChanged(ctx, subevent == REDISMODULE_EVENT_REPLROLECHANGED_NOW_MASTER);
}

}  // namespace

Roles& TheRoles() {
  static Roles roles;
  return roles;
}

void Roles::OnPrimary() { wanted_ = Wanted::kPrimary; }

void Roles::OnFollowing(const Member& primary) {
  if (take_over_at_) return;  // not for long
  wanted_ = Wanted::kReplica;
  primary_ = primary.Redis();
}

bool Roles::Start(RedisModuleCtx* ctx) {
  if (RedisModule_SubscribeToServerEvent(ctx, RedisModuleEvent_ReplicationRoleChanged, OnRoleChange) !=
      REDISMODULE_OK) {
    return false;
  }
  if (const auto primary = RedisPrimary(ctx)) {
    wanted_ = Wanted::kNothing;  // what the store was before it knew whom to follow
    TheState().store->Follow(*primary);
  }
  return true;
}

void Roles::RedisRoleChanged(RedisModuleCtx* ctx, bool is_primary) {
  if (aligning_) return;
  wanted_ = Wanted::kNothing;
  take_over_at_.reset();
  if (const auto primary = RedisPrimary(ctx); primary && !is_primary) {
    TheState().store->Follow(*primary);
  } else if (is_primary) {
    take_over_at_ = std::chrono::steady_clock::now();
    // Clients go where Sentinel says, and it says so up to a second after it has ordered the change: until then a
    // primary that lives goes on serving.
    const bool lives = TheState().store->Info().primary && !TheState().store->MissesPrimary();
    if (lives && Sentinels::Watched(ctx)) {
      *take_over_at_ += kSentinelPatience;
    } else {
      TakeOver();
    }
  }
}

void Roles::TakeOver() {
  take_over_at_.reset();
  TheState().store->TakeOver(kPatience, [](const Status& status) {
    if (!status.ok()) Log(LogLevel::kWarning, status.ToString());
  });
}

void Roles::HandOverIfAsked() {
  if (take_over_at_ && (std::chrono::steady_clock::now() >= *take_over_at_ || TheState().store->MissesPrimary())) {
    TakeOver();
  }
  if (!heir_) return;
  const Endpoint heir = *std::exchange(heir_, std::nullopt);
  TheState().store->HandOver(heir, [](const Status& status) {
    if (!status.ok()) Log(LogLevel::kWarning, status.ToString());
  });
}

// One tick late: by then the reply to whoever ordered the change has left.
void Roles::SendClientsAway(RedisModuleCtx* ctx) {
  if (std::exchange(send_away_, std::exchange(service_lost_, false))) {
    Log(LogLevel::kWarning, "this node does not serve any more: its clients are disconnected, to find out who does");
    std::vector<std::uint64_t> clients;
    ForEachClient(ctx, [&](const ListedClient& client) {
      const bool replication = client.Field("flags").find_first_of("SM") != std::string_view::npos;
      const auto id = ParseInteger(client.Field("id"));
      if (id && !replication && !client.IsSentinel()) clients.push_back(static_cast<std::uint64_t>(*id));
    });
    for (const std::uint64_t client : clients) RedisModule_DeauthenticateAndCloseClient(ctx, client);
  }
}

void Roles::Align(RedisModuleCtx* ctx) {
  // A role change while Redis loads its AOF would open that under its hands, which it checks and dies of.
  const bool loading = (RedisModule_GetContextFlags(ctx) & REDISMODULE_CTX_FLAGS_LOADING) != 0;
  if (wanted_ == Wanted::kNothing || loading) return;
  const auto wanted = std::exchange(wanted_, Wanted::kNothing);
  const auto now = RedisPrimary(ctx);
  const bool right = wanted == Wanted::kPrimary ? !now : now == primary_;
  if (right) return;
  aligning_ = true;
  if (wanted == Wanted::kPrimary) {
    Run(ctx, "REPLICAOF", "NO", "ONE");
  } else {
    Run(ctx, "REPLICAOF", primary_.host.c_str(), std::to_string(primary_.port).c_str());
  }
  aligning_ = false;
  // So that a restart finds the same role; without a config file there is nothing to rewrite.
  Run(ctx, "CONFIG", "REWRITE");
}

}  // namespace faha::module
