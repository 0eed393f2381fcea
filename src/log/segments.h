// Which segments of a pool hold the log, as this process knows it, and which are free.  Thread: main loop only.
// Two heads fill segments side by side: the hot head takes what clients write, the cold head takes what the cleaner
// moves.  So records that live long do not lie among records that die soon.
// Invariants: (1) the segments of a head follow each other: all batches of one segment precede all of the next.
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
  Lsn first{}, last{};           // its batches; those of the other head have LSNs in between
  std::uint64_t used_bytes = 0;
  std::uint64_t digest = 0;  // the sum of its batches' checksums
  Lsn freed_by{};            // the batch that frees it; 0: none does
  Lsn reused_after{};        // a node that receives its batches must have applied this one first: see Shipper::Pump
};

class SegmentMap {
 public:
  // `count`: the pool's segments, all free.
  explicit SegmentMap(std::uint32_t count);

  // Only the first `count` segments are opened from now on; those beyond stay as they are.
  void Limit(std::uint32_t count);
  // The segment that would be opened next: among those for which spares(index) says no, the one that has been free the
  // longest.  If there is no such segment, the one that has been free the longest of all.
  template <typename Spares>
  [[nodiscard]] std::optional<std::uint32_t> NextFree(Spares spares) const {
    if (free_.empty()) return std::nullopt;
    const auto found = std::find_if_not(free_.begin(), free_.end(), spares);
    return found == free_.end() ? free_.front() : *found;
  }
  // Takes the free segment `index` into use.
  Segment& Open(std::uint32_t index, Head head, std::uint64_t generation, Lsn first);
  // Gives segment `index` back.  `freed_by`: the committed batch that freed it; 0: the segment was cut.
  void Release(std::uint32_t index, Lsn freed_by);
  // Says of all free segments that they were freed at or before `lsn`: all that is known of them when a pool is opened.
  void FreedBy(Lsn lsn);

  [[nodiscard]] const Segment& at(std::uint32_t index) const { return segments_[index]; }
  [[nodiscard]] Segment& at(std::uint32_t index) { return segments_[index]; }
  [[nodiscard]] bool InUse(std::uint32_t index) const {
    return index < segments_.size() && segments_[index].generation != 0;
  }
  // The segment that `head` fills; null if it has none.
  [[nodiscard]] Segment* Tail(Head head);
  [[nodiscard]] const Segment* Tail(Head head) const { return const_cast<SegmentMap*>(this)->Tail(head); }
  // The head's last segment that starts at or before `lsn`; if none does, its first one; null if it has none.
  [[nodiscard]] const Segment* Around(Head head, Lsn lsn) const;
  // The head's next segment; null behind the last.
  [[nodiscard]] const Segment* After(const Segment& segment) const;
  // The segment in use that has that generation; null if there is none.
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
  // Generation -> index of the segments in use, oldest first.
  [[nodiscard]] const std::map<std::uint64_t, std::uint32_t>& in_order() const { return by_generation_; }

 private:
  std::vector<Segment> segments_;
  std::map<std::uint64_t, std::uint32_t> by_generation_;
  std::array<std::map<Lsn, std::uint32_t>, kHeads.size()> heads_;  // by first LSN
  std::uint32_t limit_ = UINT32_MAX;
  std::deque<std::uint32_t> free_, beyond_;  // not in use: those below the limit, and the others
  std::vector<Lsn> freed_by_;                // which batch freed a free segment, by index
};

}  // namespace faha
