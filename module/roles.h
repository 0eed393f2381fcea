// FaHA's role and Redis' own.  Redis' replication runs along with an empty keyspace ("shadow replication"), so that
// clients find the roles they know.  FaHA's role is the truth: REPLICAOF is an order to FaHA, and Redis' role is made
// to follow what FaHA's has become.  An order to lead stands until this node leads, or another order takes its place.
// Safety never depends on Redis' role.  Thread: main loop only.
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

  // Follows what Redis is told by others than FaHA, and its present role.  False if Redis refuses.
  bool Start(RedisModuleCtx* ctx);
  // Every tick.
  void Tick(RedisModuleCtx* ctx);
  // Makes Redis' role what FaHA's has become, if it is not yet: called again and again, it tries until it is.  Not from
  // within Store's calls.
  void Align(RedisModuleCtx* ctx);

  // REPLICAOF NO ONE.
  void OrderToLead(RedisModuleCtx* ctx);
  // REPLICAOF of that server.  Errors: ClusterId - this node holds a cluster's data, of which that server is no member.
  Status OrderToFollow(RedisModuleCtx* ctx, const Endpoint& primary);
  // An order of FaHA's own takes the place of the last one, to lead or to follow.
  void ForgetOrder();
  // Was this node told to lead, while a primary lives that hands over as soon as Sentinels tell clients of this node?
  // They do when they are shown a primary.
  [[nodiscard]] bool ShownToSentinels() const { return order_ && order_->shown; }
  // What an operator should know of roles and orders, one line, and how long ago it was; 0: it goes on.  Empty if
  // nothing.
  [[nodiscard]] std::pair<std::string, std::chrono::milliseconds> Complaint() const;
  // Did a Sentinel tell it to lead lately, which tells clients of it then?
  [[nodiscard]] bool ToldToLead() const;
  // A Sentinel tells clients of another primary than before.
  void SentinelTells();
  // Whom this node is to follow, as far as it was told, or follows; nothing if it was never told.
  [[nodiscard]] std::optional<Endpoint> PrimaryOfBackup(RedisModuleCtx* ctx) const;

  // What Redis was told by others than FaHA.
  void RedisRoleChanged(RedisModuleCtx* ctx, bool is_primary);
  // Redis has found `keys` with the server that it replicates, and they are gone again.  The replication, which cannot
  // end at this moment, ends with the next tick.
  void LeaveStranger(const std::string& keys) { stranger_keys_ = keys; }

 private:
  using Time = std::chrono::steady_clock::time_point;

  void Follow(const Endpoint& primary);
  // Drops an order to follow a node that FaHA does not follow yet.
  void ForgetOrderToFollow();
  // Takes over: from a primary that lives, it is asked to hand over.
  void TakeOver();
  void StepOrder();
  void HandOverIfAsked();
  void LeaveIfStranger(RedisModuleCtx* ctx);
  // Says so where Redis' own replication stays down although FaHA follows.
  void WatchRedisLink(RedisModuleCtx* ctx);
  // Disconnects the clients of a node that serves no more, so that they find out who does.
  void SendClientsAway(RedisModuleCtx* ctx);
  // May those who wait for an outcome hear it before Redis becomes a replica?
  bool WaitersComeFirst(RedisModuleCtx* ctx);

  // To lead.
  struct Order {
    std::optional<Time> ask_at;         // when the store is asked (again); nothing: it is at work
    std::optional<Time> another_since;  // another node has been the primary
    bool shown = false;                 // to Sentinels, as if this node led
  };
  std::optional<Order> order_;
  std::optional<Time> ordered_at_;  // the last order to lead
  std::uint64_t attempts_ = 0;
  std::string said_;  // the last reason why it is not carried out that the log was told

  // What Redis is to be, until it is.
  enum class Wanted { kNothing, kPrimary, kReplica } wanted_ = Wanted::kNothing;
  Endpoint primary_;         // of which it is to be a replica
  bool complained_ = false;  // said that Redis refuses the role
  Time next_look_{};         // at Redis' link
  std::optional<Time> link_down_since_;
  std::string link_trouble_;  // what the log was told of it
  std::string refused_;       // the last order that was refused, and why
  Time refused_at_{};
  std::optional<Time> patience_ends_;  // of Align with those who wait for an outcome
  bool aligning_ = false;
  std::optional<Endpoint> heir_;
  std::optional<Endpoint> asked_;  // FaHA was told to follow it and does not know whether it runs there
  bool led_before_ = false;        // FaHA led when it was told to follow, and has not found whom yet
  std::optional<std::string> stranger_keys_;
  bool service_lost_ = false, send_away_ = false;
};

Roles& TheRoles();

// Redis' own replication, of an empty data set: what it publishes to clients goes that way.
struct RedisReplication {
  std::optional<Endpoint> primary;  // whom it replicates; nothing if it is a primary
  bool up = false;                  // and is connected to
};
RedisReplication RedisReplicates(RedisModuleCtx* ctx);

}  // namespace faha::module
