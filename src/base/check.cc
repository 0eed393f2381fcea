// The end of a process whose invariants do not hold.  Thread: any.
// Invariants: (1) this code allocates nothing: the heap may be what is broken.
#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace faha {

void CheckFailed(const char* file, int line, const char* condition, const char* text) noexcept {
  std::fprintf(stderr, "%s:%d: FAHA_CHECK(%s) failed: %s\n", file, line, condition, text);
  std::fflush(stderr);
  std::abort();
}

}  // namespace faha
