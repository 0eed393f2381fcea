// The `faha.*` configs.  Thread: main loop only.
#pragma once

#include <functional>
#include <string_view>

#include "faha/options.h"
#include "module/redis_api.h"

namespace faha::module {

// Registers and loads the configs; `effective` receives the options that the store shall run with.  Returns false,
// after a log line, if a value cannot be used.
bool LoadConfigs(RedisModuleCtx* ctx, Options& effective);

constexpr std::size_t kMaxText = 200;  // the longest value of a text setting
void SetSentinelPassword(const std::string& password);

// As long as this object lives, the secrets for which `hide` is true read as if they were not set.  So Redis does not
// write a secret into a file that the secret did not come from.
class HiddenSecrets {
 public:
  explicit HiddenSecrets(const std::function<bool(std::string_view setting)>& hide);
  ~HiddenSecrets();
  HiddenSecrets(const HiddenSecrets&) = delete;
  HiddenSecrets& operator=(const HiddenSecrets&) = delete;
};

}  // namespace faha::module
