// How much of each segment is still needed.  Thread: main loop only.
// The newest put of each key is live.  Tombstones (deletes) and flushes hide older puts, and are needed as long as the
// log has a segment that may hold such a put; here they are counted as long as their own segment exists.
// How many of the live records are packed collections is counted as well, for whoever looks at a node.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "base/check.h"
#include "faha/types.h"
#include "log/batch.h"
#include "log/pool.h"

namespace faha {

// What a live record counts.
struct Live {
  std::uint64_t bytes = 0;
  std::uint64_t packed = 0;  // is it a packed collection?
  static Live Of(const Record& record, std::uint64_t bytes) {
    const bool packed = record.kind == format::RecordKind::kPut && record.type != ValueType::kString && !record.large;
    return {bytes, packed ? 1U : 0U};
  }
  // Of a record that was read from the log.
  static Live Of(const Record& record) { return Of(record, record.bytes); }
};

struct SegmentUsage {
  std::uint64_t live_bytes = 0;
  std::uint64_t tombstone_bytes = 0;
  std::uint64_t flushes = 0;
  std::uint64_t packed = 0;
};
static_assert(sizeof(SegmentUsage) == 32);  // checkpoints hold it

class Usage {
 public:
  explicit Usage(const Pool* pool) : pool_(pool) { Reset(); }

  void Reset() {
    segments_.assign(pool_->geometry().segment_count, {});
    forgotten_.assign(segments_.size(), 0);
    live_bytes_ = tombstone_bytes_ = flushes_ = packed_ = 0;
  }
  void AddLive(LogAddress at, const Live& live) {
    Of(at).live_bytes += live.bytes;
    Of(at).packed += live.packed;
    live_bytes_ += live.bytes;
    packed_ += live.packed;
  }
  void DropLive(LogAddress at, Live live) {
    SegmentUsage& segment = Of(at);
    if (segment.live_bytes < live.bytes || segment.packed < live.packed) {
      FAHA_CHECK(!pool_->Readable(), "what dies was live");
      live = {std::min(live.bytes, segment.live_bytes), std::min(live.packed, segment.packed)};
    }
    segment.live_bytes -= live.bytes;
    segment.packed -= live.packed;
    live_bytes_ -= live.bytes;
    packed_ -= live.packed;
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
  void DropAllLive() { (void)TakeAllLive(); }
  // Every key is gone but may come back.  Returns what was live in each segment.
  [[nodiscard]] std::vector<Live> TakeAllLive() {
    std::vector<Live> live;
    live.reserve(segments_.size());
    for (SegmentUsage& segment : segments_)
      live.push_back({std::exchange(segment.live_bytes, 0), std::exchange(segment.packed, 0)});
    live_bytes_ = packed_ = 0;
    return live;
  }
  void PutLiveBack(std::span<const Live> live) {
    FAHA_CHECK(live_bytes_ == 0 && live.size() <= segments_.size(), "what comes back replaces nothing");
    for (std::size_t i = 0; i < live.size(); ++i) {
      segments_[i].live_bytes = live[i].bytes;
      segments_[i].packed = live[i].packed;
      live_bytes_ += live[i].bytes;
      packed_ += live[i].packed;
    }
  }
  // The segment is no longer part of the log.
  void Forget(std::uint32_t index) {
    live_bytes_ -= segments_[index].live_bytes;
    tombstone_bytes_ -= segments_[index].tombstone_bytes;
    flushes_ -= segments_[index].flushes;
    packed_ -= segments_[index].packed;
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
    live_bytes_ = tombstone_bytes_ = flushes_ = packed_ = 0;
    for (const SegmentUsage& segment : segments_) {
      packed_ += segment.packed;
      live_bytes_ += segment.live_bytes;
      tombstone_bytes_ += segment.tombstone_bytes;
      flushes_ += segment.flushes;
    }
  }
  [[nodiscard]] const SegmentUsage& of(std::uint32_t index) const { return segments_[index]; }
  [[nodiscard]] std::uint64_t live_bytes() const { return live_bytes_; }
  [[nodiscard]] std::uint64_t tombstone_bytes() const { return tombstone_bytes_; }
  [[nodiscard]] std::uint64_t flushes() const { return flushes_; }
  [[nodiscard]] std::uint64_t packed() const { return packed_; }

 private:
  SegmentUsage& Of(LogAddress at) { return segments_[pool_->SegmentOf(at)]; }

  const Pool* pool_;
  std::vector<SegmentUsage> segments_;
  std::vector<std::uint64_t> forgotten_;  // by segment: which call of Forget() was the last for it
  std::uint64_t forgets_ = 0;
  std::uint64_t live_bytes_ = 0, tombstone_bytes_ = 0, flushes_ = 0, packed_ = 0;
};

}  // namespace faha
