// The `faha.*` configs.  Thread: main loop only.
#pragma once

#include <functional>
#include <string_view>

#include "faha/options.h"
#include "module/redis_api.h"

namespace faha::module {

// Registers and loads them; `effective` is what the store shall run with.  False, after a log line, on a value that
// cannot be used.
bool LoadConfigs(RedisModuleCtx* ctx, Options& effective);

constexpr std::size_t kMaxText = 200;  // of a setting that is a text
void SetSentinelPassword(const std::string& password);

// As long as this lives, those secrets for which `hide` is true read as if they were not set: Redis writes none of them
// into a file that they did not come from.
class HiddenSecrets {
 public:
  explicit HiddenSecrets(const std::function<bool(std::string_view setting)>& hide);
  ~HiddenSecrets();
  HiddenSecrets(const HiddenSecrets&) = delete;
  HiddenSecrets& operator=(const HiddenSecrets&) = delete;
};

}  // namespace faha::module
