// Which seeds are run.
#pragma once

#include <cstdint>

namespace faha::sim {

// In CI, in all tests together.
inline constexpr std::uint64_t kSeedsOfCi = 10000;

// The number in the environment's `name`.
std::uint64_t Number(const char* name, std::uint64_t otherwise);

// Should the process end by a failed check, it says how that seed is run again.
void NowRuns(std::uint64_t seed);

}  // namespace faha::sim
