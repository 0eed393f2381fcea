// One run: a cluster forms, meets its faults while clients use it, heals, and is judged.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "tests/sim/plan.h"

namespace faha::sim {

struct Report {
  std::optional<std::string> violation;
  bool only_progress = false;  // nothing wrong was done, but something right was not
  std::uint64_t trace = 0;     // the same for the same seed
  // What the run has reached.
  std::uint64_t done = 0, unknown = 0;      // operations, by their outcome
  std::uint64_t full = 0;                   // writes that found no space
  std::uint64_t elections = 0, starts = 0;  // primaries, and hosts
  std::uint64_t installs = 0;               // logs given as a whole
  std::uint64_t overtaken = 0;              // times that the cleaner has overtaken a whole log
  std::uint64_t cleaned = 0;                // segments
  std::uint64_t holds = 0, holds_lost = 0;  // of segments
  std::uint64_t forced = 0, refused = 0;    // nodes that led alone, and those that returned and held more
  // Adds what `other` has reached.
  Report& operator+=(const Report& other);
  [[nodiscard]] std::string Reached() const;
};

Report RunSeed(std::uint64_t seed, Kind kind = Kind::kMixed, bool verbose = false);

}  // namespace faha::sim
