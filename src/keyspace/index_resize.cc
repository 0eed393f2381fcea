// Chains, and the growing and shrinking of the table by one bucket at a time.  Thread: main loop only.
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "keyspace/index.h"

namespace faha {

// Adds `slot` at the end of the chain of `bucket`.
void Index::Append(std::uint64_t bucket, std::uint64_t slot) {
  Bucket* last = &primary_[bucket];
  while (Bucket* next = Next(*last)) last = next;
  if (last->slots.back() != 0) {
    AddOverflow(bucket, *last);
    last = Next(*last);
  }
  for (std::uint64_t& free : last->slots) {
    if (free != 0) continue;
    free = slot;
    return;
  }
}

void Index::AddOverflow(std::uint64_t owner, Bucket& last) {
  FAHA_CHECK(owner <= kNextMask && overflow_.size() < kNextMask, "a bucket's number has 32 bits");
  overflow_.Resize(overflow_.size() + 1);
  last.link |= overflow_.size();
  overflow_[overflow_.size() - 1].link = owner << kOwnerShift;
}

// Removes `slot`, and fills the hole with the last slot of the chain.
void Index::RemoveSlot(std::uint64_t bucket, std::uint64_t* slot) {
  Bucket* last = &primary_[bucket];
  while (Bucket* next = Next(*last)) last = next;
  std::size_t used = last->slots.size();
  while (last->slots[used - 1] == 0) --used;
  *slot = last->slots[used - 1];
  last->slots[used - 1] = 0;
  if (used == 1 && last != &primary_[bucket]) FreeLastOfChain(bucket);
}

// Frees the last bucket of the chain of `bucket`, which is an overflow bucket, by moving the last of all overflow
// buckets to its place.
void Index::FreeLastOfChain(std::uint64_t bucket) {
  Bucket* before = &primary_[bucket];
  while (Next(*Next(*before)) != nullptr) before = Next(*before);
  const std::uint64_t freed = (before->link & kNextMask) - 1;
  before->link &= ~kNextMask;
  const std::uint64_t moved = overflow_.size() - 1;
  if (freed != moved) {
    Bucket* to_moved = &primary_[overflow_[moved].link >> kOwnerShift];
    while ((to_moved->link & kNextMask) != moved + 1) to_moved = Next(*to_moved);
    to_moved->link = (to_moved->link & ~kNextMask) | (freed + 1);
    overflow_[freed] = overflow_[moved];
  }
  overflow_.Resize(moved);
}

// Moves all slots of the chain of `bucket` into `into`.
void Index::TakeChain(std::uint64_t bucket, std::vector<Known>& into) {
  const int window = WindowOf(DepthOf(bucket));
  const std::uint64_t below = bucket & ((std::uint64_t{1} << window) - 1);
  ForEachSlot(bucket, [&](std::uint64_t slot) {
    into.push_back({(slot >> 48) << window | below, Place::FromSlot(slot)});
  });
  while (Next(primary_[bucket]) != nullptr) FreeLastOfChain(bucket);
  primary_[bucket] = Bucket{};
}

std::uint64_t Index::HashAt(Place place) const {
  const KeySource::Key found = keys_.KeyAt(place);
  return hash_(found.db, found.key);
}

// Adds one bucket, and splits the bucket whose number is the new one's without the highest bit.
void Index::GrowByOne() {
  const std::uint64_t fresh = primary_.size();
  const std::uint64_t old = fresh - std::bit_floor(fresh);
  const int depth = DepthOf(old);
  scratch_.clear();
  TakeChain(old, scratch_);
  primary_.Resize(fresh + 1);
  const bool window_moves = WindowOf(depth + 1) != WindowOf(depth);
  for (const Known& entry : scratch_) {
    const std::uint64_t hash = window_moves ? HashAt(entry.place) : entry.hash;
    Append((hash >> depth & 1) != 0 ? fresh : old, MakeSlot(hash, depth + 1, entry.place));
  }
}

// Undoes the last split.
void Index::ShrinkByOne() {
  const std::uint64_t gone = primary_.size() - 1;
  const std::uint64_t kept = gone - std::bit_floor(gone);
  scratch_.clear();
  TakeChain(kept, scratch_);
  TakeChain(gone, scratch_);
  primary_.Resize(gone);
  const int depth = DepthOf(kept);
  for (const Known& entry : scratch_) Append(kept, MakeSlot(entry.hash, depth, entry.place));
}

// The splits are cheap, because the buckets hold few keys yet.
void Index::Expect(std::uint64_t keys) {
  while (primary_.size() <= keys / kMaxLoad) GrowByOne();
}

void Index::ShrinkToFit() {
  while (primary_.size() > kMinBuckets && Size() < kMinLoad * primary_.size()) ShrinkByOne();
}

void Index::ShrinkIfSparse() {
  if (primary_.size() > kMinBuckets && Size() < kMinLoad * primary_.size()) ShrinkByOne();
}

void Index::CheckChain(std::uint64_t bucket, std::uint64_t& size, std::uint64_t& overflow) const {
  bool ended = false;
  for (const Bucket* at = &primary_[bucket]; at != nullptr; at = Next(*at)) {
    const bool first = at == &primary_[bucket];
    FAHA_CHECK(first || at->slots.front() != 0, "no overflow bucket is empty");
    FAHA_CHECK(at->link >> kOwnerShift == (first ? 0 : bucket), "an overflow bucket knows its chain");
    if (!first) ++overflow;
    for (const std::uint64_t slot : at->slots) {
      FAHA_CHECK(slot == 0 || !ended, "a chain is dense");
      ended = ended || slot == 0;
      if (slot == 0) continue;
      const Place place = Place::FromSlot(slot);
      const KeySource::Key key = keys_.KeyAt(place);
      const std::uint64_t hash = hash_(key.db, key.key);
      FAHA_CHECK(key.db == db_, "a key is in the index of its database");
      FAHA_CHECK(BucketOf(hash) == bucket, "a key is in the bucket that its hash addresses");
      FAHA_CHECK(slot == MakeSlot(hash, DepthOf(bucket), place), "a slot is a place and a fingerprint");
      FAHA_CHECK(!place.hot() || (place.block()->hash == (hash & HotBlock::kHashMask) && place.block()->Db() == db_),
                 "a block knows its key's hash and database");
      FAHA_CHECK(Find(hash, key.key) == place, "a key has one slot");
      ++size;
    }
  }
}

void Index::CheckInvariants() const {
  std::uint64_t overflow = 0, size = 0;
  for (std::uint64_t bucket = 0; bucket < primary_.size(); ++bucket) CheckChain(bucket, size, overflow);
  FAHA_CHECK(size == Size(), "the keys are counted");
  FAHA_CHECK(overflow == overflow_.size(), "every overflow bucket belongs to a chain");
  FAHA_CHECK(Size() <= kMaxLoad * primary_.size(), "the table has grown with its keys");
  FAHA_CHECK(primary_.size() == kMinBuckets || Size() >= kMinLoad * primary_.size(),
             "the table has shrunk with its keys");
  FAHA_CHECK(primary_.size() >= kMinBuckets, "the table has a smallest size");
}

}  // namespace faha
