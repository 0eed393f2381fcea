// Tells an object that it is now in a forked child.  Thread: the one that forks, the main loop.
// Redis forks to save and to rewrite.  A child that inherits a connection keeps it open after the parent is gone, and
// the peer would wait for a dead node; so the child lets go of every descriptor first.
#pragma once

namespace faha {

class ForkGuard {
 public:
  ForkGuard(const ForkGuard&) = delete;
  ForkGuard& operator=(const ForkGuard&) = delete;

 protected:
  ForkGuard();
  ~ForkGuard();

 private:
  static void CallAllInChild();
  // Runs in the child, before fork() returns there.  May only make system calls and write its own members.
  virtual void OnForkedChild() noexcept = 0;

  ForkGuard* next_;
};

}  // namespace faha
