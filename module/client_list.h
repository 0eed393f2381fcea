// What CLIENT LIST tells.  Thread: main loop only.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string_view>

#include "module/redis_api.h"

namespace faha::module {

class ListedClient {
 public:
  explicit ListedClient(std::string_view line) : line_(line) {}
  // The value of `name`, empty if there is none.
  [[nodiscard]] std::string_view Field(std::string_view name) const;
  [[nodiscard]] bool IsSentinel() const { return NamesSentinel(Field("name")); }
  // Sentinels call their connections so: sentinel-<8 of the run id>-cmd, or -pubsub.
  static bool NamesSentinel(std::string_view name) { return name.starts_with("sentinel-"); }

 private:
  std::string_view line_;
};

// Visits every client, or of those with the ids in `among` the ones that are still connected.  Takes time for each:
// some microseconds.
void ForEachClient(RedisModuleCtx* ctx, const std::function<void(const ListedClient&)>& visit,
                   std::span<const std::uint64_t> among = {});

}  // namespace faha::module
