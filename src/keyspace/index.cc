// Looking up, adding and removing keys.  Growing and shrinking is in index_resize.cc.  Thread: main loop only.
#include "keyspace/index.h"

#include <tuple>
#include <utility>

#include "base/check.h"

namespace faha {

Index::Index(const KeySource& keys, HashFunction hash) : keys_(keys), hash_(hash) { primary_.Resize(kMinBuckets); }

const std::uint64_t* Index::FindSlot(std::uint64_t bucket, std::uint64_t hash, DbId db, std::string_view key) const {
  const std::uint64_t fingerprint = FingerprintOf(hash, DepthOf(bucket));
  for (const Bucket* at = &primary_[bucket]; at != nullptr; at = Next(*at)) {
    for (const std::uint64_t& slot : at->slots) {
      if (slot == 0) return nullptr;
      if (slot >> 48 != fingerprint) continue;
      const KeySource::Key found = keys_.KeyAt(AddressIn(slot));
      if (found.db == db && found.key == key) return &slot;
    }
  }
  return nullptr;
}

void Index::PrefetchEntry(std::uint64_t hash) const {
  const std::uint64_t bucket = BucketOf(hash);
  const std::uint64_t fingerprint = FingerprintOf(hash, DepthOf(bucket));
  for (const std::uint64_t slot : primary_[bucket].slots) {
    if (slot != 0 && slot >> 48 == fingerprint) keys_.Prefetch(AddressIn(slot));
  }
}

LogAddress Index::Find(DbId db, std::string_view key) const {
  const std::uint64_t hash = hash_(db, key);
  const std::uint64_t* slot = FindSlot(BucketOf(hash), hash, db, key);
  return slot == nullptr ? LogAddress{} : AddressIn(*slot);
}

LogAddress Index::Upsert(std::uint64_t hash, DbId db, std::string_view key, LogAddress at) {
  FAHA_CHECK(!at.IsNone() && (at.value & ~kAddressMask) == 0, "an address fits a slot");
  const std::uint64_t bucket = BucketOf(hash);
  const std::uint64_t fresh = MakeSlot(hash, DepthOf(bucket), at);
  if (auto* slot = const_cast<std::uint64_t*>(FindSlot(bucket, hash, db, key)); slot != nullptr) {
    return AddressIn(std::exchange(*slot, fresh));
  }
  Append(bucket, fresh);
  CountUp(db);
  if (size_ > kMaxLoad * primary_.size()) GrowByOne();
  return LogAddress{};
}

LogAddress Index::Erase(DbId db, std::string_view key) {
  const std::uint64_t hash = hash_(db, key);
  const std::uint64_t bucket = BucketOf(hash);
  auto* slot = const_cast<std::uint64_t*>(FindSlot(bucket, hash, db, key));
  if (slot == nullptr) return LogAddress{};
  const LogAddress at = AddressIn(*slot);
  RemoveSlot(bucket, slot);
  CountDown(db);
  ShrinkIfSparse();
  return at;
}

namespace {

std::uint64_t ReverseBits(std::uint64_t bits) {
  bits = (bits & 0x5555555555555555) << 1 | (bits >> 1 & 0x5555555555555555);
  bits = (bits & 0x3333333333333333) << 2 | (bits >> 2 & 0x3333333333333333);
  bits = (bits & 0x0F0F0F0F0F0F0F0F) << 4 | (bits >> 4 & 0x0F0F0F0F0F0F0F0F);
  return __builtin_bswap64(bits);
}

}  // namespace

// The first hash, in the order of reversed bits, that the bucket of `depth` at `cursor` does not hold.
std::uint64_t Index::CursorBehind(std::uint64_t cursor, int depth) {
  return ReverseBits(ReverseBits(cursor | ~std::uint64_t{0} << depth) + 1);
}

LogAddress Index::Sample(std::uint64_t random) const {
  constexpr std::uint64_t kPlaces = 3 * std::tuple_size_v<decltype(Bucket::slots)>;
  std::uint64_t place = random % kPlaces;
  LogAddress found;
  ForEachSlot(random / kPlaces % primary_.size(), [&](std::uint64_t slot) {
    if (place-- == 0) found = AddressIn(slot);
  });
  return found;
}

void Index::Clear() {
  primary_.Clear();
  overflow_.Clear();
  primary_.Resize(kMinBuckets);
  size_ = 0;
  sizes_.clear();
}

const std::uint64_t* Index::FindAddress(std::uint64_t hash, LogAddress at) const {
  const std::uint64_t bucket = BucketOf(hash);
  for (const Bucket* link = &primary_[bucket]; link != nullptr; link = Next(*link)) {
    for (const std::uint64_t& slot : link->slots) {
      if (slot == 0) return nullptr;
      if (AddressIn(slot) == at) return &slot;
    }
  }
  return nullptr;
}

void Index::Move(std::uint64_t hash, LogAddress from, LogAddress to) {
  FAHA_CHECK(!to.IsNone() && (to.value & ~kAddressMask) == 0, "an address fits a slot");
  auto* slot = const_cast<std::uint64_t*>(FindAddress(hash, from));
  FAHA_CHECK(slot != nullptr, "what is moved is held");
  *slot = MakeSlot(hash, DepthOf(BucketOf(hash)), to);
}

void Index::CountUp(DbId db) {
  if (db >= sizes_.size()) sizes_.resize(std::size_t{db} + 1);
  ++sizes_[db];
  ++size_;
}

void Index::CountDown(DbId db) {
  FAHA_CHECK(Size(db) != 0, "what is erased was counted");
  --sizes_[db];
  --size_;
}

namespace {
// What a saved table starts with; the keys of each database, the buckets and the overflow buckets follow.
struct SavedTable {
  std::uint64_t buckets, overflow, keys, databases;
};
}  // namespace

bool Index::Save(const std::function<bool(std::span<const std::byte>)>& write) const {
  const SavedTable saved{primary_.size(), overflow_.size(), size_, sizes_.size()};
  const auto write_buckets = [&](std::span<Bucket> buckets) { return write(std::as_bytes(buckets)); };
  return write(std::as_bytes(std::span(&saved, 1))) && write(std::as_bytes(std::span(sizes_))) &&
         const_cast<BucketArray&>(primary_).ForEachPiece(write_buckets) &&
         const_cast<BucketArray&>(overflow_).ForEachPiece(write_buckets);
}

bool Index::Load(const std::function<bool(std::span<std::byte>)>& read, std::uint64_t limit) {
  Clear();
  SavedTable saved{};
  if (!read(std::as_writable_bytes(std::span(&saved, 1)))) return false;
  const std::uint64_t most = limit / sizeof(Bucket);
  if (saved.buckets < kMinBuckets || saved.buckets > most || saved.overflow > most || saved.databases > limit / 8)
    return false;
  sizes_.resize(saved.databases);
  if (!read(std::as_writable_bytes(std::span(sizes_)))) return false;
  size_ = saved.keys;
  primary_.Resize(saved.buckets);
  overflow_.Resize(saved.overflow);
  const auto read_buckets = [&](std::span<Bucket> buckets) { return read(std::as_writable_bytes(buckets)); };
  return primary_.ForEachPiece(read_buckets) && overflow_.ForEachPiece(read_buckets);
}

std::size_t Index::MemoryBytes() const {
  return sizeof *this + primary_.MemoryBytes() + overflow_.MemoryBytes() + sizes_.capacity() * sizeof sizes_[0] +
         scratch_.capacity() * sizeof scratch_[0];
}

}  // namespace faha
