#include "keyspace/hot_tier.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"

namespace faha {

void HotTier::SetLimit(std::uint64_t bytes) {
  if (bytes == limit_) return;
  limit_ = bytes;
  const std::uint64_t usable = bytes < kMinLimit ? 0 : bytes - kSlackChunks * ChunkSource::ChunkBytesFor(bytes);
  // The ghost remembers as many bytes as the main queue holds.
  const std::uint64_t window = usable / kSmallShare * (kSmallShare - 1);
  ghost_.SetWindow(window);
  ghost_bytes_ = Ghost::BytesFor(window);
  capacity_ = usable - std::min(usable, ghost_bytes_);
  chunks_.SetLimit(capacity_ == 0 ? 0 : bytes - ghost_bytes_);
}

// Adds a new block, for which others may be evicted.  Null: the block is too large, or making room would take too long
// for now.
HotBlock* HotTier::Add(BlockQueue& queue, std::uint64_t bytes, DbId db, std::uint64_t hash) {
  if (bytes > std::min(HotBlock::kMaxBytes, capacity_ / kLargest) || !MakeRoom(bytes)) return nullptr;
  HotBlock* block = queue.Add(bytes, db, hash);
  // Chunks may still have the size that was right for a larger limit; then more blocks must be evicted to free one.
  for (int looks = 0; block == nullptr && looks < kLooks && LookAtOne(false); ++looks) {
    block = queue.Add(bytes, db, hash);
  }
  return block;
}

void HotTier::Admit(const Missed& missed, std::span<const std::byte> record) {
  const auto& [hash, cold, db] = missed;
  const bool remembered = ghost_.Take(hash);
  HotBlock* block = Add(remembered ? main_ : small_, HotBlock::BytesFor(record.size()), db, hash);
  if (block == nullptr) return;
  const bool named = index_->Change(db, hash, cold, [&](Place) { return Place::Hot(block); });
  FAHA_CHECK(named, "what is admitted is cold");
  block->Fill(cold.log_address(), record);
  ++stats_.admissions;
  ++stats_.keys;
  if (remembered) ++stats_.ghost_hits;
}

// Evicts blocks until `bytes` more fit.  False: this would take too long for now.
bool HotTier::MakeRoom(std::uint64_t bytes) {
  const auto fits = [&] { return small_.bytes() + main_.bytes() + bytes <= capacity_ && !chunks_.over(); };
  for (int looks = 0; !fits(); ++looks) {
    // The second half of the looks spares no block: even if all blocks of the main queue are read often, new ones must
    // be admitted.
    if (looks == kLooks || !LookAtOne(looks < kLooks / 2)) return fits();
  }
  return true;
}

// Looks at the oldest block of one of the queues: evicts it or moves it on.  False: there is no block.
bool HotTier::LookAtOne(bool spare) {
  const bool any_main = main_.Oldest() != nullptr;
  if (small_.Oldest() != nullptr && (!any_main || small_.bytes() > capacity_ / kSmallShare)) {
    LookAtSmall();
    return true;
  }
  if (any_main) LookAtMain(spare);
  return any_main;
}

bool HotTier::Shrink() {
  // Parked blocks keep their chunks until they are dropped; if no others are left, there is nothing to evict.
  if (!MakeRoom(0) && (small_.Oldest() != nullptr || main_.Oldest() != nullptr)) return true;
  if (capacity_ == 0 && MemoryBytes() > 0) Clear();
  return false;
}

void HotTier::LookAtSmall() {
  HotBlock* block = small_.Oldest();
  bool move = false;
  const bool named = index_->Change(block->Db(), block->hash, Place::Hot(block), [&](Place place) {
    move = place.frequency() > 1;
    return move ? place : Place::Cold(block->at());
  });
  FAHA_CHECK(named, "a block is named by a slot");
  if (move) {
    MoveToMain(block, 0);
  } else {
    ghost_.Add(block->hash, block->bytes());
    CountEviction();
  }
  small_.DropOldest();
  if (const HotBlock* next = small_.Oldest(); next != nullptr) index_->Prefetch(next->Db(), next->hash);
}

// `spare`: a block that was read since it was looked at last goes round once more.
void HotTier::LookAtMain(bool spare) {
  HotBlock* block = main_.Oldest();
  unsigned frequency = 0;
  const bool named = index_->Change(block->Db(), block->hash, Place::Hot(block), [&](Place place) {
    frequency = spare ? place.frequency() : 0;
    return frequency > 0 ? place : Place::Cold(block->at());
  });
  FAHA_CHECK(named, "a block is named by a slot");
  if (frequency > 0) {
    MoveToMain(block, frequency - 1);
  } else {
    CountEviction();
  }
  main_.DropOldest();
  if (const HotBlock* next = main_.Oldest(); next != nullptr) index_->Prefetch(next->Db(), next->hash);
}

// A copy of `block`, which is about to leave its queue, joins the main queue.
void HotTier::MoveToMain(HotBlock* block, unsigned frequency) {
  HotBlock* to = main_.Add(block->bytes(), block->Db(), block->hash);
  if (to != nullptr) to->Fill(block->at(), {block->record(), block->bytes() - sizeof(HotBlock)});
  index_->Change(block->Db(), block->hash, Place::Hot(block),
                 [&](Place) { return to == nullptr ? Place::Cold(block->at()) : Place::Hot(to, frequency); });
  if (to != nullptr) return;
  CountEviction();
}

Place HotTier::Refresh(Place old, LogAddress cold, std::span<const std::byte> record) {
  HotBlock* block = old.block();
  const std::uint64_t bytes = HotBlock::BytesFor(record.size());
  ++stats_.refreshes;
  // A record that is much smaller than the old one gets a new block, because the rest of the old block would be wasted.
  const bool in_place = bytes <= block->bytes() && bytes * 2 >= block->bytes();
  if (!in_place) {
    const std::uint64_t hash = block->hash;
    const DbId db = block->Db();
    block->Kill();
    block = Add(small_, bytes, db, hash);
  }
  if (block == nullptr) {
    CountEviction();
    return Place::Cold(cold);
  }
  block->Fill(cold, record);
  return Place::Hot(block, old.frequency());
}

void HotTier::Drop(HotBlock* block) {
  block->Kill();
  --stats_.keys;
}

void HotTier::Clear() {
  small_.Clear();
  main_.Clear();
  chunks_.Trim();
  missed_count_ = 0;
  stats_.keys = 0;
}

std::unique_ptr<HotTier::Parked> HotTier::Park() {
  auto parked = std::make_unique<Parked>(&chunks_);
  parked->small.Swap(small_);
  parked->main.Swap(main_);
  parked->keys = std::exchange(stats_.keys, 0);
  missed_count_ = 0;
  return parked;
}

void HotTier::Unpark(std::unique_ptr<Parked> parked) {
  Clear();
  parked->small.Swap(small_);
  parked->main.Swap(main_);
  stats_.keys = parked->keys;
}

void HotTier::CheckBlock(const HotBlock& block, std::span<const std::byte> record) const {
  FAHA_CHECK(index_->Names(block.Db(), block.hash, Place::Hot(&block)), "a block is named by a slot");
  FAHA_CHECK(std::memcmp(block.record(), record.data(), record.size()) == 0, "a block is a copy of its record");
}

}  // namespace faha
