#include "module/roles.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "module/barrier.h"
#include "module/call.h"
#include "module/client_list.h"
#include "module/rights.h"
#include "module/sentinels.h"
#include "module/state.h"
#include "module/waiters.h"

namespace faha::module {
namespace {

// Redis asked for the role, and goes on asking by staying in it: so does FaHA.
constexpr std::chrono::milliseconds kPatience = std::chrono::hours(24 * 365);
// Sentinel finds its order carried out within a second and a tick.
constexpr std::chrono::milliseconds kSentinelPatience{1500};
constexpr std::chrono::milliseconds kWaitersPatience{1000};
// An order to lead outlasts a lease and an election, but not Sentinel's next failover.
constexpr std::chrono::milliseconds kOrderLasts{5000}, kOrderAgain{100};

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

// What a replica receives is looked at before it is anywhere but in memory: otherwise a stranger's data set would stay
// behind as this server's dump.
void KeepSyncsOffDisk(RedisModuleCtx* ctx) { Run(ctx, "CONFIG", "SET", "repl-diskless-load", "on-empty-db"); }

// So that a restart finds the same role; without a config file there is nothing to rewrite.
void RewriteConfig(RedisModuleCtx* ctx) {
  const OwnRules rules(ctx);
  Run(ctx, "CONFIG", "REWRITE");
}

void OnRoleChange(RedisModuleCtx* ctx, RedisModuleEvent, uint64_t subevent, void*) {
  const bool is_primary = subevent == REDISMODULE_EVENT_REPLROLECHANGED_NOW_MASTER;
  LookAtBarrierAgain();
  if (!is_primary) KeepSyncsOffDisk(ctx);
  TheRoles().RedisRoleChanged(ctx, is_primary);
}

}  // namespace

Roles& TheRoles() {
  static Roles roles;
  return roles;
}

std::optional<std::optional<Endpoint>> PrimaryOf(std::string_view host, std::string_view port) {
  const auto is = [](std::string_view text, std::string_view word) {
    return std::equal(text.begin(), text.end(), word.begin(), word.end(),
                      [](char a, char b) { return LowerCase(a) == b; });
  };
  if (is(host, "no") && is(port, "one")) return std::optional<Endpoint>();
  const auto number = ParseInteger(port);
  if (!number || *number < 0 || *number > 65535) return std::nullopt;
  return Endpoint{std::string(host), static_cast<std::uint16_t>(*number)};
}

void Roles::OnPrimary() {
  asked_.reset();
  wanted_ = Wanted::kPrimary;
  ordered_until_.reset();
}

void Roles::OnFollowing(const Member& primary) {
  asked_.reset();
  led_before_ = false;
  wanted_ = Wanted::kReplica;
  primary_ = primary.Redis();
}

// It is FaHA that runs there, so that Redis may replicate it: that is what it was told to do.
void Roles::OnRefused(const Endpoint& node) {
  const int offset = TheState().options.port_offset;
  if (!asked_ || asked_->host != node.host || asked_->port + offset != node.port) return;
  primary_ = *std::exchange(asked_, std::nullopt);
  wanted_ = Wanted::kReplica;
}

bool Roles::Start(RedisModuleCtx* ctx) {
  if (RedisModule_SubscribeToServerEvent(ctx, RedisModuleEvent_ReplicationRoleChanged, OnRoleChange) !=
      REDISMODULE_OK) {
    return false;
  }
  KeepSyncsOffDisk(ctx);
  if (const auto primary = RedisPrimary(ctx)) {
    // The log knows better who was the primary than a file that was written at some other time.  A node without
    // members has no such log.
    Store& store = *TheState().store;
    if (store.Info().members.size() > 1) {
      store.Suggest(*primary);
    } else {
      Follow(*primary);  // whatever the store was before it knew whom to follow
    }
  }
  return true;
}

void Roles::RedisRoleChanged(RedisModuleCtx* ctx, bool is_primary) {
  if (aligning_) return;
  ForgetOrder();
  asked_.reset();
  if (const auto primary = RedisPrimary(ctx); primary && !is_primary) {
    Follow(*primary);
  } else if (is_primary) {
    wanted_ = Wanted::kNothing;
    take_over_at_ = std::chrono::steady_clock::now();
    ordered_until_ = *take_over_at_ + kOrderLasts;
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

void Roles::Follow(const Endpoint& primary) {
  const StoreInfo info = TheState().store->Info();
  led_before_ = info.role == Role::kPrimary || info.members.size() <= 1;
  TheState().store->Follow(primary);
  wanted_ = Wanted::kNothing;
}

bool Roles::AsksFirst(const std::optional<Endpoint>& primary) const {
  if (asked_ || !primary) return asked_.has_value();
  const Members members = TheState().store->Info().members;
  return std::none_of(members.begin(), members.end(), [&](const Member& member) { return member.Redis() == *primary; });
}

bool Roles::AskFirst(RedisModuleCtx* ctx, const std::optional<Endpoint>& primary) {
  ForgetOrder();
  asked_ = primary;
  if (primary) {
    Log(LogLevel::kNotice,
        "asking whether FaHA runs at " + primary->ToString() + " before Redis replicates from there");
    Follow(*primary);
  } else if (RedisPrimary(ctx)) {
    return Run(ctx, "REPLICAOF", "NO", "ONE");
  } else {
    RedisRoleChanged(ctx, true);
  }
  return true;
}

// A node that led leads again; any other looks for its primary by itself.
void Roles::LeaveIfStranger(RedisModuleCtx* ctx) {
  if (!stranger_keys_ || (RedisModule_GetContextFlags(ctx) & REDISMODULE_CTX_FLAGS_LOADING) != 0) return;
  const auto stranger = RedisPrimary(ctx);
  aligning_ = true;
  const bool left = Run(ctx, "REPLICAOF", "NO", "ONE");
  aligning_ = false;
  if (!left) return;
  Log(LogLevel::kWarning,
      "NATIVEDATA " + (stranger ? stranger->ToString() : std::string("the server replicated from")) +
          " is no FaHA node: its " + *stranger_keys_ +
          ", which were not taken over, and Redis does not replicate it any more; name a FaHA node, "
          "and copy the keys there with DUMP and RESTORE");
  stranger_keys_.reset();
  RewriteConfig(ctx);
  if (led_before_) RedisRoleChanged(ctx, true);
}

// Another node may be elected meanwhile, such as the old primary that was restarted: it is asked to hand over, for
// whoever gave the order tells clients of this node.  Failing that, Redis must not stay a primary beside the one that
// FaHA follows.
void Roles::TakeOver() {
  take_over_at_.reset();
  wanted_ = Wanted::kNothing;  // Redis was told to lead after that
  TheState().store->TakeOver(kPatience, [this](const Status& status) {
    if (status.ok()) return;
    Log(LogLevel::kWarning, status.ToString());
    if (Ordered()) {
      take_over_at_ = std::chrono::steady_clock::now() + kOrderAgain;
      return;
    }
    const std::string state = TheState().store->Info().state;
    if (state == "following" || state == "syncing") wanted_ = Wanted::kReplica;
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

bool Roles::Ordered() const { return ordered_until_ && std::chrono::steady_clock::now() < *ordered_until_; }

// One tick late: by then the reply to whoever ordered the change has left.
void Roles::SendClientsAway(RedisModuleCtx* ctx) {
  if (std::exchange(send_away_, std::exchange(service_lost_, false))) {
    Log(LogLevel::kWarning, "this node does not serve any more: its clients are disconnected, to find out who does");
    CloseClients(ctx, [](const ListedClient& client, std::uint64_t id) {
      return !client.IsReplication() && !client.IsSentinel() && !WaitsSinceBefore(id);
    });
  }
}

// An order has its outcome about when this node knows whom to follow: it is waited for, but not for long.
bool Roles::WaitersComeFirst(RedisModuleCtx* ctx) {
  const auto now = std::chrono::steady_clock::now();
  if (AnyoneWaits()) {
    if (!patience_ends_) patience_ends_ = now + kWaitersPatience;
    if (now < *patience_ends_) return true;
    InterruptWaiters(ctx);
  }
  patience_ends_.reset();
  return false;
}

void Roles::Align(RedisModuleCtx* ctx) {
  // A role change while Redis loads its AOF would open that under its hands, which it checks and dies of.
  const bool loading = (RedisModule_GetContextFlags(ctx) & REDISMODULE_CTX_FLAGS_LOADING) != 0;
  if (wanted_ == Wanted::kNothing || loading) return;
  if (wanted_ == Wanted::kReplica && Ordered()) return;
  const auto now = RedisPrimary(ctx);
  if (wanted_ == Wanted::kPrimary ? !now : now == primary_) {
    wanted_ = Wanted::kNothing;
    complained_ = false;
    return;
  }
  if (wanted_ == Wanted::kReplica && WaitersComeFirst(ctx)) return;
  aligning_ = true;
  const bool done = wanted_ == Wanted::kPrimary
                        ? Run(ctx, "REPLICAOF", "NO", "ONE")
                        : Run(ctx, "REPLICAOF", primary_.host.c_str(), std::to_string(primary_.port).c_str());
  aligning_ = false;
  if (!done) {
    if (!std::exchange(complained_, true)) {
      Log(LogLevel::kWarning, "UNAVAILABLE Redis refuses REPLICAOF, so its role is not FaHA's: it is tried again");
    }
    return;
  }
  RewriteConfig(ctx);
}

}  // namespace faha::module
