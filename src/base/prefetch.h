// Thread: any.
#pragma once

namespace faha {

// Says that the bytes at `at` will be read soon.  GCC takes a function that does nothing but prefetch for one without
// effect, and drops the calls of it (seen with 12.2).  The empty asm statement counts as an effect.
inline void PrefetchLine(const void* at) {
  __builtin_prefetch(at);
  asm volatile("");
}

}  // namespace faha
