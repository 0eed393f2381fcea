#include <algorithm>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "bench/index/policy.h"

namespace faha::bench {
namespace {

// A tenth of the bytes is a small queue in which what is new must show that it is used; the rest is the main queue.
// Keys that the small one has let go are remembered, without values, for as long as the main one would have held them:
// one that comes back meanwhile enters the main queue.
class S3Fifo final : public Policy {
 public:
  S3Fifo(std::uint64_t capacity, std::uint32_t keys)
      : capacity_(capacity),
        small_capacity_(capacity / 10),
        ghost_capacity_(capacity - small_capacity_),
        states_(keys) {}

  bool Access(std::uint32_t key, std::uint32_t bytes) override {
    State& state = states_[key];
    if (state.held) {
      state.frequency = std::min(state.frequency + 1, kMaxFrequency);
      return true;
    }
    if (bytes > capacity_) return false;
    // Before room is made, which may make the ghost forget.
    const bool remembered = TakeFromGhost(key);
    while (small_.bytes + main_.bytes + bytes > capacity_) Evict();
    state.bytes = bytes;
    state.frequency = 0;
    state.held = true;
    Push(remembered ? main_ : small_, key);
    return false;
  }

 private:
  static constexpr int kMaxFrequency = 3;  // two bits

  struct State {
    std::uint32_t bytes = 0;
    std::uint32_t ghost = 0;  // the number of its place in the ghost; 0: none
    int frequency = 0;        // accesses since it came, or came to the main queue
    bool held = false;
  };
  struct Queue {
    std::deque<std::uint32_t> keys;
    std::uint64_t bytes = 0;
  };
  struct Ghost {
    std::uint32_t key, number;
  };

  void Push(Queue& queue, std::uint32_t key) {
    queue.keys.push_back(key);
    queue.bytes += states_[key].bytes;
  }
  std::uint32_t Pop(Queue& queue) {
    const std::uint32_t key = queue.keys.front();
    queue.keys.pop_front();
    queue.bytes -= states_[key].bytes;
    return key;
  }

  void Evict() {
    const bool from_small = small_.bytes >= small_capacity_ ? !small_.keys.empty() : main_.keys.empty();
    from_small ? EvictFromSmall() : EvictFromMain();
  }
  // Ends with the first that leaves, or when the queue is empty.
  void EvictFromSmall() {
    while (!small_.keys.empty()) {
      const std::uint32_t key = Pop(small_);
      if (states_[key].frequency <= 1) {
        states_[key].held = false;
        AddToGhost(key);
        return;
      }
      states_[key].frequency = 0;
      Push(main_, key);
      while (main_.bytes > capacity_ - small_capacity_) EvictFromMain();
    }
  }
  void EvictFromMain() {
    while (true) {
      const std::uint32_t key = Pop(main_);
      if (states_[key].frequency == 0) {
        states_[key].held = false;
        return;
      }
      --states_[key].frequency;
      Push(main_, key);
    }
  }

  void AddToGhost(std::uint32_t key) {
    states_[key].ghost = ++ghosts_;
    ghost_.push_back({key, ghosts_});
    ghost_bytes_ += states_[key].bytes;
    while (ghost_bytes_ > ghost_capacity_) {
      if (states_[ghost_.front().key].ghost == ghost_.front().number) (void)TakeFromGhost(ghost_.front().key);
      ghost_.pop_front();
    }
  }
  // Its place in the queue stays, and is passed over.
  bool TakeFromGhost(std::uint32_t key) {
    if (states_[key].ghost == 0) return false;
    states_[key].ghost = 0;
    ghost_bytes_ -= states_[key].bytes;
    return true;
  }

  const std::uint64_t capacity_, small_capacity_, ghost_capacity_;
  std::vector<State> states_;
  Queue small_, main_;
  std::deque<Ghost> ghost_;
  std::uint64_t ghost_bytes_ = 0;
  std::uint32_t ghosts_ = 0;  // ever made
};

}  // namespace

std::unique_ptr<Policy> MakeS3Fifo(std::uint64_t capacity, std::uint32_t keys) {
  return std::make_unique<S3Fifo>(capacity, keys);
}

}  // namespace faha::bench
