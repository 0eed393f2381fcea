// Each mistake that is made on purpose is found within the seeds that CI runs, by one that finds nothing without it.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
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
  bool progress = false;    // it does nothing wrong; it does not what is right
  std::uint64_t first = 1;  // the seed that is run first: where only few show it
};
void PrintTo(const Case& value, std::ostream* out) { *out << value.name; }

// Does what was seen count?  To see something wrong being done is more than to see nothing done.
bool Counts(const Report& report, const Case& test) {
  return report.violation && (!report.only_progress || test.progress);
}

// How the process ended that ran `body`, which is true if it has seen something.  A mutant may also fail a check and
// end its process, so each has one of its own.
template <typename Body>
bool Sees(Body body) {
  std::fflush(nullptr);
  const pid_t child = ::fork();
  if (child == 0) std::_Exit(body() ? 1 : 0);
  int status = 0;
  EXPECT_TRUE(child > 0 && ::waitpid(child, &status, 0) == child);
  EXPECT_TRUE(WIFEXITED(status) || (WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT))
      << "the process ended with status " << status;
  return !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}

class Mutants : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    void* page = ::mmap(nullptr, sizeof *seed_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(page, MAP_FAILED);
    seed_ = static_cast<std::uint64_t*>(page);
  }
  void TearDown() override { ::munmap(seed_, sizeof *seed_); }

  std::uint64_t* seed_ = nullptr;  // that is run, or was when the process ended
};

TEST_P(Mutants, IsCaught) {
  const Case& test = GetParam();
  const std::uint64_t seeds = Number("FAHA_SEEDS", SeedsOfCi(test.kind));
  const std::uint64_t first = (Number("FAHA_FIRST_SEED", test.first) + test.step - 1) / test.step * test.step;
  const bool caught = Sees([&] {
    the_mutant = test.mutant;
    for (*seed_ = first; *seed_ < first + seeds; *seed_ += test.step) {
      NowRuns(*seed_, test.kind);
      const Report report = RunSeed(*seed_, test.kind);
      if (!Counts(report, test)) continue;
      std::fprintf(stderr, "caught by seed %llu: %s\n", static_cast<unsigned long long>(*seed_),
                   report.violation->c_str());
      return true;
    }
    return false;
  });
  ASSERT_TRUE(caught) << "no seed has seen it";
  // It is the mutant that was seen, and not a mistake that nobody made on purpose.
  EXPECT_FALSE(Sees([&] {
    NowRuns(*seed_, test.kind);
    const Report report = RunSeed(*seed_, test.kind);
    if (report.violation) std::fprintf(stderr, "without the mutant: %s\n", report.violation->c_str());
    return report.violation.has_value();
  })) << "seed "
      << *seed_ << " fails without the mutant as well";
}

INSTANTIATE_TEST_SUITE_P(
    All, Mutants,
    testing::Values(Case{Mutant::kPromiseNotPersisted, "PromiseNotPersisted"},
                    Case{Mutant::kAckBeforeDrain, "AckBeforeDrain"},
                    Case{Mutant::kVoterIgnoresEpoch, "VoterIgnoresEpoch", 1, Kind::kMixed, false, 12300},
                    Case{Mutant::kReusesEarly, "ReusesEarly", Plan::kSmallPools, Kind::kMixed, false, 500},
                    Case{Mutant::kNoLease, "NoLease"},
                    Case{Mutant::kUnkeyedChecksum, "UnkeyedChecksum", 1, Kind::kMedia, true},
                    Case{Mutant::kWriteErrorIsNoSpace, "WriteErrorIsNoSpace", 1, Kind::kMedia, true, 350},
                    Case{Mutant::kStalledReceiverStays, "StalledReceiverStays", 1, Kind::kPressure, true, 130},
                    Case{Mutant::kFullForEver, "FullForEver", 1, Kind::kPressure, true},
                    Case{Mutant::kPatienceGrows, "PatienceGrows", Plan::kBusyCleaners, Kind::kPressure, true, 460},
                    Case{Mutant::kGapHidesFrees, "GapHidesFrees", 1, Kind::kPressure, false, 325},
                    Case{Mutant::kCandidateInstalls, "CandidateInstalls", 1, Kind::kElections},
                    Case{Mutant::kHungVoterCounts, "HungVoterCounts", 1, Kind::kElections, true},
                    Case{Mutant::kNothingProves, "NothingProves", 1, Kind::kTurns, false, 2700},
                    Case{Mutant::kFailsOnce, "FailsOnce", 1, Kind::kElections},
                    Case{Mutant::kMembersCutUnit, "MembersCutUnit", 1, Kind::kTurns},
                    Case{Mutant::kUnitOutlivesCut, "UnitOutlivesCut", 1, Kind::kTurns},
                    Case{Mutant::kRollBackKeepsHalfAUnit, "RollBackKeepsHalfAUnit", 1, Kind::kTurns},
                    Case{Mutant::kHandOverBlocks, "HandOverBlocks", 1, Kind::kElections},
                    Case{Mutant::kOrderBeginsAnew, "OrderBeginsAnew", 1, Kind::kElections, true},
                    Case{Mutant::kReadsUnchecked, "ReadsUnchecked", 1, Kind::kMedia},
                    Case{Mutant::kHearsTheLeft, "HearsTheLeft", 1, Kind::kForced, true, 900},
                    Case{Mutant::kForgetsForks, "ForgetsForks", 1, Kind::kForced, true},
                    Case{Mutant::kForkedOffElects, "ForkedOffElects", 1, Kind::kForced},
                    Case{Mutant::kPlacedStays, "PlacedStays", 1, Kind::kForced, true, 600},
                    Case{Mutant::kForgetsLeftOut, "ForgetsLeftOut", 1, Kind::kForced, true},
                    Case{Mutant::kHearsNoQuestion, "HearsNoQuestion", 1, Kind::kForced, true},
                    Case{Mutant::kForcesAtOnce, "ForcesAtOnce", 1, Kind::kForced},
                    Case{Mutant::kSidesNeverMeet, "SidesNeverMeet", 1, Kind::kForced, true},
                    Case{Mutant::kElectsUnreached, "ElectsUnreached", 1, Kind::kElections},
                    Case{Mutant::kPromotedWithoutLease, "PromotedWithoutLease", 1, Kind::kElections}),
    [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace faha::sim
