// Whatever a pool holds: it opens or is refused with a status, opens the same way again, and a store serves from it.
#include "faha/store.h"
#include "tests/fakes/sim_world.h"
#include "tests/fuzz/image.h"

namespace faha::fuzz {
namespace {

struct Observer : StoreObserver {
  void OnPrimary() override {}
  void OnFollowing(const Member&) override {}
};

template <typename T, typename ChecksumOf>
void RepairAt(Disk& disk, std::uint64_t offset, ChecksumOf checksum_of) {
  T value;
  std::memcpy(&value, &disk.bytes[offset], sizeof value);
  value.checksum = checksum_of(std::as_bytes(std::span(&value, 1)).first(offsetof(T, checksum)));
  std::memcpy(&disk.bytes[offset], &value, sizeof value);
  disk.touched.emplace_back(offset, sizeof value);
}

void RepairAll(Disk& disk, const Image& image) {
  for (const std::uint64_t copy : {std::uint64_t{0}, format::kSuperblockStride}) {
    RepairAt<format::Superblock>(disk, copy, [](auto bytes) { return Checksum(bytes); });
  }
  for (std::uint32_t i = 0; i < 3; ++i) {
    RepairAt<format::SegmentEntry>(disk, format::kTableOffset + i * sizeof(format::SegmentEntry),
                                   [i](auto bytes) { return Checksum(bytes, i); });
  }
  std::uint64_t digest = 0;
  for (const auto& [at, bytes] : image.batches) {
    digest = Repair(std::span(disk.bytes).subspan(at.value, bytes.size()), digest);
    disk.touched.emplace_back(at.value, sizeof(format::BatchHeader));
  }
}

// The places a patch may hit, by its first byte.
void PatchOne(Disk& disk, const Image& image, Input& input) {
  const std::size_t place = input.Take<std::uint8_t>() % (4 + image.batches.size());
  std::uint64_t offset = 0;
  std::uint64_t size = sizeof(format::Superblock);
  if (place == 1) offset = format::kSuperblockStride;
  if (place == 2) offset = format::kTableOffset, size = 4 * sizeof(format::SegmentEntry);
  if (place == 3) offset = format::kDataOffset + 2 * kSegment, size = 512;
  if (place >= 4) {
    const auto& [at, bytes] = image.batches[place - 4];
    offset = at.value;
    size = bytes.size();
  }
  disk.touched.emplace_back(offset, size);
  Patch(std::span(disk.bytes).subspan(offset, size), input);
}

// Counts and visits the elements of a collection, as a command that reads would.
void VisitElements(Store& store, const Entry& entry) {
  const auto visit = [&]<typename Kind>() {
    const auto collection = OpenCollection<Kind>(store, entry);
    if (collection == nullptr) return false;
    std::uint64_t visited = 0;
    ForEachElement(*collection, [&visited](auto...) { ++visited; });
    FAHA_CHECK(visited == collection->Size() || !store.CheckTold().ok(),
               "every element that is counted is there, or nothing of this turn is told");
    return true;
  };
  (void)VisitKind(entry.type, visit, false);
}

// How many keys a store serves from it; nothing if none does.
std::optional<std::uint64_t> TryStore(Disk* disk) {
  SimWorld world(1);
  SimFabric fabric(&world, 1);
  Observer observer;
  Options options;
  options.segment_bytes = kSegment;
  options.pool_bytes = disk->bytes.size();
  auto store = Store::Open(options, &observer, {std::make_unique<DiskMedia>(disk), &fabric, &world});
  if (!store.ok()) return std::nullopt;
  std::uint64_t keys = 0;
  for (const DbId db : {DbId{0}, DbId{1}, DbId{3}}) {
    (*store)->ForEachKey(db, [&](std::string_view key) {
      const auto entry = (*store)->Get(db, key);
      if (!entry) return;
      ++keys;
      VisitElements(**store, *entry);
    });
  }
  FAHA_CHECK(keys <= (*store)->Info().keys, "every key that is listed is there");
  if (!(*store)->CheckWrite(2, 1).ok()) return std::nullopt;
  const bool whole = (*store)->CheckTold().ok();
  const bool written = (*store)->Put(0, "k", {"v"}).ok() && (*store)->Commit().ok();
  FAHA_CHECK(written == whole,
             "who serves can write, and nothing is committed together with a look at what is damaged");
  return keys;
}

void TryPool(Disk* disk) {
  LogEnd end;
  {
    auto opened = Open(disk);
    if (!opened.ok()) return;
    (void)WalkAll(*opened->log);
    end = opened->log->end();
  }
  auto again = Open(disk);
  FAHA_CHECK(again.ok() && again->log->end() == end, "recovery twice is recovery once");
}

}  // namespace
}  // namespace faha::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace faha::fuzz;
  static const Image image;
  static Disk disk = image.disk;
  static const auto keys = [whole = image.disk]() mutable { return TryStore(&whole); }();
  FAHA_CHECK(keys == 5, "a store serves what the image holds as long as nothing is patched");
  Input input(data, size);
  const auto flags = input.Take<std::uint8_t>();
  for (int i = 0; i < 8 && !input.empty(); ++i) PatchOne(disk, image, input);
  if ((flags & 1) != 0) RepairAll(disk, image);
  if ((flags & 2) != 0) {
    (void)TryStore(&disk);
  } else {
    TryPool(&disk);
  }
  disk.Restore(image.disk);
  return 0;
}
