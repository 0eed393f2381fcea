#include "tests/sim/seeds.h"

#include <fmt/format.h>
#include <malloc.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>
#include <string>

namespace faha::sim {

namespace {
std::array<char, 256> last_words;
std::size_t last_words_bytes = 0;

// Buffers of all sizes come and go: their pages are used again, for each new one costs a fault.
[[maybe_unused]] const bool pages_stay =
    ::mallopt(M_MMAP_THRESHOLD, 1 << 30) != 0 && ::mallopt(M_TRIM_THRESHOLD, 1 << 30) != 0;

void OnAbort(int) { [[maybe_unused]] const auto written = ::write(STDERR_FILENO, last_words.data(), last_words_bytes); }
}  // namespace

std::uint64_t Number(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::stoull(text);
}

std::string Again(std::uint64_t seed, Kind kind) {
  return fmt::format(
      "FAHA_SIM_LOG=1 FAHA_FIRST_SEED={} FAHA_SEEDS=1 build/ci/tests/sim/sim_cluster --gtest_filter=Sim.{}", seed,
      KindName(kind));
}

void NowRuns(std::uint64_t seed, Kind kind) {
  const auto end = fmt::format_to_n(last_words.data(), last_words.size(), "seed {} failed a check\n  again with: {}\n",
                                    seed, Again(seed, kind));
  last_words_bytes = end.size;
  std::signal(SIGABRT, OnAbort);
}

}  // namespace faha::sim
