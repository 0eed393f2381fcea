// FaHA's role and Redis' own.  Redis' replication runs along with an empty keyspace ("shadow replication"), so that
// clients and Sentinel see the roles they know: a role change of Redis asks FaHA for the same, and where FaHA's role
// changed by itself Redis' is made to follow.  Safety never depends on Redis' role.  Thread: main loop only.
#pragma once

#include <chrono>
#include <optional>

#include "faha/store.h"
#include "module/redis_api.h"

namespace faha::module {

class Roles : public StoreObserver {
 public:
  void OnPrimary() override;
  void OnFollowing(const Member& primary) override;
  void OnHandOverAsked(const Endpoint& heir) override { heir_ = heir; }
  void OnServiceLost() override { service_lost_ = true; }

  // Follows Redis' role changes, and its present one.  False if Redis refuses.
  bool Start(RedisModuleCtx* ctx);
  // Makes Redis' role what FaHA's has become, if it is not yet: called again and again, it tries until it is.  Not from
  // within Store's calls: Redis' role change asks the store.
  void Align(RedisModuleCtx* ctx);
  // Hands over to the backup that asked for it, if one did, or asks the primary to.  Between turns.
  void HandOverIfAsked();
  // A Sentinel tells clients of another primary than before.
  void SentinelTells() {
    if (take_over_at_) take_over_at_ = Time::min();
  }
  // An order of FaHA's own takes the place of Redis' order to lead.
  void ForgetOrder() {
    take_over_at_.reset();
    ordered_until_.reset();
  }
  void RedisRoleChanged(RedisModuleCtx* ctx, bool is_primary);
  // Disconnects the clients of a node that serves no more, so that they find out who does.  Every tick.
  void SendClientsAway(RedisModuleCtx* ctx);

 private:
  using Time = std::chrono::steady_clock::time_point;
  // What Redis is to be, until it is; nothing: it is right, or Redis was told after FaHA, and FaHA follows.
  enum class Wanted { kNothing, kPrimary, kReplica } wanted_ = Wanted::kNothing;
  Endpoint primary_;                   // whom FaHA followed last
  bool complained_ = false;            // said that Redis refuses the role
  std::optional<Time> patience_ends_;  // of Align with those who wait for an outcome
  std::optional<Endpoint> heir_;
  void TakeOver();
  // Was Redis told to lead, a while ago at most, and FaHA does not yet?
  [[nodiscard]] bool Ordered() const;
  std::optional<Time> ordered_until_;
  // May those who wait for an outcome hear it before Redis becomes a replica?
  bool WaitersComeFirst(RedisModuleCtx* ctx);
  // Redis is a primary already, and FaHA's is asked to hand over when this has come.
  std::optional<Time> take_over_at_;
  bool aligning_ = false;
  bool service_lost_ = false, send_away_ = false;
};

Roles& TheRoles();

}  // namespace faha::module
