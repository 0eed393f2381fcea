// Segments that a forked process reads while this one goes on.  A segment that is still to be read is not opened again
// by the log.  One that is given back meanwhile stays as it is, but for its first header (Pool::ClearEntry), which the
// hold remembers.
// Threads: the main loop of this process, and the only thread of the other one.  The two share one word, which says how
// many segments were read, in an order that both know, and whether the hold was lost.
// Invariant: a reader that has read everything before the hold was lost has read what stood there when it was made.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "faha/status.h"
#include "log/format.h"

namespace faha {

class SegmentHold {
 public:
  struct Held {
    std::uint32_t index = 0;
    format::BatchHeader first{};  // of its first batch
  };
  // `order`: the segments, as they will be read.  `lost` is called, once at most and here, before one of them is
  // written to that was not read; it must not call back.  `segments`: how many the pool has.
  SegmentHold(std::vector<Held> order, std::uint32_t segments, std::function<void(const Status&)> lost);
  ~SegmentHold();
  SegmentHold(const SegmentHold&) = delete;
  SegmentHold& operator=(const SegmentHold&) = delete;

  // --- The process that writes.
  // Is segment `index` still to be read?
  [[nodiscard]] bool Needs(std::uint32_t index) const {
    const std::uint64_t word = word_->load(std::memory_order_acquire);
    return (word & kLost) == 0 && place_[index] > (word & ~kLost);
  }
  // What was not read is written to from now on.  Nothing happens if all was read.
  void Lose(const Status& why);

  // --- The process that reads.
  [[nodiscard]] std::span<const Held> order() const { return order_; }
  // The next segment of the order was read.  False: it may have been written to meanwhile.
  bool Read() { return (word_->fetch_add(1, std::memory_order_acq_rel) & kLost) == 0; }

 private:
  static constexpr std::uint64_t kLost = std::uint64_t{1} << 63;

  std::vector<Held> order_;
  std::vector<std::uint32_t> place_;  // in the order, from 1, by index; 0: it is not held
  std::function<void(const Status&)> lost_;
  std::atomic<std::uint64_t>* word_;  // in memory that forked processes share
  static_assert(std::atomic<std::uint64_t>::is_always_lock_free, "two processes share it");
};

}  // namespace faha
