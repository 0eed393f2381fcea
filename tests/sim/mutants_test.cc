// Each mistake that is made on purpose is found within the seeds that CI runs.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "base/mutant.h"
#include "tests/sim/plan.h"
#include "tests/sim/run.h"
#include "tests/sim/seeds.h"

namespace faha::sim {
namespace {

struct Case {
  Mutant mutant;
  const char* name;
  std::uint64_t step = 1;  // of so many seeds one is run: where no other can show it
  Kind kind = Kind::kMixed;
  bool progress = false;  // it does nothing wrong; it does not what is right
};
void PrintTo(const Case& value, std::ostream* out) { *out << value.name; }

// A mutant may also fail a check and end the process: each has one of its own.
void RunUntilCaught(const Case& test, std::uint64_t seeds) {
  the_mutant = test.mutant;
  for (std::uint64_t seed = test.step; seed <= seeds; seed += test.step) {
    NowRuns(seed, test.kind);
    const Report report = RunSeed(seed, test.kind);
    // To see something wrong being done is more than to see nothing done.
    if (!report.violation || (report.only_progress && !test.progress)) continue;
    std::fprintf(stderr, "caught by seed %llu: %s\n", static_cast<unsigned long long>(seed), report.violation->c_str());
    std::_Exit(1);
  }
  std::_Exit(0);
}

class Mutants : public testing::TestWithParam<Case> {};

TEST_P(Mutants, IsCaught) {
  std::fflush(nullptr);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) RunUntilCaught(GetParam(), Number("FAHA_SEEDS", SeedsOfCi(GetParam().kind)));
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  const bool violated = WIFEXITED(status) && WEXITSTATUS(status) == 1;
  const bool failed_a_check = WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
  EXPECT_TRUE(violated || failed_a_check) << "no seed has seen it; the process ended with status " << status;
}

INSTANTIATE_TEST_SUITE_P(
    All, Mutants,
    testing::Values(Case{Mutant::kPromiseNotPersisted, "PromiseNotPersisted"},
                    Case{Mutant::kAckBeforeDrain, "AckBeforeDrain"},
                    Case{Mutant::kVoterIgnoresEpoch, "VoterIgnoresEpoch"},
                    Case{Mutant::kReusesEarly, "ReusesEarly", Plan::kSmallPools}, Case{Mutant::kNoLease, "NoLease"},
                    Case{Mutant::kUnkeyedChecksum, "UnkeyedChecksum", 1, Kind::kMedia, true},
                    Case{Mutant::kWriteErrorIsNoSpace, "WriteErrorIsNoSpace", 1, Kind::kMedia, true},
                    Case{Mutant::kStalledReceiverStays, "StalledReceiverStays", 1, Kind::kPressure, true},
                    Case{Mutant::kHungVoterCounts, "HungVoterCounts", 1, Kind::kElections, true},
                    Case{Mutant::kMembersCutUnit, "MembersCutUnit", 1, Kind::kTurns},
                    Case{Mutant::kHandOverBlocks, "HandOverBlocks", 1, Kind::kElections},
                    Case{Mutant::kPromotedWithoutLease, "PromotedWithoutLease", 1, Kind::kElections}),
    [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace faha::sim
