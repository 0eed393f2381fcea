// What CLIENT LIST tells.  Thread: main loop only.
#pragma once

#include <functional>
#include <string_view>

#include "module/redis_api.h"

namespace faha::module {

class ListedClient {
 public:
  explicit ListedClient(std::string_view line) : line_(line) {}
  // The value of `name`, empty if there is none.
  [[nodiscard]] std::string_view Field(std::string_view name) const;

 private:
  std::string_view line_;
};

// Takes time for each client: some microseconds.
void ForEachClient(RedisModuleCtx* ctx, const std::function<void(const ListedClient&)>& visit);

}  // namespace faha::module
