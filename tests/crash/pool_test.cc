// What Pool and Log say is durable when they return.  A store drains so often that it keeps most of these promises
// twice, but a peer acts on each of them as soon as it is told: so here power fails at once, and each promise must
// break when its own drain is dropped.
#include "log/pool.h"

#include <gtest/gtest.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "log/log.h"
#include "tests/crash/crash_run.h"

namespace faha::crash {
namespace {

constexpr std::uint64_t kSegment = format::kMinSegmentBytes;
constexpr std::uint64_t kSeeds = 8;
constexpr std::size_t kDisk = format::kDataOffset + 6 * kSegment;

// Power fails in one way, and the drains of one site may be missing.
struct World {
  std::mt19937_64 random;
  CrashMode mode;
  std::optional<Site> dropped;
  std::shared_ptr<CrashDisk> disk = std::make_shared<CrashDisk>(kDisk);

  // Null if it does not open.
  std::unique_ptr<Pool> Open() {
    auto pool = Pool::Open(std::make_unique<CrashMedia>(disk, 64), kSegment);
    return pool.ok() ? std::move(pool.value()) : nullptr;
  }
  std::unique_ptr<Log> OpenLog(Pool* pool) {
    auto log = Log::Open(pool, {});
    return log.ok() ? std::move(log.value()) : nullptr;
  }
  // How far the log on the disk reaches; nothing if it does not open.  As a node that starts: where it was being given
  // a log it gives up what it has of it.
  std::optional<Lsn> End() {
    auto pool = Open();
    if (pool && pool->installing() && !pool->BeginInstall({}, {}).ok()) return std::nullopt;
    auto log = pool ? OpenLog(pool.get()) : nullptr;
    return log ? std::optional(log->end().lsn) : std::nullopt;
  }
  // From here on the drains of the site are missing; `at_drain` is told of every drain.
  void Drop(std::function<void()> at_drain = {}) {
    disk->before_drain = [this, at_drain, seen = disk->undrained.size()]() mutable {
      if (at_drain) at_drain();
      const bool drops = SiteOf(*disk, seen) == dropped;
      seen = drops ? disk->undrained.size() : 0;
      return !drops;
    };
  }
  void PowerFails() {
    disk->before_drain = nullptr;
    disk->Crash(random, mode);
  }
  // A log with a few batches, written and not drained, in two segments.
  void Fill(Log& log) {
    log.SetEpoch(Epoch{1});
    for (int i = 0; i < 5; ++i) {
      EXPECT_TRUE(log.Append({.key = std::to_string(random() % 9), .value = std::string(400'000, 'v')}).ok());
      EXPECT_TRUE(log.Seal().ok());
    }
  }
};

bool ANewPoolStaysWhoItIs(World& world) {
  world.Drop();
  auto pool = world.Open();
  const auto told = std::pair(pool->node(), pool->cluster());
  pool.reset();
  world.PowerFails();
  pool = world.Open();
  return pool && told == std::pair(pool->node(), pool->cluster());
}

bool APromiseIsKept(World& world) {
  auto pool = world.Open();
  for (std::uint64_t epoch = 1; epoch < 6; ++epoch) {
    const NodeId candidate{{static_cast<std::uint8_t>(world.random() % 100 + 1)}};
    world.Drop();
    EXPECT_TRUE(pool->SetPromise(Epoch{epoch}, candidate).ok());
    pool.reset();
    world.PowerFails();
    pool = world.Open();
    if (!pool || pool->promised() != Epoch{epoch} || pool->voted_for() != candidate) return false;
  }
  return true;
}

bool ALeaderIsRemembered(World& world) {
  auto pool = world.Open();
  for (std::uint64_t epoch = 1; epoch < 6; ++epoch) {
    const NodeId candidate{{static_cast<std::uint8_t>(world.random() % 100 + 1)}}, leader{{200}};
    EXPECT_TRUE(pool->SetPromise(Epoch{epoch}, candidate).ok());
    world.Drop();
    EXPECT_TRUE(pool->SetLeader(Epoch{epoch}, leader).ok());
    pool.reset();
    world.PowerFails();
    pool = world.Open();
    if (!pool || pool->promised() != Epoch{epoch} || pool->voted_for() != candidate || pool->leader() != leader) {
      return false;
    }
  }
  return true;
}

// What a killed process left in caches is told to be durable by the one that opens the log next.
bool ALogThatIsOpenedStays(World& world) {
  auto pool = world.Open();
  world.Fill(*world.OpenLog(pool.get()));
  pool = world.Open();
  world.Drop();
  const Lsn told = world.OpenLog(pool.get())->durable();
  pool.reset();
  world.PowerFails();
  return told > Lsn{} && world.End() >= told;
}

bool WhatWasDrainedStays(World& world) {
  auto pool = world.Open();
  auto log = world.OpenLog(pool.get());
  world.Drop();
  world.Fill(*log);
  EXPECT_TRUE(log->Drain().ok());
  const Lsn told = log->durable();
  log.reset();
  pool.reset();
  world.PowerFails();
  return told > Lsn{} && world.End() >= told;
}

// Whenever power fails, the node starts again, and as one of the new cluster it does not hold the old one's log, also
// where both clusters have the same key: none, as those that an earlier release began.
bool AnAdoptedPoolIsEmpty(World& world) {
  auto pool = world.Open();
  const auto log = world.OpenLog(pool.get());
  world.Fill(*log);
  EXPECT_TRUE(log->Drain().ok() && pool->NoteLog().ok());
  const ClusterId next{{7}};
  bool foreign = false;
  world.Drop([&world, &foreign, next] {
    World copy{world.random, world.mode, {}};
    copy.disk->CopyFrom(*world.disk);
    copy.PowerFails();
    const auto after = copy.Open();
    const auto end = copy.End();
    foreign = foreign || !after || !end || (after->cluster() == next && end != Lsn{});
    world.random.discard(7);
  });
  EXPECT_TRUE(pool->Adopt(next, pool->geometry(), pool->log_key()).ok());
  pool.reset();
  world.PowerFails();
  const auto after = world.Open();
  return !foreign && after && after->cluster() == next;
}

struct Told {
  std::string name;
  bool (*holds)(World&);
  std::vector<Site> drained_by;  // without any one of them it does not hold
};

void PrintTo(const Told& told, std::ostream* out) { *out << told.name; }

class Promise : public testing::TestWithParam<Told> {};

TEST_P(Promise, HoldsInEveryCrash) {
  for (const CrashMode mode : kCrashModes) {
    for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
      World world{std::mt19937_64(seed), mode, {}};
      EXPECT_TRUE(GetParam().holds(world)) << "seed " << seed << ", power keeps " << CrashModeName(mode);
    }
  }
}

TEST_P(Promise, BreaksWithoutItsDrain) {
  for (const Site site : GetParam().drained_by) {
    int broken = 0;
    for (const CrashMode mode : kCrashModes) {
      for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
        World world{std::mt19937_64(seed), mode, site};
        if (!GetParam().holds(world)) ++broken;
      }
    }
    EXPECT_GT(broken, 0) << Name({site, Phase::kServing});
  }
}

INSTANTIATE_TEST_SUITE_P(Pool, Promise,
                         testing::Values(Told{"ANewPoolStaysWhoItIs", ANewPoolStaysWhoItIs, {Site::kSuperblock}},
                                         Told{"APromiseIsKept", APromiseIsKept, {Site::kSuperblock}},
                                         Told{"ALeaderIsRemembered", ALeaderIsRemembered, {Site::kSuperblock}},
                                         Told{"ALogThatIsOpenedStays", ALogThatIsOpenedStays, {Site::kBatch}},
                                         Told{"WhatWasDrainedStays", WhatWasDrainedStays, {Site::kBatch}},
                                         Told{"AnAdoptedPoolIsEmpty", AnAdoptedPoolIsEmpty, {Site::kSuperblock}}),
                         [](const auto& each) { return each.param.name; });

}  // namespace
}  // namespace faha::crash
