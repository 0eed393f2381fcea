// A stack of its own for code that waits in the middle: it runs until it yields, and goes on when it is resumed.
// Thread: one.
#pragma once

#include <ucontext.h>

#include <cstddef>
#include <functional>

namespace faha::sim {

class Fiber {
 public:
  // `body` must not throw.
  explicit Fiber(std::function<void()> body);
  // It must have ended, or never begun.
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Runs the body until it yields or ends.  Not from within a fiber.
  void Resume();
  // From within the body: back to who resumed it.
  void Yield();
  [[nodiscard]] bool begun() const { return begun_; }
  [[nodiscard]] bool ended() const { return ended_; }

 private:
  static void Enter();
  void Switch(bool to_fiber);

  std::function<void()> body_;
  std::byte* stack_;
  bool begun_ = false, ended_ = false;
  ucontext_t here_{}, outside_{};
  // What a sanitizer wants to know of the stack that is left.
  void* fake_stack_ = nullptr;
  const void* outside_stack_ = nullptr;
  std::size_t outside_bytes_ = 0;
};

}  // namespace faha::sim
