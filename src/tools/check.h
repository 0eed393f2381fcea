// faha-check: looks at a pool that no server has open.  Thread: main, and the scan's.
// Invariant: nothing of the pool is written, whatever it holds.
#pragma once

#include <cstdio>

namespace faha {

inline constexpr int kExitFailed = 8;  // nothing is known of the pool, or the output could not be written
inline constexpr int kExitUsage = 16;

// The whole program but for its signals; returns the exit code: a Grade, or one of these.
int Check(int argc, const char* const* argv, std::FILE* out, std::FILE* err);

}  // namespace faha
