// Who may run what FaHA serves.  Redis judges a command by the name that it runs under, and the filter gives it another
// one, "faha.set" for "set".  So every user is given, for each of FaHA's commands, the right that its ACL rules give
// for the built-in one, by rules that are added behind the user's own: Redis judges, at its usual moments, with its
// usual keys.  Where rules are shown, saved or changed, those that were added are away.  Thread: main loop only.
//
// A rule that names one of FaHA's commands counts as one for the built-in command; FaHA's own commands are of the
// categories @admin and @dangerous.
#pragma once

#include <string>
#include <vector>

#include "module/call.h"
#include "module/redis_api.h"

namespace faha::module {

// The rights of all users have been seen to since the start.
[[nodiscard]] bool RightsAreGranted();

// Sees to the rights of all users.
void GrantRights(RedisModuleCtx* ctx);

// As long as this lives, all rules are what the operator made them, and nobody changes any.
class OwnRules {
 public:
  explicit OwnRules(RedisModuleCtx* ctx);
  ~OwnRules();
  OwnRules(const OwnRules&) = delete;
  OwnRules& operator=(const OwnRules&) = delete;

 private:
  RedisModuleCtx* ctx_;
};

}  // namespace faha::module
