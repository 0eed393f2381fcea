// One run: a cluster forms, meets its faults while clients use it, heals, and is judged.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace faha::sim {

struct Report {
  std::optional<std::string> violation;
  bool only_progress = false;  // nothing wrong was done, but something right was not
  std::uint64_t trace = 0;     // the same for the same seed
  // What the run has reached.
  std::uint64_t done = 0, elections = 0, installs = 0, cleaned = 0;
};

Report RunSeed(std::uint64_t seed, bool verbose = false);

}  // namespace faha::sim
