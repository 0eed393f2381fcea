// Looking up, adding and removing keys.  Growing and shrinking is in index_resize.cc.  Thread: main loop only.
#include "keyspace/index.h"

#include <tuple>
#include <utility>

#include "base/check.h"

namespace faha {

Index::Index(const KeySource& keys, DbId db, std::pmr::memory_resource* memory, const KeyHash& hash)
    : keys_(keys), hash_(hash), db_(db), primary_(memory), overflow_(memory) {
  primary_.Resize(kMinBuckets);
}

const std::uint64_t* Index::FindKey(std::uint64_t bucket, std::uint64_t hash, std::string_view key) const {
  return FindSlot(bucket, hash, [&](Place place) { return keys_.Has(place, db_, key); });
}

const std::uint64_t* Index::FindAddress(std::uint64_t hash, LogAddress at) const {
  return FindSlot(BucketOf(hash), hash, [at](Place place) { return place.log_address() == at; });
}

void Index::PrefetchEntry(std::uint64_t hash) const {
  const std::uint64_t bucket = BucketOf(hash);
  (void)FindMatch(primary_[bucket], FingerprintOf(hash, DepthOf(bucket)), [this](std::uint64_t slot) {
    keys_.Prefetch(Place::FromSlot(slot));
    return false;
  });
}

Place Index::Find(std::uint64_t hash, std::string_view key) const {
  const std::uint64_t* slot = FindKey(BucketOf(hash), hash, key);
  return slot == nullptr ? Place{} : Place::FromSlot(*slot);
}

Place Index::Read(std::uint64_t hash, std::string_view key) {
  auto* slot = const_cast<std::uint64_t*>(FindKey(BucketOf(hash), hash, key));
  if (slot == nullptr) return {};
  const Place place = Place::FromSlot(*slot);
  if (place.hot() && place.frequency() < Place::kMaxFrequency) {
    *slot = (*slot & ~(Place::kLimit - 1)) | Place::Hot(place.block(), place.frequency() + 1).bits();
  }
  return place;
}

void Index::CheckAddress(LogAddress at) {
  FAHA_CHECK(!at.IsNone() && at.value % Place::kUnit == 0 && at.value < Place::kLimit, "an address fits a slot");
}

void Index::Insert(std::uint64_t bucket, std::uint64_t slot) {
  Append(bucket, slot);
  ++size_;
  if (Size() > kMaxLoad * primary_.size()) GrowByOne();
}

Place Index::Erase(std::uint64_t hash, std::string_view key) {
  const std::uint64_t bucket = BucketOf(hash);
  auto* slot = const_cast<std::uint64_t*>(FindKey(bucket, hash, key));
  return slot == nullptr ? Place{} : EraseSlot(bucket, slot);
}

Place Index::EraseSlot(std::uint64_t bucket, std::uint64_t* slot) {
  const Place place = Place::FromSlot(*slot);
  RemoveSlot(bucket, slot);
  --size_;
  ShrinkIfSparse();
  return place;
}

Place Index::Remove(std::uint64_t hash, LogAddress at) {
  auto* slot = const_cast<std::uint64_t*>(FindAddress(hash, at));
  FAHA_CHECK(slot != nullptr, "what is removed is held");
  return EraseSlot(BucketOf(hash), slot);
}

void Index::Restore(std::uint64_t hash, LogAddress at) {
  CheckAddress(at);
  const std::uint64_t bucket = BucketOf(hash);
  Insert(bucket, MakeSlot(hash, DepthOf(bucket), Place::Cold(at)));
}

Place Index::Replace(std::uint64_t hash, LogAddress from, LogAddress to) {
  CheckAddress(to);
  auto* slot = const_cast<std::uint64_t*>(FindAddress(hash, from));
  FAHA_CHECK(slot != nullptr, "what is replaced is held");
  const Place place = Place::FromSlot(*slot);
  *slot = MakeSlot(hash, DepthOf(BucketOf(hash)), Place::Cold(to));
  return place;
}

void Index::Move(std::uint64_t hash, LogAddress from, LogAddress to) {
  CheckAddress(to);
  auto* slot = const_cast<std::uint64_t*>(FindAddress(hash, from));
  FAHA_CHECK(slot != nullptr, "what is moved is held");
  const Place place = Place::FromSlot(*slot);
  if (place.hot()) {
    place.block()->SetAt(to);
  } else {
    *slot = MakeSlot(hash, DepthOf(BucketOf(hash)), Place::Cold(to));
  }
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

Place Index::Sample(std::uint64_t random) const {
  constexpr std::uint64_t kPlaces = 3 * std::tuple_size_v<decltype(Bucket::slots)>;
  std::uint64_t place = random % kPlaces;
  Place found;
  ForEachSlot(random / kPlaces % primary_.size(), [&](std::uint64_t slot) {
    if (place-- == 0) found = Place::FromSlot(slot);
  });
  return found;
}

namespace {
// What a saved table starts with; the buckets and the overflow buckets follow.
struct SavedTable {
  std::uint64_t keys, buckets, overflow;
};
}  // namespace

bool Index::Save(const std::function<bool(std::span<const std::byte>)>& write) const {
  const SavedTable saved{size_, primary_.size(), overflow_.size()};
  std::vector<Bucket> cold;
  const auto write_buckets = [&](std::span<Bucket> buckets) {
    cold.assign(buckets.begin(), buckets.end());
    for (Bucket& bucket : cold) {
      for (std::uint64_t& slot : bucket.slots) {
        if (const Place place = Place::FromSlot(slot); place.hot())
          slot = (slot & ~(Place::kLimit - 1)) | place.log_address().value;
      }
    }
    return write(std::as_bytes(std::span(cold)));
  };
  return write(std::as_bytes(std::span(&saved, 1))) && const_cast<BucketArray&>(primary_).ForEachPiece(write_buckets) &&
         const_cast<BucketArray&>(overflow_).ForEachPiece(write_buckets);
}

bool Index::Load(const std::function<bool(std::span<std::byte>)>& read, std::uint64_t limit) {
  SavedTable saved{};
  if (!read(std::as_writable_bytes(std::span(&saved, 1)))) return false;
  const std::uint64_t most = limit / sizeof(Bucket);
  if (saved.buckets < kMinBuckets || saved.buckets > most || saved.overflow > most) return false;
  size_ = saved.keys;
  primary_.Resize(saved.buckets);
  overflow_.Resize(saved.overflow);
  const auto read_buckets = [&](std::span<Bucket> buckets) { return read(std::as_writable_bytes(buckets)); };
  return primary_.ForEachPiece(read_buckets) && overflow_.ForEachPiece(read_buckets);
}

std::size_t Index::MemoryBytes() const {
  return sizeof *this + primary_.MemoryBytes() + overflow_.MemoryBytes() + scratch_.capacity() * sizeof scratch_[0];
}

}  // namespace faha
