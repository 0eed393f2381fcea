// Seeded clusters of the real store.  See run.h for what a run is, plan.h for what it meets.
// FAHA_SEEDS runs from FAHA_FIRST_SEED on; FAHA_SIM_LOG in the environment prints what happens.
#include "tests/sim/seeds.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "tests/sim/run.h"

namespace faha::sim {
namespace {

constexpr std::array kKinds = {Kind::kMixed, Kind::kPressure, Kind::kElections,
                               Kind::kTurns, Kind::kMedia,    Kind::kForced};

// False if something was wrong.
bool RunsWell(std::uint64_t seed, Kind kind, Report& sum) {
  NowRuns(seed, kind);
  const Report report = RunSeed(seed, kind, std::getenv("FAHA_SIM_LOG") != nullptr);
  sum += report;
  EXPECT_FALSE(report.violation) << "seed " << seed << ": " << *report.violation
                                 << "\n  again with: " << Again(seed, kind);
  return !report.violation;
}

// With FAHA_GO_ON, all of them, whatever is found.
std::uint64_t RunSeeds(Kind kind, Report& sum) {
  const std::uint64_t first = Number("FAHA_FIRST_SEED", 1);
  const std::uint64_t count = Number("FAHA_SEEDS", std::min<std::uint64_t>(1000, SeedsOfCi(kind)));
  const bool goes_on = Number("FAHA_GO_ON", 0) != 0;
  for (std::uint64_t seed = first; seed < first + count; ++seed) {
    if (!RunsWell(seed, kind, sum) && !goes_on) return 0;
  }
  std::printf("%s\n", sum.Reached().c_str());
  return count;
}

// The faults reach what they are meant to reach.
TEST(Sim, Seeds) {
  Report sum;
  const std::uint64_t count = RunSeeds(Kind::kMixed, sum);
  if (count < 1000) return;
  EXPECT_GT(sum.done, 100 * count);
  EXPECT_GT(sum.elections, count);
  EXPECT_GT(sum.unknown, count / 2);
  EXPECT_GT(sum.full, count / 8);  // a few runs have most of them
  EXPECT_GT(sum.cleaned, count);
  EXPECT_GT(sum.installs, count / 100);
}

TEST(Sim, Pressure) {
  Report sum;
  const std::uint64_t count = RunSeeds(Kind::kPressure, sum);
  if (count < 100) return;
  EXPECT_GT(sum.cleaned, 10 * count);
  EXPECT_GT(sum.installs, count / 4);
  EXPECT_GT(sum.overtaken, count / 10);
  EXPECT_GT(sum.holds, count);
  EXPECT_GT(sum.holds_lost, count / 4);
}

TEST(Sim, Elections) {
  Report sum;
  const std::uint64_t count = RunSeeds(Kind::kElections, sum);
  if (count < 100) return;
  EXPECT_GT(sum.elections, 2 * count);
}

TEST(Sim, Turns) {
  Report sum;
  const std::uint64_t count = RunSeeds(Kind::kTurns, sum);
  if (count < 100) return;
  EXPECT_GT(sum.elections, count);
}

TEST(Sim, Media) {
  Report sum;
  const std::uint64_t count = RunSeeds(Kind::kMedia, sum);
  if (count < 100) return;
  EXPECT_GT(sum.starts, 5 * count);
}

TEST(Sim, Forced) {
  Report sum;
  const std::uint64_t count = RunSeeds(Kind::kForced, sum);
  if (count < 100) return;
  EXPECT_GT(sum.forced, count);
  EXPECT_GT(sum.refused, count / 4);
  EXPECT_GT(sum.installs, count / 4);
}

// Open-ended: new seeds, for FAHA_SIM_MINUTES.
TEST(Sim, Long) {
  const std::uint64_t minutes = Number("FAHA_SIM_MINUTES", 0);
  if (minutes == 0) GTEST_SKIP() << "FAHA_SIM_MINUTES says for how long";
  const auto now = [] { return std::chrono::system_clock::now(); };
  const auto end = now() + std::chrono::minutes(minutes);
  // Seconds are further apart than a second's seeds.
  const auto fresh = static_cast<std::uint64_t>(now().time_since_epoch() / std::chrono::seconds(1)) * 1000;
  std::uint64_t seed = Number("FAHA_FIRST_SEED", fresh);
  const std::uint64_t first = seed;
  Report sum;
  while (now() < end && RunsWell(seed, kKinds[seed % kKinds.size()], sum)) ++seed;
  std::printf("%llu seeds from %llu on: %s\n", static_cast<unsigned long long>(seed - first),
              static_cast<unsigned long long>(first), sum.Reached().c_str());
}

TEST(Sim, TheSameSeedIsTheSameRun) {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    const Kind kind = kKinds[seed % kKinds.size()];
    const Report once = RunSeed(seed, kind);
    const Report other = RunSeed(seed + 1'000'000, kind);
    const Report again = RunSeed(seed, kind);
    EXPECT_EQ(once.trace, again.trace) << "seed " << seed;
    EXPECT_NE(once.trace, other.trace) << "seed " << seed;
  }
}

}  // namespace
}  // namespace faha::sim
