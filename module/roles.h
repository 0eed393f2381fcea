// FaHA's role and Redis' own role.  Redis' replication runs along with an empty keyspace ("shadow replication"), so
// that clients find the roles they know.  FaHA's role is the true one: REPLICAOF is an order to FaHA, and Redis' role
// is made to follow FaHA's role.  An order to lead remains in force until this node leads, or until another order
// replaces it.  Safety never depends on Redis' role.  Thread: main loop only.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "faha/store.h"
#include "module/redis_api.h"

namespace faha::module {

class Roles : public StoreObserver {
 public:
  void OnPrimary() override;
  void OnFollowing(const Member& primary) override;
  void OnRefused(const Endpoint& node) override;
  void OnHandOverAsked(const Endpoint& heir) override;
  void OnServiceLost() override { service_lost_ = true; }

  // Subscribes to role changes that others than FaHA order from Redis, and takes over Redis' present role.  False if
  // Redis refuses.
  bool Start(RedisModuleCtx* ctx);
  // Called in every tick.
  void Tick(RedisModuleCtx* ctx);
  // Makes Redis' role equal to FaHA's role, if they differ.  It is called repeatedly, and tries again until the roles
  // are equal.  Must not be called from within Store's calls.
  void Align(RedisModuleCtx* ctx);

  // Carries out REPLICAOF NO ONE.
  void OrderToLead(RedisModuleCtx* ctx);
  // Carries out REPLICAOF with `primary`.  Errors: ClusterId - this node holds a cluster's data, and that server is not
  // a member of the cluster.
  Status OrderToFollow(RedisModuleCtx* ctx, const Endpoint& primary);
  // An order given through FaHA's own commands replaces the last order, to lead or to follow.
  void ForgetOrder();
  // Was this node ordered to lead, while a primary still lives that will hand over as soon as Sentinels tell clients of
  // this node?  Sentinels do so once INFO shows them this node as a primary.
  [[nodiscard]] bool ShownToSentinels() const { return order_ && order_->shown; }
  // What an operator should know about roles and orders, in one line, and how long ago it happened; 0: it still goes
  // on.  The line is empty if there is nothing to tell.
  [[nodiscard]] std::pair<std::string, std::chrono::milliseconds> Complaint() const;
  // Did a Sentinel recently order this node to lead?  Then that Sentinel will tell clients of this node.
  [[nodiscard]] bool ToldToLead() const;
  // A Sentinel now tells clients of another primary than before.
  void SentinelTells();
  // The primary that this node was told to follow, or follows; nothing if it was never told to follow any.
  [[nodiscard]] std::optional<Endpoint> PrimaryOfBackup(RedisModuleCtx* ctx) const;

  // Called when others than FaHA have changed Redis' role.
  void RedisRoleChanged(RedisModuleCtx* ctx, bool is_primary);
  // Redis has received `keys` from the server that it replicates, and the keys have been deleted again.  The
  // replication cannot be ended at this moment; it is ended in the next tick.
  void LeaveStranger(const std::string& keys) { stranger_keys_ = keys; }

 private:
  using Time = std::chrono::steady_clock::time_point;

  void Follow(const Endpoint& primary);
  // Drops an order to follow a node that FaHA does not follow yet.
  void ForgetOrderToFollow();
  // Takes over.  A primary that still lives is asked to hand over.
  void TakeOver();
  void StepOrder();
  void HandOverIfAsked();
  void LeaveIfStranger(RedisModuleCtx* ctx);
  // Logs it if Redis' own replication stays down although FaHA follows.
  void WatchRedisLink(RedisModuleCtx* ctx);
  // Disconnects the clients of a node that no longer serves, so that they look for the node that does.
  void SendClientsAway(RedisModuleCtx* ctx);
  // Shall the role change of Redis wait, so that clients that wait for an outcome hear it first?
  bool WaitersComeFirst(RedisModuleCtx* ctx);

  // An order to lead.
  struct Order {
    std::optional<Time> ask_at;         // when the store is asked (again); nothing: the store is at work
    std::optional<Time> another_since;  // since when another node has been the primary
    bool shown = false;                 // this node is shown to Sentinels as if it led
  };
  std::optional<Order> order_;
  std::optional<Time> ordered_at_;  // time of the last order to lead that Sentinel gave
  std::uint64_t attempts_ = 0;
  std::string said_;  // the last reason that was logged why the order is not carried out

  // The role that Redis is to take; kNothing once it has taken it.
  enum class Wanted { kNothing, kPrimary, kReplica } wanted_ = Wanted::kNothing;
  Endpoint primary_;         // the primary of which Redis is to be a replica
  bool complained_ = false;  // it was logged that Redis refuses the role
  Time next_look_{};         // when to look at Redis' link again
  std::optional<Time> link_down_since_;
  std::string link_trouble_;  // the trouble of the link that was logged
  std::string refused_;       // the last order that was refused, and why
  Time refused_at_{};
  std::optional<Time> patience_ends_;  // until when Align waits for those who wait for an outcome
  bool aligning_ = false;
  std::optional<Endpoint> heir_;
  std::optional<Endpoint> asked_;  // FaHA was told to follow this node and does not know yet whether FaHA runs there
  bool led_before_ = false;        // FaHA led when it was told to follow, and has not found the node yet
  std::optional<std::string> stranger_keys_;
  bool service_lost_ = false, send_away_ = false;
};

Roles& TheRoles();

// The state of Redis' own replication of an empty data set.  Messages that clients publish travel over it.
struct RedisReplication {
  std::optional<Endpoint> primary;  // the primary that Redis replicates; nothing if Redis is a primary
  bool up = false;                  // Redis is connected to that primary
};
RedisReplication RedisReplicates(RedisModuleCtx* ctx);

}  // namespace faha::module
