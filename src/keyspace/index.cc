// Looking up, adding and removing keys.  Growing and shrinking is in index_resize.cc.  Thread: main loop only.
#include "keyspace/index.h"

#include <tuple>
#include <utility>

#include "base/check.h"

namespace faha {

Index::Index(const KeySource& keys, std::pmr::memory_resource* memory, HashFunction hash)
    : keys_(keys), hash_(hash), primary_(memory), overflow_(memory) {
  primary_.Resize(kMinBuckets);
}

const std::uint64_t* Index::FindKey(std::uint64_t bucket, std::uint64_t hash, DbId db, std::string_view key) const {
  return FindSlot(bucket, hash, [&](Place place) { return keys_.Has(place, db, key); });
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

Place Index::Find(DbId db, std::string_view key) const {
  const std::uint64_t hash = hash_(db, key);
  const std::uint64_t* slot = FindKey(BucketOf(hash), hash, db, key);
  return slot == nullptr ? Place{} : Place::FromSlot(*slot);
}

Place Index::Read(std::uint64_t hash, DbId db, std::string_view key) {
  auto* slot = const_cast<std::uint64_t*>(FindKey(BucketOf(hash), hash, db, key));
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

void Index::Insert(std::uint64_t bucket, DbId db, std::uint64_t slot) {
  Append(bucket, slot);
  sizes_.Up(db);
  if (Size() > kMaxLoad * primary_.size()) GrowByOne();
}

Place Index::Erase(DbId db, std::string_view key) {
  const std::uint64_t hash = hash_(db, key);
  const std::uint64_t bucket = BucketOf(hash);
  auto* slot = const_cast<std::uint64_t*>(FindKey(bucket, hash, db, key));
  if (slot == nullptr) return {};
  const Place place = Place::FromSlot(*slot);
  RemoveSlot(bucket, slot);
  sizes_.Down(db);
  ShrinkIfSparse();
  return place;
}

void Index::Move(std::uint64_t hash, LogAddress from, LogAddress to) {
  CheckAddress(to);
  auto* slot = const_cast<std::uint64_t*>(FindAddress(hash, from));
  FAHA_CHECK(slot != nullptr, "what is moved is held");
  const Place place = Place::FromSlot(*slot);
  if (place.hot()) {
    place.block()->at = to;
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

void Index::Clear() {
  primary_.Clear();
  overflow_.Clear();
  primary_.Resize(kMinBuckets);
  sizes_.Clear();
}

namespace {
// What a saved table starts with; the keys of each database, the buckets and the overflow buckets follow.
struct SavedTable {
  std::uint64_t buckets, overflow, databases;
};
}  // namespace

bool Index::Save(const std::function<bool(std::span<const std::byte>)>& write) const {
  const SavedTable saved{primary_.size(), overflow_.size(), sizes_.all().size()};
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
  return write(std::as_bytes(std::span(&saved, 1))) && write(std::as_bytes(sizes_.all())) &&
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
  std::vector<std::uint64_t> sizes(saved.databases);
  if (!read(std::as_writable_bytes(std::span(sizes)))) return false;
  sizes_.Restore(std::move(sizes));
  primary_.Resize(saved.buckets);
  overflow_.Resize(saved.overflow);
  const auto read_buckets = [&](std::span<Bucket> buckets) { return read(std::as_writable_bytes(buckets)); };
  return primary_.ForEachPiece(read_buckets) && overflow_.ForEachPiece(read_buckets);
}

std::size_t Index::MemoryBytes() const {
  return sizeof *this + primary_.MemoryBytes() + overflow_.MemoryBytes() + sizes_.MemoryBytes() +
         scratch_.capacity() * sizeof scratch_[0];
}

}  // namespace faha
