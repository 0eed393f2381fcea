// Which seeds are run.
#pragma once

#include <cstdint>
#include <string>

namespace faha::sim {

// In CI, in all tests together.
inline constexpr std::uint64_t kSeedsOfCi = 10000;

// The number in the environment's `name`.
std::uint64_t Number(const char* name, std::uint64_t otherwise);

// How that seed is run again.
std::string Again(std::uint64_t seed);

// Should the process end by a failed check, it says how that seed is run again.
void NowRuns(std::uint64_t seed);

}  // namespace faha::sim
