// A store on a medium that forgets: power fails at every drain.
#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "tests/crash/crash_run.h"

namespace faha::crash {
namespace {

std::uint64_t FromEnvironment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::stoull(text) : otherwise;
}

void HoldsWhereverPowerFails(const RunOptions& options, std::uint64_t seeds) {
  const std::uint64_t first = FromEnvironment("FAHA_SEED", 1);
  const std::uint64_t last = std::getenv("FAHA_SEED") != nullptr ? first : FromEnvironment("FAHA_SEEDS", seeds);
  std::map<Place, std::uint64_t> drains;
  std::uint64_t crashes = 0, used = 0, refused = 0, growths = 0;
  for (std::uint64_t seed = first; seed <= last; ++seed) {
    CrashRun run(seed, options);
    const auto violation = run.Run();
    ASSERT_FALSE(violation.has_value()) << *violation;
    for (const auto& [place, count] : run.drains()) drains[place] += count;
    crashes += run.crashes();
    used += run.checkpoints_used();
    refused += run.checkpoints_refused();
    growths += run.growths();
  }
  for (const auto& [place, count] : drains)
    std::printf("  %8llu drains: %s\n", static_cast<unsigned long long>(count), Name(place).c_str());
  std::printf("  %8llu crashes; checkpoints used %llu, refused %llu; %llu growths\n",
              static_cast<unsigned long long>(crashes), static_cast<unsigned long long>(used),
              static_cast<unsigned long long>(refused), static_cast<unsigned long long>(growths));
  if (last - first < 4) return;
  EXPECT_GT(used, 0U) << "no start found its checkpoint";
  EXPECT_GT(refused, 0U) << "no start met a bad checkpoint";
  EXPECT_TRUE(growths > 0 || options.history.grows_one_in == 0) << "no pool grew";
}

TEST(Store, HoldsWhatWasAcknowledgedAndWholeUnitsInOrderWhereverPowerFails) { HoldsWhereverPowerFails({}, 28); }

TEST(Store, HoldsItWhileThePoolGrows) {
  RunOptions options;
  options.history.grows_one_in = 2;
  HoldsWhereverPowerFails(options, 9);
}

TEST(Store, HoldsItWhileSegmentsAreCleaned) { HoldsWhereverPowerFails(Cleaning(), 6); }

TEST(Store, HoldsItWhateverValuesLookLike) { HoldsWhereverPowerFails(Forging(), 6); }

// Open-ended: new seeds of all of these, for FAHA_CRASH_MINUTES.
TEST(Store, Long) {
  const std::uint64_t minutes = FromEnvironment("FAHA_CRASH_MINUTES", 0);
  if (minutes == 0) GTEST_SKIP() << "FAHA_CRASH_MINUTES says for how long";
  RunOptions growing;
  growing.history.grows_one_in = 2;
  const std::array<RunOptions, 4> kinds{RunOptions{}, growing, Cleaning(), Forging()};
  const auto now = [] { return std::chrono::system_clock::now(); };
  const auto end = now() + std::chrono::minutes(minutes);
  const auto first = static_cast<std::uint64_t>(now().time_since_epoch() / std::chrono::seconds(1)) * 1000;
  std::uint64_t seed = first, crashes = 0;
  for (; now() < end; ++seed) {
    CrashRun run(seed, kinds[seed % kinds.size()]);
    const auto violation = run.Run();
    ASSERT_FALSE(violation.has_value()) << "kind " << seed % kinds.size() << ": " << *violation;
    crashes += run.crashes();
  }
  std::printf("  %llu seeds from %llu on: %llu crashes\n", static_cast<unsigned long long>(seed - first),
              static_cast<unsigned long long>(first), static_cast<unsigned long long>(crashes));
}

// A drain that a store needs by itself; what peers rely on is in pool_test.cc.
class Mutated : public testing::TestWithParam<Place> {};

TEST_P(Mutated, IsNoticed) {
  RunOptions options;
  options.mutation = GetParam();
  bool noticed = false;
  for (std::uint64_t seed = 1; seed <= 200 && !noticed; ++seed) noticed = CrashRun(seed, options).Run().has_value();
  EXPECT_TRUE(noticed) << "no history misses the drain: " << Name(GetParam());
}

INSTANTIATE_TEST_SUITE_P(Store, Mutated,
                         testing::Values(Place{Site::kSuperblock, Phase::kOpening},
                                         Place{Site::kBatch, Phase::kOpening}, Place{Site::kBatch, Phase::kServing}),
                         [](const auto& each) {
                           return std::string(each.param.first == Site::kBatch ? "Batch" : "Superblock") +
                                  (each.param.second == Phase::kOpening ? "Opening" : "Serving");
                         });

}  // namespace
}  // namespace faha::crash
