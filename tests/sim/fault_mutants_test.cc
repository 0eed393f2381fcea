// A mistake on purpose that only a medium that fails can show: see tests/crash/fault_run.h.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "base/mutant.h"
#include "tests/crash/fault_run.h"

namespace faha::crash {
namespace {

TEST(FaultMutants, AWriteErrorThatIsTakenForAFullPoolIsCaught) {
  std::fflush(nullptr);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    the_mutant = Mutant::kWriteErrorIsNoSpace;
    const auto violation = FaultRun(1, CleaningFaults()).RunAll();
    if (violation) std::fprintf(stderr, "caught: %s\n", violation->c_str());
    std::_Exit(violation ? 1 : 0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  const bool failed_a_check = WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
  EXPECT_TRUE(failed_a_check || (WIFEXITED(status) && WEXITSTATUS(status) == 1)) << "no fault has shown it";
}

}  // namespace
}  // namespace faha::crash
