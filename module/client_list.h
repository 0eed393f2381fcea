// Reads Redis' CLIENT LIST.  Thread: main loop only.
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
  // Is it a replica or the primary of Redis' own replication?
  [[nodiscard]] bool IsReplication() const { return Field("flags").find_first_of("SM") != std::string_view::npos; }
  // Has Redis decided to disconnect it?  Nothing more reaches it then.
  [[nodiscard]] bool IsLeaving() const { return Field("flags").find('A') != std::string_view::npos; }
  // Sentinels name their connections sentinel-<8 characters of the run id>-cmd, or -pubsub.
  static bool NamesSentinel(std::string_view name) { return name.starts_with("sentinel-"); }

 private:
  std::string_view line_;
};

// Visits every client; with `among`, visits only those clients with these ids that are still connected.  It takes some
// microseconds for each client.
void ForEachClient(RedisModuleCtx* ctx, const std::function<void(const ListedClient&)>& visit,
                   std::span<const std::uint64_t> among = {});

// Disconnects the clients for which `chosen` returns true; nothing more is sent to them.
void CloseClients(RedisModuleCtx* ctx, const std::function<bool(const ListedClient& client, std::uint64_t id)>& chosen);

}  // namespace faha::module
