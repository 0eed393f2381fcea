// FAHA_CHECK: ends the process if an invariant of our own code does not hold.  Thread: any.
// It is active in every build.  It is for bugs only: an error that the outside world can cause is a Status.
#pragma once

namespace faha {

// Prints "FILE:LINE: FAHA_CHECK(CONDITION) failed: TEXT" to stderr and aborts.
[[noreturn]] void CheckFailed(const char* file, int line, const char* condition, const char* text) noexcept;

}  // namespace faha

#define FAHA_CHECK(condition, text)                                     \
  do {                                                                  \
    if (!(condition)) [[unlikely]]                                      \
      ::faha::CheckFailed(__FILE_NAME__, __LINE__, #condition, (text)); \
  } while (false)
