// The hash index of one database: from its keys to the places of their newest records.  Thread: main loop only.
// The indexes of all databases together are in indexes.h.
//
// Linear hashing: a table of N buckets, N between 2^L and 2^(L+1), is addressed by the low L+1 bits of a key's hash,
// or, where that bucket does not exist yet, by the low L bits.  Growing by one splits one bucket; shrinking by one
// merges two.  So the table follows the number of keys one bucket at a time, and no single operation pays for a resize
// of the whole table.  The number of hash bits that lead to a bucket is the bucket's depth.  A full bucket continues in
// overflow buckets; all these buckets together are its chain.
//
// A slot is 16 bits of the hash (the fingerprint) and 48 bits that are a Place.  The fingerprint is a window on the
// hash that begins at or just below the depth.  So a bucket's number and a fingerprint together are the low bits of the
// hash, and include the bits that the bucket's next splits need.  Only one split in kWindowStep, when the window must
// move up, has to read each key from the log, and a merge never does.
//
// Invariants: (1) a key has at most one slot, in the chain of the bucket that its hash addresses.
//             (2) a chain is dense: an empty slot ends it, and no overflow bucket is empty.
//             (3) the overflow buckets are dense, too: the last one takes the place of one that is freed.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory_resource>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/prefetch.h"
#include "faha/types.h"
#include "keyspace/bucket_array.h"
#include "keyspace/fingerprints.h"
#include "keyspace/key_hash.h"
#include "keyspace/place.h"

namespace faha {

// The index asks this interface for keys, which it does not hold itself: they are in the log and in the hot tier.
class KeySource {
 public:
  virtual ~KeySource() = default;
  struct Key {
    DbId db = 0;
    std::string_view key;
  };
  // The key at a place that the index was given.  Valid until the next call.
  [[nodiscard]] virtual Key KeyAt(Place place) const = 0;
  // Is the key at `place` that one?
  [[nodiscard]] virtual bool Has(Place place, DbId db, std::string_view key) const {
    const Key found = KeyAt(place);
    return found.db == db && found.key == key;
  }
  // A hint: KeyAt(place) may follow soon.
  virtual void Prefetch(Place) const {}
};

class Index {
 public:
  static constexpr std::uint64_t kMinBuckets = 1;
  // Keys per bucket, which has 7 slots: the table grows above kMaxLoad and shrinks below kMinLoad.
  static constexpr std::uint64_t kMaxLoad = 5;
  static constexpr std::uint64_t kMinLoad = 2;
  static_assert(kMinLoad * 2 < kMaxLoad, "growing and shrinking do not take turns");

  // `keys`, `memory` and `hash` must outlive the index.  `keys` must be able to read every place from the moment the
  // index is told of it.  Every hash that the functions below are given is the one that `hash` computes for a key of
  // `db`.
  Index(const KeySource& keys, DbId db, std::pmr::memory_resource* memory, const KeyHash& hash);
  Index(const Index&) = delete;
  Index& operator=(const Index&) = delete;

  // Where `key` is; none if it is absent.
  [[nodiscard]] Place Find(std::uint64_t hash, std::string_view key) const;
  // The same; if the key is hot, this also counts as a read of it.
  Place Read(std::uint64_t hash, std::string_view key);
  // For a caller that knows several keys at once: it prefetches the bucket of each key, some calls later the key's
  // entry, and then does the operation.
  void Prefetch(std::uint64_t hash) const { PrefetchLine(&primary_[BucketOf(hash)]); }
  void PrefetchEntry(std::uint64_t hash) const;

  // Says that the newest record of `key` is at `at`, which is a multiple of Place::kUnit below Place::kLimit, and not
  // none.  If the key was absent, it is cold.  If it was present, replace(Place) is given its old place and returns the
  // new one: at `at`, cold or hot.  During that call the key is cold; `replace` may change the places of other keys,
  // but may not add or remove keys.
  // Returns where the key was; none if it was absent.
  template <typename Function>
  Place Upsert(std::uint64_t hash, std::string_view key, LogAddress at, Function replace);
  // Returns where `key` was; none if it was absent.
  Place Erase(std::uint64_t hash, std::string_view key);
  // For a caller that is about to add keys until there are about so many: the table grows now, so no bucket is split
  // for those keys later.  ShrinkToFit() is to follow.
  void Expect(std::uint64_t keys);
  void ShrinkToFit();

  // --- For callers that move records and blocks.  These functions do not read the key; the low 48 bits of its hash are
  // enough.
  // Is the newest record of the key with that hash at `at`?
  [[nodiscard]] bool Holds(std::uint64_t hash, LogAddress at) const { return FindAddress(hash, at) != nullptr; }
  // Says that the record of the key with that hash has moved from `from` to `to`.  A hot key stays hot.
  void Move(std::uint64_t hash, LogAddress from, LogAddress to);
  // Is there a key with that hash at that place?
  [[nodiscard]] bool Names(std::uint64_t hash, Place place) const {
    return FindSlot(BucketOf(hash), hash, [place](Place other) { return place.Same(other); }) != nullptr;
  }
  // Removes the key with that hash, whose record is at `at`.  Returns where it was.
  Place Remove(std::uint64_t hash, LogAddress at);
  // Adds a key with that hash, which is absent: it is cold and at `at`.
  void Restore(std::uint64_t hash, LogAddress at);
  // Says that the key with that hash, whose record is at `from`, is now cold and at `to`.  Returns where it was.
  Place Replace(std::uint64_t hash, LogAddress from, LogAddress to);
  // Gives the key with that hash, whose place is `from`, the place that change(Place) returns; the Place that `change`
  // is given holds the frequency, too.  False if there is no such key.
  template <typename Function>
  bool Change(std::uint64_t hash, Place from, Function change);

  [[nodiscard]] DbId db() const { return db_; }
  [[nodiscard]] std::uint64_t Size() const { return size_; }
  [[nodiscard]] std::size_t MemoryBytes() const;

  // Empties the next few buckets and calls dead(Place) for each of their keys; gives memory back when all are empty.
  // False when nothing is left.  From the first call on only Change(), Names() and Holds() may still be called.
  template <typename Function>
  bool TakeDown(Function dead);

  // Calls fn(Place) for every key, in no order.  `fn` must not change the index.
  template <typename Function>
  void ForEach(Function fn) const {
    for (std::uint64_t i = 0; i < primary_.size(); ++i) {
      ForEachSlot(i, [&fn](std::uint64_t slot) { fn(Place::FromSlot(slot)); });
    }
  }

  // Visits one part of the keys: calls fn(Place) for each, and returns the cursor of the next part.  The first cursor
  // is 0, and 0 is also returned after the last part.  A key that is present from the first part to the last is
  // visited, however the table grows and shrinks meanwhile; a key may be visited twice.  Any number is a valid cursor.
  // `fn` must not change the index.
  //
  // A cursor is a hash, of which only the low bits count, as many as the bucket's depth; the part that it names is that
  // bucket.  Cursors follow each other in the order of their reversed bits (the idea is Pieter Noordhuis', for Redis'
  // tables of 2^n buckets).  So the buckets that a split or a merge makes of a bucket lie on the same side of every
  // cursor.
  template <typename Function>
  std::uint64_t Scan(std::uint64_t cursor, Function fn) const {
    const std::uint64_t bucket = BucketOf(cursor);
    ForEachSlot(bucket, [&](std::uint64_t slot) { keys_.Prefetch(Place::FromSlot(slot)); });
    ForEachSlot(bucket, [&](std::uint64_t slot) { fn(Place::FromSlot(slot)); });
    return CursorBehind(cursor, DepthOf(bucket));
  }
  // The key at a position that `random` chooses; none if that position is empty.  At worst it is empty 9 times in 10,
  // or, with fewer than 2 keys, 19 times in 20.  Every key is equally likely, except that the last keys of extremely
  // long chains are never chosen.
  [[nodiscard]] Place Sample(std::uint64_t random) const;

  // Writes the table as bytes, piece by piece, for a process with the same hash function; false as soon as `write`
  // returns false.  Every key is cold in what is written.
  bool Save(const std::function<bool(std::span<const std::byte>)>& write) const;
  // Reads what Save wrote, at most `limit` bytes.  If `read` fails or the bytes cannot be a table, returns false, and
  // the index is not usable.  It does not detect damage that only a checksum would find.
  bool Load(const std::function<bool(std::span<std::byte>)>& read, std::uint64_t limit);

  // For tests: ends the process if an invariant does not hold.  Reads every key.
  void CheckInvariants() const;

 private:
  static constexpr std::uint64_t kTakenAtOnce = 32;  // buckets that one call of TakeDown empties
  static constexpr int kWindowStep = 4;  // 16 - 3 bits or more of a fingerprint tell the keys of a bucket apart
  // Bucket::link: the next overflow bucket's number + 1 (0: none); in an overflow bucket also the number of the bucket
  // whose chain it belongs to.
  static constexpr int kOwnerShift = 32;
  static constexpr std::uint64_t kNextMask = (std::uint64_t{1} << kOwnerShift) - 1;

  // The contents of a slot: the Place, and the low bits of the hash that are known, WindowOf(depth) + 16 of them.
  struct Known {
    std::uint64_t hash = 0;
    Place place;
  };

  // The lowest bit of the hash in the fingerprints of a bucket of `depth`.
  static int WindowOf(int depth) { return depth - depth % kWindowStep; }
  static std::uint64_t FingerprintOf(std::uint64_t hash, int depth) { return (hash >> WindowOf(depth)) & 0xFFFF; }
  static std::uint64_t MakeSlot(std::uint64_t hash, int depth, Place place) {
    return FingerprintOf(hash, depth) << 48 | place.bits();
  }

  [[nodiscard]] std::uint64_t BucketOf(std::uint64_t hash) const {
    const std::uint64_t half = std::bit_floor(primary_.size());
    const std::uint64_t bucket = hash & (2 * half - 1);
    return bucket < primary_.size() ? bucket : bucket - half;
  }
  // How many bits of the hash lead to `bucket`.
  [[nodiscard]] int DepthOf(std::uint64_t bucket) const {
    const std::uint64_t half = std::bit_floor(primary_.size());
    const bool deep = bucket >= half || bucket + half < primary_.size();
    return std::countr_zero(half) + (deep ? 1 : 0);
  }

  [[nodiscard]] const Bucket* Next(const Bucket& bucket) const {
    const std::uint64_t next = bucket.link & kNextMask;
    return next == 0 ? nullptr : &overflow_[next - 1];
  }
  Bucket* Next(const Bucket& bucket) { return const_cast<Bucket*>(std::as_const(*this).Next(bucket)); }

  // Calls fn(slot) for every slot in use of the chain of `bucket`.
  template <typename Function>
  void ForEachSlot(std::uint64_t bucket, Function fn) const {
    for (const Bucket* at = &primary_[bucket]; at != nullptr; at = Next(*at)) {
      for (const std::uint64_t slot : at->slots) {
        if (slot == 0) return;
        fn(slot);
      }
    }
  }

  static std::uint64_t CursorBehind(std::uint64_t cursor, int depth);

  // The first slot in the chain of `bucket` with the fingerprint of `hash` that matches(Place); null: there is none.
  template <typename Function>
  [[nodiscard]] const std::uint64_t* FindSlot(std::uint64_t bucket, std::uint64_t hash, Function matches) const;
  [[nodiscard]] const std::uint64_t* FindKey(std::uint64_t bucket, std::uint64_t hash, std::string_view key) const;
  [[nodiscard]] const std::uint64_t* FindAddress(std::uint64_t hash, LogAddress at) const;
  [[nodiscard]] std::uint64_t HashAt(Place place) const;

  static void CheckAddress(LogAddress at);
  void Insert(std::uint64_t bucket, std::uint64_t slot);
  void Append(std::uint64_t bucket, std::uint64_t slot);
  Place EraseSlot(std::uint64_t bucket, std::uint64_t* slot);
  void RemoveSlot(std::uint64_t bucket, std::uint64_t* slot);
  void AddOverflow(std::uint64_t owner, Bucket& last);
  void FreeLastOfChain(std::uint64_t bucket);
  void TakeChain(std::uint64_t bucket, std::vector<Known>& into);

  void GrowByOne();
  void ShrinkByOne();
  void ShrinkIfSparse();

  void CheckChain(std::uint64_t bucket, std::uint64_t& size, std::uint64_t& overflow) const;

  const KeySource& keys_;
  const KeyHash& hash_;
  const DbId db_;
  BucketArray primary_;   // its size is N
  BucketArray overflow_;  // its size is the number in use
  std::uint64_t size_ = 0;
  std::uint64_t taken_ = 0;     // buckets that TakeDown has emptied
  std::vector<Known> scratch_;  // the slots of the split or merge under way, or of a chain that TakeDown empties
};

template <typename Function>
const std::uint64_t* Index::FindSlot(std::uint64_t bucket, std::uint64_t hash, Function matches) const {
  const std::uint64_t fingerprint = FingerprintOf(hash, DepthOf(bucket));
  for (const Bucket* at = &primary_[bucket]; at != nullptr; at = Next(*at)) {
    const std::uint64_t* found =
        FindMatch(*at, fingerprint, [&](std::uint64_t slot) { return matches(Place::FromSlot(slot)); });
    if (found != nullptr) return found;
  }
  return nullptr;
}

template <typename Function>
Place Index::Upsert(std::uint64_t hash, std::string_view key, LogAddress at, Function replace) {
  CheckAddress(at);
  const std::uint64_t bucket = BucketOf(hash);
  const std::uint64_t cold = MakeSlot(hash, DepthOf(bucket), Place::Cold(at));
  auto* slot = const_cast<std::uint64_t*>(FindKey(bucket, hash, key));
  if (slot == nullptr) {
    Insert(bucket, cold);
    return {};
  }
  const Place old = Place::FromSlot(std::exchange(*slot, cold));
  *slot = MakeSlot(hash, DepthOf(bucket), replace(old));
  return old;
}

template <typename Function>
bool Index::Change(std::uint64_t hash, Place from, Function change) {
  const std::uint64_t bucket = BucketOf(hash);
  auto* slot = const_cast<std::uint64_t*>(FindSlot(bucket, hash, [from](Place place) { return place.Same(from); }));
  if (slot == nullptr) return false;
  *slot = MakeSlot(hash, DepthOf(bucket), change(Place::FromSlot(*slot)));
  return true;
}

template <typename Function>
bool Index::TakeDown(Function dead) {
  if (size_ == 0) {
    // The memory is freed piece by piece: freeing much at once would make the caller wait for the system.
    primary_.Resize(primary_.size() - std::min(primary_.size(), BucketArray::kPieceBuckets));
    return primary_.size() != 0;
  }
  const std::uint64_t end = std::min(taken_ + kTakenAtOnce, primary_.size());
  for (std::uint64_t bucket = taken_; bucket < end; ++bucket) {
    ForEachSlot(bucket, [&](std::uint64_t slot) { keys_.Prefetch(Place::FromSlot(slot)); });
  }
  for (; taken_ < end; ++taken_) {
    scratch_.clear();
    TakeChain(taken_, scratch_);
    for (const Known& entry : scratch_) dead(entry.place);
    size_ -= scratch_.size();
  }
  return true;
}

}  // namespace faha
