// Thread: any.
#pragma once

namespace faha {

// What stands at `at` will be read soon.  GCC takes a function that does nothing but prefetch for one without effect
// and drops the calls of it (seen with 12.2); the empty statement is an effect.
inline void PrefetchLine(const void* at) {
  __builtin_prefetch(at);
  asm volatile("");
}

}  // namespace faha
