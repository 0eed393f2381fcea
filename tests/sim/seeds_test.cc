// Seeded clusters of the real store: FAHA_SEEDS runs from FAHA_FIRST_SEED on.
#include "tests/sim/seeds.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "tests/sim/run.h"

namespace faha::sim {
namespace {

TEST(Sim, Seeds) {
  const std::uint64_t first = Number("FAHA_FIRST_SEED", 1);
  const std::uint64_t count = Number("FAHA_SEEDS", 1000);
  Report sum;
  for (std::uint64_t seed = first; seed < first + count; ++seed) {
    NowRuns(seed);
    const Report report = RunSeed(seed, std::getenv("FAHA_SIM_LOG") != nullptr);
    sum.done += report.done;
    sum.elections += report.elections;
    sum.installs += report.installs;
    sum.cleaned += report.cleaned;
    if (report.violation) {
      ADD_FAILURE() << "seed " << seed << ": " << *report.violation;
      if (std::getenv("FAHA_SIM_ALL") == nullptr) break;
    }
  }
  std::printf("%llu operations, %llu elections, %llu logs given as a whole, %llu segments cleaned\n",
              static_cast<unsigned long long>(sum.done), static_cast<unsigned long long>(sum.elections),
              static_cast<unsigned long long>(sum.installs), static_cast<unsigned long long>(sum.cleaned));
}

}  // namespace
}  // namespace faha::sim
