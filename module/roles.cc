#include "module/roles.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "module/barrier.h"
#include "module/blocking.h"
#include "module/call.h"
#include "module/client_list.h"
#include "module/config_file.h"
#include "module/peer_names.h"
#include "module/sentinels.h"
#include "module/state.h"
#include "module/ticks.h"
#include "module/waiters.h"

namespace faha::module {
namespace {

// An order remains in force, so the store gets practically unlimited time to take over.
constexpr std::chrono::milliseconds kPatience = std::chrono::hours(24 * 365);
// Sentinel finds out within a second and a tick that its order was carried out.
constexpr std::chrono::milliseconds kSentinelPatience{1500};
constexpr std::chrono::milliseconds kWaitersPatience{1000};
// Within this time Sentinel tells all clients of the primary that it has ordered.
constexpr std::chrono::milliseconds kToldLasts{6000};
// If the primary is not the node that was told to lead, but for example the old primary, which was restarted and
// elected again, that primary is asked to hand over for this long.  If it has not done so by then, the change is left
// to Sentinel's next failover or to an operator.
constexpr std::chrono::milliseconds kAnotherLasts{5000}, kAskAgain{100};

// How often to look at Redis' own link, and how long that link may be down before a line is logged.
constexpr std::chrono::seconds kLinkLook{1}, kLinkPatience{10};

// A replica must examine what it receives while that is only in memory: otherwise a stranger's data set would remain as
// this server's dump.  A wait for other replicas would gain nothing, because the data set is empty, and Sentinel would
// wait just as long before it tells clients of a new primary.
void SetUpReplication(RedisModuleCtx* ctx) {
  Run(ctx, "CONFIG", "SET", "repl-diskless-load", "on-empty-db", "repl-diskless-sync-delay", "0");
  // The names that Redis 8 and Valkey have for the second connection over which a replica may fetch a data set.  That
  // connection does not tell whose it is, so it would be taken for a stranger's, and there is nothing to fetch.
  for (const char* name : {"repl-rdb-channel", "dual-channel-replication-enabled"}) {
    if (ConfigValue(ctx, name) == "yes") Run(ctx, "CONFIG", "SET", name, "no");
  }
}

void OnRoleChange(RedisModuleCtx* ctx, RedisModuleEvent, uint64_t subevent, void*) {
  const bool is_primary = subevent == REDISMODULE_EVENT_REPLROLECHANGED_NOW_MASTER;
  LookAtBarrierAgain();
  if (!is_primary) SetUpReplication(ctx);
  TheRoles().RedisRoleChanged(ctx, is_primary);
}

}  // namespace

RedisReplication RedisReplicates(RedisModuleCtx* ctx) {
  RedisModuleServerInfoData* info = RedisModule_GetServerInfo(ctx, "replication");
  RedisReplication redis;
  if (const char* host = RedisModule_ServerInfoGetFieldC(info, "master_host")) {
    int error = REDISMODULE_OK;
    const long long port = RedisModule_ServerInfoGetFieldSigned(info, "master_port", &error);
    redis.primary = Endpoint{host, static_cast<std::uint16_t>(port)};
    const char* link = RedisModule_ServerInfoGetFieldC(info, "master_link_status");
    redis.up = link != nullptr && std::string_view(link) == "up";
  }
  RedisModule_FreeServerInfo(ctx, info);
  return redis;
}

Roles& TheRoles() {
  static Roles roles;
  return roles;
}

void Roles::OnPrimary() {
  asked_.reset();
  order_.reset();
  wanted_ = Wanted::kPrimary;
  MayServeAll();  // what this node has received since it last led
}

void Roles::OnFollowing(const Member& primary) {
  if (asked_ && ThePeerNames().Find({primary}, *asked_) != nullptr) ThePeerNames().Remember(primary, *asked_);
  asked_.reset();
  led_before_ = false;
  wanted_ = Wanted::kReplica;
  primary_ = ThePeerNames().NameOf(primary);
}

void Roles::OnHandOverAsked(const Endpoint& heir) {
  heir_ = heir;
  TickSoon();
}

// The refusal shows that FaHA runs on that node, so Redis may replicate from it, as this node was told to do.
void Roles::OnRefused(const Endpoint& node) {
  if (!asked_ || Numeric(*asked_).host != node.host) return;
  primary_ = *std::exchange(asked_, std::nullopt);
  wanted_ = Wanted::kReplica;
}

bool Roles::Start(RedisModuleCtx* ctx) {
  if (RedisModule_SubscribeToServerEvent(ctx, RedisModuleEvent_ReplicationRoleChanged, OnRoleChange) !=
      REDISMODULE_OK) {
    return false;
  }
  SetUpReplication(ctx);
  if (const auto primary = RedisReplicates(ctx).primary) {
    // The log knows who was the primary better than a configuration file that was written at some other time.  A node
    // without other members has no such log.
    Store& store = *TheState().store;
    if (store.Info().members.size() > 1) {
      store.Suggest(Numeric(*primary));
    } else {
      Follow(Numeric(*primary));  // whatever role the store had before it was told which node to follow
    }
  }
  return true;
}

void Roles::Tick(RedisModuleCtx* ctx) {
  HandOverIfAsked();
  StepOrder();
  LeaveIfStranger(ctx);
  Align(ctx);
  SendClientsAway(ctx);
  WatchRedisLink(ctx);
}

std::pair<std::string, std::chrono::milliseconds> Roles::Complaint() const {
  if (refused_.empty()) return {link_trouble_, {}};
  const auto since = std::chrono::steady_clock::now() - refused_at_;
  return {refused_, std::chrono::duration_cast<std::chrono::milliseconds>(since)};
}

void Roles::WatchRedisLink(RedisModuleCtx* ctx) {
  const Time now = std::chrono::steady_clock::now();
  if (now < next_look_) return;
  next_look_ = now + kLinkLook;
  const RedisReplication redis = RedisReplicates(ctx);
  if (!redis.primary || redis.up || !TheState().store->Info().streaming) {
    link_down_since_.reset();
    link_trouble_.clear();
    return;
  }
  if (!link_down_since_) link_down_since_ = now;
  if (!link_trouble_.empty() || now - *link_down_since_ < kLinkPatience) return;
  link_trouble_ =
      "UNAVAILABLE FaHA follows, but Redis' own replication, which carries what is published, does not connect to " +
      redis.primary->ToString() + ": where that asks for a password set masterauth, and masteruser, on every node";
  Log(LogLevel::kWarning, link_trouble_);
}

// --- Orders.

void Roles::RedisRoleChanged(RedisModuleCtx* ctx, bool is_primary) {
  if (aligning_) return;
  if (is_primary) return OrderToLead(ctx);
  if (const auto primary = RedisReplicates(ctx).primary) (void)OrderToFollow(ctx, *primary);
}

void Roles::ForgetOrderToFollow() {
  asked_.reset();
  if (wanted_ == Wanted::kReplica && !TheState().store->Info().streaming) wanted_ = Wanted::kNothing;
}

void Roles::ForgetOrder() {
  order_.reset();
  ForgetOrderToFollow();
}

void Roles::OrderToLead(RedisModuleCtx* ctx) {
  ForgetOrderToFollow();
  order_ = Order{};
  said_.clear();
  // Nobody tells clients of a primary that an operator has ordered, so this node has to tell Sentinel of it at once.
  const bool by_sentinel = Sentinels::Asks(ctx);
  ordered_at_.reset();
  if (by_sentinel) ordered_at_ = std::chrono::steady_clock::now();
  // Clients go to the node that Sentinel names, and Sentinel names the new one up to a second after it has ordered the
  // change.  Until then, a primary that lives goes on serving.
  const StoreInfo info = TheState().store->Info();
  order_->shown = by_sentinel && info.streaming && !TheState().store->MissesPrimary();
  if (order_->shown) {
    order_->ask_at = std::chrono::steady_clock::now() + kSentinelPatience;
  } else {
    TakeOver();
  }
}

Status Roles::OrderToFollow(RedisModuleCtx* ctx, const Endpoint& primary) {
  const StoreInfo info = TheState().store->Info();
  const Member* member = ThePeerNames().Find(info.members, primary);
  const bool leads = info.role == Role::kPrimary;
  if (leads && !info.blank && member == nullptr) {
    const Status status{Code::kClusterId,
                        "this node leads a cluster with data, and " + primary.ToString() +
                            " is no member of it: to make this node a backup of another cluster stop it, move its pool "
                            "away, and what Redis has written in its dir, and start it again"};
    refused_at_ = std::chrono::steady_clock::now();
    // Sentinel repeats this order again and again, so only a new message is logged.
    if (std::exchange(refused_, status.ToString()) != refused_) Log(LogLevel::kWarning, refused_);
    return status;
  }
  refused_.clear();
  ForgetOrder();
  if (member != nullptr) ThePeerNames().Remember(*member, primary);
  if (leads && !info.blank) {
    heir_ = member->Redis();
    return Status::Ok();
  }
  if (member != nullptr && info.streaming) {  // this node already follows the node that leads
    OnFollowing(*info.primary);
    return Status::Ok();
  }
  InterruptWaiters(ctx);
  InterruptBlocked();
  Follow(member != nullptr ? member->Redis() : Numeric(primary));
  if (member != nullptr) {
    primary_ = primary;
    wanted_ = Wanted::kReplica;
  } else {
    Log(LogLevel::kNotice, "asking whether FaHA runs at " + primary.ToString() + " before Redis replicates from there");
    asked_ = primary;
  }
  return Status::Ok();
}

void Roles::Follow(const Endpoint& primary) {
  const StoreInfo info = TheState().store->Info();
  led_before_ = info.role == Role::kPrimary || info.members.size() <= 1;
  TheState().store->Follow(primary);
  wanted_ = Wanted::kNothing;
}

bool Roles::ToldToLead() const { return ordered_at_ && std::chrono::steady_clock::now() - *ordered_at_ < kToldLasts; }

void Roles::SentinelTells() {
  if (!ShownToSentinels() || !order_->ask_at) return;
  order_->ask_at = Time::min();
  TickSoon();
}

void Roles::TakeOver() {
  order_->ask_at.reset();
  order_->shown = false;
  TheState().store->TakeOver(kPatience, [this, attempt = ++attempts_](const Status& status) {
    if (attempt != attempts_) return;  // a later attempt has replaced this one
    if (status.ok()) return OnPrimary();
    if (std::exchange(said_, status.ToString()) != said_) Log(LogLevel::kWarning, said_);
    if (order_) order_->ask_at = std::chrono::steady_clock::now() + kAskAgain;
  });
}

void Roles::StepOrder() {
  if (!order_) return;
  const auto now = std::chrono::steady_clock::now();
  if (!TheState().store->Info().streaming) {
    order_->another_since.reset();
  } else if (!order_->another_since) {
    order_->another_since = now;
  }
  const bool refused = order_->another_since && now - *order_->another_since > kAnotherLasts;
  if (order_->ask_at && refused) {
    Log(LogLevel::kWarning, "NOPROMISE this node was told to lead, but the primary goes on: the order is given up");
    return ForgetOrder();
  }
  if (order_->ask_at && (now >= *order_->ask_at || TheState().store->MissesPrimary())) TakeOver();
}

void Roles::HandOverIfAsked() {
  if (!heir_) return;
  const Endpoint heir = *std::exchange(heir_, std::nullopt);
  TheState().store->HandOver(heir, [](const Status& status) {
    if (!status.ok()) Log(LogLevel::kWarning, status.ToString());
  });
}

std::optional<Endpoint> Roles::PrimaryOfBackup(RedisModuleCtx* ctx) const {
  if (asked_) return asked_;
  if (wanted_ == Wanted::kReplica) return primary_;
  const StoreInfo info = TheState().store->Info();
  if (info.primary && info.role != Role::kPrimary) return ThePeerNames().NameOf(*info.primary);
  return RedisReplicates(ctx).primary;
}

// --- Redis' role.

// A node that led before leads again; any other node looks for its primary by itself.
void Roles::LeaveIfStranger(RedisModuleCtx* ctx) {
  if (!stranger_keys_ || (RedisModule_GetContextFlags(ctx) & REDISMODULE_CTX_FLAGS_LOADING) != 0) return;
  const auto stranger = RedisReplicates(ctx).primary;
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
  KeepReplicaOf(ctx, std::nullopt);
  if (led_before_) OrderToLead(ctx);
}

// The clients are disconnected one tick late, so that the reply to the client that ordered the change has left by then.
void Roles::SendClientsAway(RedisModuleCtx* ctx) {
  if (service_lost_) InterruptBlocked();
  if (std::exchange(send_away_, std::exchange(service_lost_, false))) {
    Log(LogLevel::kWarning, "this node does not serve any more: its clients are disconnected, to find out who does");
    CloseClients(ctx, [](const ListedClient& client, std::uint64_t id) {
      return !client.IsReplication() && !client.IsSentinel() && !WaitsSinceBefore(id);
    });
  }
}

// The outcome of an order comes at about the time when this node learns which node to follow.  The change of Redis'
// role waits for that outcome, for kWaitersPatience at most.
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
  // A role change while Redis loads its AOF would open the AOF during the load; Redis checks for that, and the process
  // dies.
  const bool loading = (RedisModule_GetContextFlags(ctx) & REDISMODULE_CTX_FLAGS_LOADING) != 0;
  if (wanted_ == Wanted::kNothing || loading) return;
  const auto now = RedisReplicates(ctx).primary;
  if (wanted_ == Wanted::kPrimary ? !now : now == primary_) {
    wanted_ = Wanted::kNothing;
    complained_ = false;
    KeepReplicaOf(ctx, now);
    return;
  }
  // Redis tells all clients that are blocked that they got nothing, which would not be true of one that was served.
  if (wanted_ == Wanted::kReplica && (WaitersComeFirst(ctx) || AnyoneIsServed())) return;
  aligning_ = true;
  const bool done = wanted_ == Wanted::kPrimary
                        ? Run(ctx, "REPLICAOF", "NO", "ONE")
                        : Run(ctx, "REPLICAOF", primary_.host.c_str(), std::to_string(primary_.port).c_str());
  aligning_ = false;
  if (!done) {
    if (!std::exchange(complained_, true)) {
      Log(LogLevel::kWarning, "UNAVAILABLE Redis refuses REPLICAOF, so its role is not FaHA's: it is tried again");
    }
  }
}

}  // namespace faha::module
