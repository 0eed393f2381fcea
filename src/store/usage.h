// How much of each segment is still needed.  Thread: main loop only.
// The newest put of each key is live.  Tombstones (deletes) and flushes hide older puts, and are needed as long as the
// log has a segment that may hold such a put; here they are counted as long as their own segment exists.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "base/check.h"
#include "faha/types.h"
#include "log/pool.h"

namespace faha {

struct SegmentUsage {
  std::uint64_t live_bytes = 0;
  std::uint64_t tombstone_bytes = 0;
  std::uint64_t flushes = 0;
};
static_assert(sizeof(SegmentUsage) == 24);  // checkpoints hold it

class Usage {
 public:
  explicit Usage(const Pool* pool) : pool_(pool) { Reset(); }

  void Reset() {
    segments_.assign(pool_->geometry().segment_count, {});
    forgotten_.assign(segments_.size(), 0);
    live_bytes_ = tombstone_bytes_ = flushes_ = 0;
  }
  void AddLive(LogAddress at, std::uint64_t bytes) {
    Of(at).live_bytes += bytes;
    live_bytes_ += bytes;
  }
  void DropLive(LogAddress at, std::uint64_t bytes) {
    if (Of(at).live_bytes < bytes) {
      FAHA_CHECK(!pool_->Readable(), "what dies was live");
      bytes = Of(at).live_bytes;
    }
    Of(at).live_bytes -= bytes;
    live_bytes_ -= bytes;
  }
  void AddTombstone(LogAddress at, std::uint64_t bytes) {
    Of(at).tombstone_bytes += bytes;
    tombstone_bytes_ += bytes;
  }
  void DropTombstone(LogAddress at, std::uint64_t bytes) {
    FAHA_CHECK(Of(at).tombstone_bytes >= bytes, "what is taken back was counted");
    Of(at).tombstone_bytes -= bytes;
    tombstone_bytes_ -= bytes;
  }
  void DropFlush(LogAddress at) {
    FAHA_CHECK(Of(at).flushes != 0, "what is taken back was counted");
    --Of(at).flushes;
    --flushes_;
  }
  void AddFlush(LogAddress at) {
    ++Of(at).flushes;
    ++flushes_;
  }
  // Every key is gone.
  void DropAllLive() {
    for (SegmentUsage& segment : segments_) segment.live_bytes = 0;
    live_bytes_ = 0;
  }
  // Every key is gone but may come back.  Returns the live bytes of each segment.
  [[nodiscard]] std::vector<std::uint64_t> TakeAllLive() {
    std::vector<std::uint64_t> live;
    live.reserve(segments_.size());
    for (SegmentUsage& segment : segments_) live.push_back(std::exchange(segment.live_bytes, 0));
    live_bytes_ = 0;
    return live;
  }
  void PutLiveBack(std::span<const std::uint64_t> live) {
    FAHA_CHECK(live_bytes_ == 0 && live.size() <= segments_.size(), "what comes back replaces nothing");
    for (std::size_t i = 0; i < live.size(); ++i) {
      segments_[i].live_bytes = live[i];
      live_bytes_ += live[i];
    }
  }
  // The segment is no longer part of the log.
  void Forget(std::uint32_t index) {
    live_bytes_ -= segments_[index].live_bytes;
    tombstone_bytes_ -= segments_[index].tombstone_bytes;
    flushes_ -= segments_[index].flushes;
    segments_[index] = {};
    forgotten_[index] = ++forgets_;
  }
  // forgets(): how often Forget() was called.  ForgottenSince(): was it called for the segment of `at` after the
  // `count`th time?
  [[nodiscard]] std::uint64_t forgets() const { return forgets_; }
  [[nodiscard]] bool ForgottenSince(LogAddress at, std::uint64_t count) const {
    return forgotten_[pool_->SegmentOf(at)] > count;
  }

  [[nodiscard]] std::span<const SegmentUsage> segments() const { return segments_; }
  void Restore(std::vector<SegmentUsage> segments) {
    segments_ = std::move(segments);
    forgotten_.assign(segments_.size(), 0);
    live_bytes_ = tombstone_bytes_ = flushes_ = 0;
    for (const SegmentUsage& segment : segments_) {
      live_bytes_ += segment.live_bytes;
      tombstone_bytes_ += segment.tombstone_bytes;
      flushes_ += segment.flushes;
    }
  }
  [[nodiscard]] const SegmentUsage& of(std::uint32_t index) const { return segments_[index]; }
  [[nodiscard]] std::uint64_t live_bytes() const { return live_bytes_; }
  [[nodiscard]] std::uint64_t tombstone_bytes() const { return tombstone_bytes_; }
  [[nodiscard]] std::uint64_t flushes() const { return flushes_; }

 private:
  SegmentUsage& Of(LogAddress at) { return segments_[pool_->SegmentOf(at)]; }

  const Pool* pool_;
  std::vector<SegmentUsage> segments_;
  std::vector<std::uint64_t> forgotten_;  // by segment: which call of Forget() was the last for it
  std::uint64_t forgets_ = 0;
  std::uint64_t live_bytes_ = 0, tombstone_bytes_ = 0, flushes_ = 0;
};

}  // namespace faha
