// A list of the living guards.  Thread: the one that forks, the main loop.
#include "fabric/fork_guard.h"

#include <pthread.h>

#include "base/check.h"

namespace faha {
namespace {

ForkGuard* first_guard = nullptr;

}  // namespace

void ForkGuard::CallAllInChild() {
  for (ForkGuard* guard = first_guard; guard != nullptr; guard = guard->next_) guard->OnForkedChild();
}

ForkGuard::ForkGuard() : next_(first_guard) {
  // Once per process; unloading the library takes the handler away again.
  static const int registered = ::pthread_atfork(nullptr, nullptr, &ForkGuard::CallAllInChild);
  FAHA_CHECK(registered == 0, "a fork handler can be registered");
  first_guard = this;
}

ForkGuard::~ForkGuard() {
  ForkGuard** link = &first_guard;
  while (*link != this) link = &(*link)->next_;
  *link = next_;
}

}  // namespace faha
