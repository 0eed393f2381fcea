#include "bench/persist/rig.h"

#include <fmt/format.h>
#include <poll.h>

#include <cstdio>
#include <cstdlib>

#include "pmem/pool_media.h"

namespace faha::bench {

namespace {

constexpr std::uint64_t kPoolBytes = 96ULL << 20;
constexpr std::uint64_t kSegmentBytes = 4ULL << 20;
// Marks a pool as the benchmark's, and makes primary and backups one cluster.
constexpr ClusterId kBenchCluster{{'f', 'a', 'h', 'a', '-', 'b', 'e', 'n', 'c', 'h', '-', 'p', 'o', 'o', 'l', '1'}};
constexpr LogKey kBenchLogKey{1, 2};

bool InUse(const Pool& pool) {
  for (std::uint32_t i = 0; i < pool.geometry().segment_count; ++i) {
    if (pool.ReadEntry(i) || pool.EntryIsDamaged(i)) return true;
  }
  return false;
}

}  // namespace

void Die(const Status& status) {
  fmt::print(stderr, "persist: {}\n", status.ToString());
  std::exit(1);
}

void Require(const Status& status) {
  if (!status.ok()) Die(status);
}

bool AskedToEnd() {
  pollfd input{.fd = 0, .events = POLLIN, .revents = 0};
  return ::poll(&input, 1, 0) > 0;
}

Rig::Rig(const std::string& path, const std::string& domain) {
  pool = Require(Pool::Open(Require(OpenMedia({path, kPoolBytes, domain})), kSegmentBytes));
  if (pool->cluster() != kBenchCluster && InUse(*pool)) {
    Die({Code::kBadPool,
         fmt::format("the pool {} holds a log that is not the benchmark's: give it one of its own", path)});
  }
  Require(pool->Adopt(kBenchCluster, pool->geometry(), kBenchLogKey));
  log = Require(Log::Open(pool.get(), [](LogLevel, std::string_view) {}));
}

}  // namespace faha::bench
