// Who may run the commands that FaHA serves.  Redis checks the rights for a command by the name that it runs under, and
// the filter changes that name, for example "set" to "faha.set".  So for each of FaHA's commands every user is given
// the right that its ACL rules give for the built-in command, by rules that are added after the user's own rules.
// Redis then checks the rights at its usual moments, with its usual key rules.  The added rules are removed while rules
// are shown, saved or changed.  Thread: main loop only.
//
// A rule that names one of FaHA's commands is treated as a rule for the built-in command.  FaHA's own commands belong
// to the categories @admin and @dangerous.
#pragma once

#include <string>
#include <vector>

#include "module/call.h"
#include "module/redis_api.h"

namespace faha::module {

// Have the rights of all users been granted since the start?
[[nodiscard]] bool RightsAreGranted();

// Grants all users their rights for FaHA's commands.
void GrantRights(RedisModuleCtx* ctx);

// As long as this object lives, all users have exactly the rules that the operator gave them.  Nobody may change a rule
// in that time.
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
