// FaHA's role and Redis' own.  Redis' replication runs along with an empty keyspace ("shadow replication"), so that
// clients and Sentinel see the roles they know: a role change of Redis asks FaHA for the same, and where FaHA's role
// changed by itself Redis' is made to follow.  Safety never depends on Redis' role.  Thread: main loop only.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "faha/store.h"
#include "module/redis_api.h"

namespace faha::module {

class Roles : public StoreObserver {
 public:
  void OnPrimary() override;
  void OnFollowing(const Member& primary) override;
  void OnRefused(const Endpoint& node) override;
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
  // Is REPLICAOF of that server, or of NO ONE, for FaHA to carry out?  Redis takes over whatever data set it finds
  // there, so FaHA asks first whether one of its own nodes answers.  A member is known to be one.
  [[nodiscard]] bool AsksFirst(const std::optional<Endpoint>& primary) const;
  // Carries it out: Redis' role follows once FaHA's has.  False if Redis refuses.
  bool AskFirst(RedisModuleCtx* ctx, const std::optional<Endpoint>& primary);
  // Redis has found `keys` with the server that it replicates, and they are gone again.  The replication, which cannot
  // end at this moment, ends with the next LeaveIfStranger().
  void LeaveStranger(const std::string& keys) { stranger_keys_ = keys; }
  // Every tick.
  void LeaveIfStranger(RedisModuleCtx* ctx);
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
  std::optional<Endpoint> asked_;  // FaHA was told to follow it, and Redis not yet
  bool led_before_ = false;        // FaHA led when it was told to follow, and has not found whom yet
  std::optional<std::string> stranger_keys_;
  void Follow(const Endpoint& primary);
  bool service_lost_ = false, send_away_ = false;
};

Roles& TheRoles();

// What the arguments of REPLICAOF mean: a primary, or none for NO ONE; nothing if they are malformed.
std::optional<std::optional<Endpoint>> PrimaryOf(std::string_view host, std::string_view port);

}  // namespace faha::module
