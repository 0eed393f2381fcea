// Which seeds are run.
#pragma once

#include <cstdint>
#include <string>

#include "tests/sim/plan.h"

namespace faha::sim {

// In CI, in all tests together, of each kind.
constexpr std::uint64_t SeedsOfCi(Kind kind) {
  switch (kind) {
    case Kind::kMixed: return 5'000;
    case Kind::kPressure: return 200;
    case Kind::kElections: return 1'000;
    case Kind::kTurns: return 2'000;
    case Kind::kMedia: return 1'000;
    case Kind::kForced: return 500;
  }
  return 0;
}

// The number in the environment's `name`.
std::uint64_t Number(const char* name, std::uint64_t otherwise);

// How that seed is run again.
std::string Again(std::uint64_t seed, Kind kind);

// Should the process end by a failed check, it says how that seed is run again.
void NowRuns(std::uint64_t seed, Kind kind);

}  // namespace faha::sim
