// Which segments of a pool hold the log, as this process knows it, and which are free.  Thread: main loop only.
// Two heads fill segments side by side: the hot one takes what clients write, the cold one what the cleaner moves, so
// that what lives long does not lie among what dies soon.
// Invariants: (1) the segments of a head follow each other: all batches of one precede all of the next.
//             (2) a generation is never given twice: the newest segment is a head's last one, which is never freed.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <vector>

#include "faha/types.h"
#include "log/format.h"

namespace faha {

enum class Head : std::uint8_t { kHot = 0, kCold = 1 };
inline constexpr std::array<Head, 2> kHeads{Head::kHot, Head::kCold};
constexpr Head HeadOf(const format::BatchHeader& header) {
  return (header.flags & format::kColdHead) != 0 ? Head::kCold : Head::kHot;
}

struct Segment {
  std::uint32_t index = 0;
  Head head = Head::kHot;
  std::uint64_t generation = 0;  // 0: not part of the log
  Lsn first{}, last{};           // batches; those of the other head have LSNs in between
  std::uint64_t used_bytes = 0;
  std::uint64_t digest = 0;  // the sum of its batches' checksums
  Lsn freed_by{};            // the batch that frees it; 0: none does
  Lsn reused_after{};        // whoever receives its batches must have applied this one first: see Shipper::Pump
};

class SegmentMap {
 public:
  // `count`: the pool's segments, all free.
  explicit SegmentMap(std::uint32_t count);

  // Only the first `count` segments are opened from now on; those beyond stay as they are.
  void Limit(std::uint32_t count);
  // The segment that would be opened next: the one that waited longest, of those that spares(index) says no to as long
  // as there are such.
  template <typename Spares>
  [[nodiscard]] std::optional<std::uint32_t> NextFree(Spares spares) const {
    if (free_.empty()) return std::nullopt;
    const auto found = std::find_if_not(free_.begin(), free_.end(), spares);
    return found == free_.end() ? free_.front() : *found;
  }
  // Takes the free segment `index` into use.
  Segment& Open(std::uint32_t index, Head head, std::uint64_t generation, Lsn first);
  // Gives `index` back; `freed_by` is committed, or the segment was cut (none).
  void Release(std::uint32_t index, Lsn freed_by);
  // What is known of the free ones when a pool is opened: they were freed by `lsn` at the latest.
  void FreedBy(Lsn lsn);

  [[nodiscard]] const Segment& at(std::uint32_t index) const { return segments_[index]; }
  [[nodiscard]] Segment& at(std::uint32_t index) { return segments_[index]; }
  [[nodiscard]] bool InUse(std::uint32_t index) const {
    return index < segments_.size() && segments_[index].generation != 0;
  }
  // The segment `head` fills; null if it has none.
  [[nodiscard]] Segment* Tail(Head head);
  [[nodiscard]] const Segment* Tail(Head head) const { return const_cast<SegmentMap*>(this)->Tail(head); }
  // The head's last segment that starts at or before `lsn`; if none does, its first one; null if it has none.
  [[nodiscard]] const Segment* Around(Head head, Lsn lsn) const;
  // The head's next segment; null behind the last.
  [[nodiscard]] const Segment* After(const Segment& segment) const;
  // In use with that generation; null if none is.
  [[nodiscard]] Segment* WithGeneration(std::uint64_t generation);
  [[nodiscard]] const Segment* WithGeneration(std::uint64_t generation) const {
    return const_cast<SegmentMap*>(this)->WithGeneration(generation);
  }

  [[nodiscard]] std::uint64_t last_generation() const {
    return by_generation_.empty() ? 0 : by_generation_.rbegin()->first;
  }
  [[nodiscard]] std::uint32_t size() const { return static_cast<std::uint32_t>(by_generation_.size()); }
  [[nodiscard]] std::uint32_t free() const { return static_cast<std::uint32_t>(free_.size()); }
  [[nodiscard]] std::uint32_t count() const { return static_cast<std::uint32_t>(segments_.size()); }
  // Generation -> index of those in use, oldest first.
  [[nodiscard]] const std::map<std::uint64_t, std::uint32_t>& in_order() const { return by_generation_; }

 private:
  std::vector<Segment> segments_;
  std::map<std::uint64_t, std::uint32_t> by_generation_;
  std::array<std::map<Lsn, std::uint32_t>, kHeads.size()> heads_;  // by first LSN
  std::uint32_t limit_ = UINT32_MAX;
  std::deque<std::uint32_t> free_, beyond_;  // below the limit, and not
  std::vector<Lsn> freed_by_;                // of the free ones, by index
};

}  // namespace faha
