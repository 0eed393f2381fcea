#include "log/segments.h"

#include <algorithm>
#include <iterator>

#include "base/check.h"

namespace faha {

SegmentMap::SegmentMap(std::uint32_t count) : segments_(count), freed_by_(count) {
  for (std::uint32_t i = 0; i < count; ++i) free_.push_back(i);
}

void SegmentMap::Limit(std::uint32_t count) {
  limit_ = count;
  free_.insert(free_.end(), beyond_.begin(), beyond_.end());
  beyond_.clear();
  std::erase_if(free_, [&](std::uint32_t index) {
    if (index < limit_) return false;
    beyond_.push_back(index);
    return true;
  });
}

Segment& SegmentMap::Open(std::uint32_t index, Head head, std::uint64_t generation, Lsn first) {
  const auto at = std::find(free_.begin(), free_.end(), index);
  FAHA_CHECK(at != free_.end() && generation > last_generation(), "a free segment is opened as the newest");
  free_.erase(at);
  by_generation_[generation] = index;
  heads_[static_cast<std::size_t>(head)][first] = index;
  Segment& segment = segments_[index];
  segment = {.index = index, .head = head, .generation = generation, .first = first};
  segment.reused_after = freed_by_[index];
  return segment;
}

void SegmentMap::Release(std::uint32_t index, Lsn freed_by) {
  FAHA_CHECK(InUse(index), "only what is in use is released");
  Segment& segment = segments_[index];
  by_generation_.erase(segment.generation);
  heads_[static_cast<std::size_t>(segment.head)].erase(segment.first);
  freed_by_[index] = freed_by.value != 0 ? freed_by : segment.reused_after;
  segment = {};
  (index < limit_ ? free_ : beyond_).push_back(index);
}

void SegmentMap::FreedBy(Lsn lsn) {
  for (const std::uint32_t index : free_) freed_by_[index] = lsn;
}

Segment* SegmentMap::Tail(Head head) {
  const auto& own = heads_[static_cast<std::size_t>(head)];
  return own.empty() ? nullptr : &segments_[own.rbegin()->second];
}

const Segment* SegmentMap::Around(Head head, Lsn lsn) const {
  const auto& own = heads_[static_cast<std::size_t>(head)];
  if (own.empty()) return nullptr;
  auto at = own.upper_bound(lsn);
  if (at != own.begin()) --at;
  return &segments_[at->second];
}

const Segment* SegmentMap::After(const Segment& segment) const {
  const auto& own = heads_[static_cast<std::size_t>(segment.head)];
  const auto at = own.upper_bound(segment.first);
  return at == own.end() ? nullptr : &segments_[at->second];
}

Segment* SegmentMap::WithGeneration(std::uint64_t generation) {
  const auto at = by_generation_.find(generation);
  return at == by_generation_.end() ? nullptr : &segments_[at->second];
}

}  // namespace faha
