#include "keyspace/ghost.h"

#include <algorithm>

namespace faha {

void Ghost::SetWindow(std::uint64_t window) {
  if (lines_ != nullptr) memory_->deallocate(lines_, lines_count_ * sizeof(Line), alignof(Line));
  lines_ = nullptr;
  lines_count_ = LinesFor(window);
  ready_ = 0;
  tick_bytes_ = std::max<std::uint64_t>(window / kTicksPerWindow, 1);
  added_bytes_ = 0;
  if (lines_count_ == 0) return;
  lines_ = static_cast<Line*>(memory_->allocate(lines_count_ * sizeof(Line), alignof(Line)));
}

void Ghost::Add(std::uint64_t hash, std::uint64_t bytes) {
  const std::uint64_t more = std::min(kReadyPerKey, lines_count_ - ready_);
  std::fill_n(lines_ + ready_, more, Line{});
  ready_ += more;
  added_bytes_ += bytes;
  Line* line = LineOf(hash);
  if (line == nullptr) return;
  const std::uint16_t fingerprint = FingerprintOf(hash);
  Entry* place = nullptr;
  for (Entry& entry : line->entries) {
    if (entry.added == 0 || entry.fingerprint == fingerprint) {
      place = &entry;
      break;
    }
    if (place == nullptr || AgeOf(entry) > AgeOf(*place)) place = &entry;
  }
  *place = {fingerprint, Now()};
}

bool Ghost::Take(std::uint64_t hash) {
  Line* line = LineOf(hash);
  if (line == nullptr) return false;
  const std::uint16_t fingerprint = FingerprintOf(hash);
  for (Entry& entry : line->entries) {
    if (entry.added == 0 || entry.fingerprint != fingerprint) continue;
    const bool young = AgeOf(entry) <= kTicksPerWindow;
    entry = {};
    return young;
  }
  return false;
}

}  // namespace faha
