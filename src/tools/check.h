// faha-check: looks at a pool that no server has open.  Thread: main, and the scan's.
// Invariant: nothing is written to the pool, whatever it holds.
#pragma once

#include <cstdio>

namespace faha {

inline constexpr int kExitFailed = 8;  // nothing is known of the pool, or the output could not be written
inline constexpr int kExitUsage = 16;

// The whole program except its signal handling; returns the exit code: a Grade, or one of the two above.
int Check(int argc, const char* const* argv, std::FILE* out, std::FILE* err);

}  // namespace faha
