// The program faha-check: see tools/check.h.
#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include "tools/check.h"

namespace {

// A block of the medium that cannot be read is a signal where it is mapped.
void CannotRead(int) {
  static constexpr char kText[] =
      "faha-check: IOERROR the medium cannot be read: copy it with a tool that skips bad blocks, and look at the "
      "copy\n";
  (void)!write(STDERR_FILENO, kText, sizeof kText - 1);
  _exit(faha::kExitFailed);
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGBUS, CannotRead);
  return faha::Check(argc, argv, stdout, stderr);
}
