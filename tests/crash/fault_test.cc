// A store whose medium fails once, at every write and at every drain of a history.
#include <gtest/gtest.h>

#include "tests/crash/fault_run.h"

namespace faha::crash {
namespace {

void HoldsWhatWasAcknowledged(const HistoryOptions& options, std::uint64_t seeds) {
  std::uint64_t opening = 0, serving = 0;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    FaultRun run(seed, options);
    const auto violation = run.RunAll();
    ASSERT_FALSE(violation.has_value()) << *violation;
    opening += run.met_opening();
    serving += run.met_serving();
  }
  std::printf("  %llu faults while opening, %llu while serving\n", static_cast<unsigned long long>(opening),
              static_cast<unsigned long long>(serving));
  EXPECT_GT(opening, 0U);
  EXPECT_GT(serving, 100U);
}

TEST(Faults, NothingIsAcknowledgedAfterTheMediumHasFailed) {
  HoldsWhatWasAcknowledged({.steps = 30, .segments = 6, .keys = 12}, 4);
}

TEST(Faults, NorWhileSegmentsAreOpenedCleanedAndFreed) { HoldsWhatWasAcknowledged(CleaningFaults(), 1); }

}  // namespace
}  // namespace faha::crash
