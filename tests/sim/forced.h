// One run with nodes that are forced to lead alone: all other hosts are lost, the one that is left is told to lead
// without them (FAHA.PROMOTE FORCE), clients go on, and the lost hosts return.  What must hold: whoever returns follows
// and is soon in sync; but who holds what the forced one never received is refused, keeps it, and leads nobody.
#pragma once

#include <cstdint>

#include "tests/sim/run.h"

namespace faha::sim {

Report RunForced(std::uint64_t seed, bool verbose);

}  // namespace faha::sim
