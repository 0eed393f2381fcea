// Segments that a forked process reads while this process goes on.  The log does not open a segment again that is still
// to be read.  A segment that is given back meanwhile keeps its bytes, except its first batch header, which
// Pool::ClearEntry erases; the hold remembers that header.
// Threads: the main loop of this process, and the only thread of the other one.  The two share one word, which says how
// many segments were read, in an order that both know, and whether the hold was lost.
// Invariant: a reader that has read everything before the hold was lost has read what stood there when the hold was
// made.
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
  // `order`: the segments in the order in which they will be read.  `segments`: how many the pool has.  `lost` is
  // called in the writing process, at most once, before a segment is written to that was not read yet; it must not call
  // back.
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
  // Ends the hold: segments that were not read may be written to from now on.  Nothing happens if all were read.
  void Lose(const Status& why);

  // --- The process that reads.
  [[nodiscard]] std::span<const Held> order() const { return order_; }
  [[nodiscard]] bool lost() const { return (word_->load(std::memory_order_acquire) & kLost) != 0; }
  // Says that the next segment of the order was read.  False: it may have been written to meanwhile.
  bool Read() { return (word_->fetch_add(1, std::memory_order_acq_rel) & kLost) == 0; }

 private:
  static constexpr std::uint64_t kLost = std::uint64_t{1} << 63;

  std::vector<Held> order_;
  std::vector<std::uint32_t> place_;  // by index: its place in the order, from 1; 0: it is not held
  std::function<void(const Status&)> lost_;
  std::atomic<std::uint64_t>* word_;  // in memory that forked processes share
  static_assert(std::atomic<std::uint64_t>::is_always_lock_free, "two processes share it");
};

}  // namespace faha
