// The hot tier: copies in DRAM of the records that are read most, so that reading them touches no persistent memory.
// Thread: main loop only.
//
// Which records: S3-FIFO (Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023).  A key that is
// read for the first time enters a small queue, a tenth of the tier.  When it comes to the end of that queue, it moves
// to the main queue if it was read more than once meanwhile.  Otherwise it is evicted, and the ghost remembers only
// that the key was here: if it is read again soon, it enters the main queue at once.  A block that comes to the end of
// the main queue goes round once more for each time it was read, up to three.  So one scan of all keys passes through
// the small queue alone.  How often a key was read is counted in its slot.
//
// Reading allocates nothing and moves nothing: a miss is only noted.  The keys that were noted are admitted between
// units, so views that readers hold stay valid.
//
// Invariants: (1) a block that is not dead is named by exactly one slot, and holds a copy of the record at block->at.
//             (2) chunks and ghost together never take more than the limit.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <memory_resource>
#include <span>

#include "keyspace/block_queue.h"
#include "keyspace/ghost.h"
#include "keyspace/indexes.h"
#include "keyspace/place.h"

namespace faha {

// Counted since the start.
struct HotStats {
  std::uint64_t hits = 0, misses = 0;  // reads of keys that exist
  std::uint64_t admissions = 0;
  std::uint64_t ghost_hits = 0;  // of the admissions, those of keys that the ghost remembered
  std::uint64_t evictions = 0;   // deletions do not count
  std::uint64_t refreshes = 0;   // puts of hot keys
  std::uint64_t keys = 0;        // how many are hot now
};

class HotTier {
 public:
  // A lower limit is too little to be of use, and counts as 0.
  static constexpr std::uint64_t kMinLimit = std::uint64_t{1} << 20;

  HotTier(Indexes* index, std::pmr::memory_resource* memory)
      : index_(index), chunks_(memory), ghost_(memory), small_(&chunks_), main_(&chunks_) {}

  // The tier may take `bytes` of DRAM.  If it has more than that now, Shrink() evicts the rest.
  void SetLimit(std::uint64_t bytes);
  [[nodiscard]] std::uint64_t limit() const { return limit_; }

  // Notes that the key of `db` with that hash was read at `place`.
  void Count(DbId db, std::uint64_t hash, Place place) {
    if (place.hot()) {
      ++stats_.hits;
      return;
    }
    ++stats_.misses;
    if (capacity_ != 0 && missed_count_ < missed_.size()) missed_[missed_count_++] = {hash, place, db};
  }
  // The cold key of `db` with that hash has a new record at `place`.  If it is the key that was missed last (as when a
  // counter is read and then put), it will be admitted from that place.
  void Moved(DbId db, std::uint64_t hash, Place place) {
    if (missed_count_ == 0) return;
    Missed& last = missed_[missed_count_ - 1];
    if (last.hash == hash && last.db == db) last.place = place;
  }
  // To be called between units: admits the keys that were missed, as far as they are still where they were read.
  // record_at(LogAddress) gives the bytes of a record.
  template <typename Function>
  void Settle(Function record_at) {
    for (std::size_t i = 0; i < missed_count_; ++i) {
      const Missed& missed = missed_[i];
      if (!index_->Names(missed.db, missed.hash, missed.place)) continue;
      const auto record = record_at(missed.place.log_address());
      if (!record.empty()) Admit(missed, record);
    }
    missed_count_ = 0;
  }
  // To be called before records leave their addresses: forgets the keys that were missed.
  void ForgetMissed() { missed_count_ = 0; }
  // Evicts some of the keys that exceed a lowered limit; true: there may be more to evict.
  bool Shrink();

  // A key that was hot at `old` has the new record `record` at `cold`.  Returns the key's new place: a hot one, if
  // there is room.
  [[nodiscard]] Place Refresh(Place old, LogAddress cold, std::span<const std::byte> record);
  // The key of `block` is gone.
  void Drop(HotBlock* block);
  // All keys are gone.
  void Clear();
  // The blocks of all keys, set aside: they are not used, but they count against the limit.
  struct Parked {
    explicit Parked(ChunkSource* chunks) : small(chunks), main(chunks) {}
    BlockQueue small, main;
    std::uint64_t keys = 0;
  };
  // Sets the blocks of all keys aside: the keys are gone, but may come back.  The result must not outlive the tier.
  [[nodiscard]] std::unique_ptr<Parked> Park();
  // The keys that were parked are back; the keys that are hot now are gone.
  void Unpark(std::unique_ptr<Parked> parked);

  [[nodiscard]] const HotStats& stats() const { return stats_; }
  [[nodiscard]] std::uint64_t MemoryBytes() const { return chunks_.bytes() + ghost_bytes_; }
  // For tests: ends the process if an invariant does not hold.  Reads every block; record_at as above.
  template <typename Function>
  void CheckInvariants(Function record_at) const;

 private:
  struct Missed {
    std::uint64_t hash;
    Place place;
    DbId db;
  };
  // A queue's oldest and newest chunk may be nearly empty, and one more is opened before another one ends.
  static constexpr std::uint64_t kSlackChunks = 5;
  static constexpr std::uint64_t kSmallShare = 10;  // the small queue is 1 / kSmallShare of the capacity
  static constexpr int kLooks = 128;                // blocks to look at, at most, for one admission or one turn
  static constexpr std::uint64_t kLargest = 16;     // a block is at most 1 / kLargest of the capacity

  HotBlock* Add(BlockQueue& queue, std::uint64_t bytes, DbId db, std::uint64_t hash);
  void Admit(const Missed& missed, std::span<const std::byte> record);
  bool MakeRoom(std::uint64_t bytes);
  bool LookAtOne(bool spare);
  void LookAtSmall();
  void LookAtMain(bool spare);
  void MoveToMain(HotBlock* block, unsigned frequency);
  void CountEviction() {
    ++stats_.evictions;
    --stats_.keys;
  }
  void CheckBlock(const HotBlock& block, std::span<const std::byte> record) const;

  Indexes* index_;
  std::uint64_t limit_ = 0, capacity_ = 0, ghost_bytes_ = 0;
  ChunkSource chunks_;
  Ghost ghost_;
  BlockQueue small_, main_;
  std::array<Missed, 64> missed_;
  std::size_t missed_count_ = 0;
  HotStats stats_;
};

template <typename Function>
void HotTier::CheckInvariants(Function record_at) const {
  std::uint64_t keys = 0;
  for (const BlockQueue* queue : {&small_, &main_}) {
    queue->ForEach([&](const HotBlock& block) {
      CheckBlock(block, record_at(block.at()));
      ++keys;
    });
  }
  FAHA_CHECK(keys == stats_.keys, "hot keys are counted");
  FAHA_CHECK(MemoryBytes() <= limit_ || chunks_.over(), "the limit holds");
}

}  // namespace faha
