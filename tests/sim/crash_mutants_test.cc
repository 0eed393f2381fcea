// Mistakes that no cluster shows, but power that fails does.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "base/mutant.h"
#include "tests/crash/crash_run.h"

namespace faha::crash {
namespace {

constexpr std::uint64_t kSeeds = 6;  // of those that CI runs without the mistake

// A mutant may also fail a check and end the process, so it has one of its own.
void RunUntilCaught(Mutant mutant, const RunOptions& options) {
  the_mutant = mutant;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    const auto violation = CrashRun(seed, options).Run();
    if (!violation) continue;
    std::fprintf(stderr, "caught by seed %llu: %s\n", static_cast<unsigned long long>(seed), violation->c_str());
    std::_Exit(1);
  }
  std::_Exit(0);
}

TEST(CrashMutants, UnkeyedChecksumIsCaught) {
  std::fflush(nullptr);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) RunUntilCaught(Mutant::kUnkeyedChecksum, Forging());
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  const bool violated = WIFEXITED(status) && WEXITSTATUS(status) == 1;
  const bool failed_a_check = WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
  EXPECT_TRUE(violated || failed_a_check) << "no seed has seen it; the process ended with status " << status;
}

}  // namespace
}  // namespace faha::crash
