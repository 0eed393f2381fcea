#include "tests/sim/fiber.h"

#include <sys/mman.h>

#include <vector>

#include "base/check.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace faha::sim {

namespace {
constexpr std::size_t kStackBytes = 1U << 20;  // most of it is never touched

// Stacks are used again: a new one costs page faults.
std::vector<std::byte*>& SpareStacks() {
  static std::vector<std::byte*> spare;
  return spare;
}

std::byte* TakeStack() {
  auto& spare = SpareStacks();
  if (!spare.empty()) {
    std::byte* stack = spare.back();
    spare.pop_back();
    return stack;
  }
  void* stack = ::mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  FAHA_CHECK(stack != MAP_FAILED, "there is memory for a stack");
  return static_cast<std::byte*>(stack);
}

Fiber* entering = nullptr;
}  // namespace

Fiber::Fiber(std::function<void()> body) : body_(std::move(body)), stack_(TakeStack()) {
  FAHA_CHECK(::getcontext(&here_) == 0, "a context can be made");
  here_.uc_stack.ss_sp = stack_;
  here_.uc_stack.ss_size = kStackBytes;
  here_.uc_link = &outside_;
  ::makecontext(&here_, &Fiber::Enter, 0);
}

Fiber::~Fiber() {
  FAHA_CHECK(ended_ || !begun_, "a fiber ends before its stack does");
  SpareStacks().push_back(stack_);
}

void Fiber::Enter() {
  Fiber* self = entering;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &self->outside_stack_, &self->outside_bytes_);
#endif
  self->body_();
  self->ended_ = true;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(nullptr, self->outside_stack_, self->outside_bytes_);
#endif
}

void Fiber::Resume() {
  FAHA_CHECK(!ended_, "a fiber that has ended is not resumed");
  begun_ = true;
  entering = this;
  Switch(true);
}

void Fiber::Yield() { Switch(false); }

void Fiber::Switch(bool to_fiber) {
#if defined(__SANITIZE_ADDRESS__)
  void* fake = nullptr;
  void** saved = to_fiber ? &fake : &fake_stack_;
  __sanitizer_start_switch_fiber(saved, to_fiber ? stack_ : outside_stack_, to_fiber ? kStackBytes : outside_bytes_);
#endif
  FAHA_CHECK(::swapcontext(to_fiber ? &outside_ : &here_, to_fiber ? &here_ : &outside_) == 0, "contexts are switched");
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(*saved, to_fiber ? nullptr : &outside_stack_, to_fiber ? nullptr : &outside_bytes_);
#endif
}

}  // namespace faha::sim
