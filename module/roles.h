// FaHA's role and Redis' own.  Redis' replication runs along with an empty keyspace ("shadow replication"), so that
// clients and Sentinel see the roles they know: a role change of Redis asks FaHA for the same, and where FaHA's role
// changed by itself Redis' is made to follow.  Safety never depends on Redis' role.  Thread: main loop only.
#pragma once

#include "faha/store.h"
#include "module/redis_api.h"

namespace faha::module {

class Roles : public StoreObserver {
 public:
  void OnPrimary() override;
  void OnFollowing(const Member& primary) override;

  // Follows Redis' role changes, and its present one.  False if Redis refuses.
  bool Start(RedisModuleCtx* ctx);
  // Makes Redis' role what FaHA's has become.  Not from within Store's calls: Redis' role change asks the store.
  void Align(RedisModuleCtx* ctx);
  void RedisRoleChanged(RedisModuleCtx* ctx, bool is_primary);

 private:
  enum class Wanted { kNothing, kPrimary, kReplica } wanted_ = Wanted::kNothing;
  Endpoint primary_;
  bool aligning_ = false;
};

Roles& TheRoles();

}  // namespace faha::module
