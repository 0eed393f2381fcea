// A small valid pool, of which the fuzzer's bytes change parts; after each run it is as it was.
#pragma once

#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/checksum.h"
#include "cluster/membership.h"
#include "log/element.h"
#include "log/log.h"
#include "log/pool.h"
#include "tests/fuzz/input.h"

namespace faha::fuzz {

inline constexpr std::uint64_t kSegment = format::kMinSegmentBytes;
inline constexpr std::uint64_t kSize = format::kDataOffset + 6 * kSegment;

// Bytes, and what of them was touched.
struct Disk {
  std::vector<std::byte> bytes = std::vector<std::byte>(kSize);
  std::vector<std::pair<std::uint64_t, std::uint64_t>> touched;

  void Write(std::uint64_t offset, std::span<const std::byte> data) {
    FAHA_CHECK(offset <= kSize && data.size() <= kSize - offset, "a write within the medium");
    std::copy(data.begin(), data.end(), bytes.begin() + static_cast<std::ptrdiff_t>(offset));
    touched.emplace_back(offset, data.size());
  }
  void Restore(const Disk& from) {
    for (const auto& [offset, size] : touched) std::copy_n(&from.bytes[offset], size, &bytes[offset]);
    touched.clear();
  }
};

class DiskMedia : public Media {
 public:
  explicit DiskMedia(Disk* disk) : disk_(disk) {}
  [[nodiscard]] std::span<const std::byte> bytes() const override { return disk_->bytes; }
  IoStatus Write(std::uint64_t offset, std::span<const std::byte> data) override {
    disk_->Write(offset, data);
    return IoStatus::Ok();
  }
  void Landed(std::uint64_t, std::size_t) override {}
  IoStatus Drain() override { return IoStatus::Ok(); }
  Status Grow(std::uint64_t) override { return Status::Ok(); }
  [[nodiscard]] PersistenceDomain domain() const override { return PersistenceDomain::kCacheLine; }
  [[nodiscard]] std::uint32_t granule() const override { return 64; }

 private:
  Disk* disk_;
};

// Every pool has the same key, so that an input does the same in every run.
inline constexpr LogKey kKey{0x0123456789abcdef, 0xfedcba9876543210};

struct Opened {
  std::unique_ptr<Pool> pool;
  std::unique_ptr<Log> log;
};

inline Result<Opened> Open(Disk* disk) {
  Opened opened;
  auto pool = Pool::Open(std::make_unique<DiskMedia>(disk), kSegment);
  if (!pool.ok()) return pool.status();
  opened.pool = std::move(pool.value());
  auto log = Log::Open(opened.pool.get(), {});
  if (!log.ok()) return log.status();
  opened.log = std::move(log.value());
  return opened;
}

// An empty medium becomes a pool.
inline void Format(Disk* disk) {
  auto pool = Pool::Open(std::make_unique<DiskMedia>(disk), kSegment);
  FAHA_CHECK(pool.ok() && (*pool)->Adopt(ClusterId{{1}}, (*pool)->geometry(), kKey).ok(), "an empty medium takes it");
  FAHA_CHECK((*pool)->RaiseLevel(kElementsLevel).ok(), "it may have elements");
}

// The batches of a log, and the pool they are in: two segments, a unit that crosses them, members, every kind of
// record, a large collection of each type.
struct Image {
  Disk disk;
  using Batch = std::pair<LogAddress, std::vector<std::byte>>;
  std::vector<Batch> batches;  // with their padding
  // The one with the large collections.
  [[nodiscard]] const Batch& elements() const { return batches[batches.size() - 2]; }

  Image() {
    Format(&disk);
    auto opened = Open(&disk);
    FAHA_CHECK(opened.ok(), "an empty pool opens");
    Log& log = *opened->log;
    log.SetEpoch(Epoch{1});
    const auto add = [&](const Record& record) { FAHA_CHECK(log.Append(record).ok(), "the pool has room"); };
    // A batch tells what is committed only as far as it is durable.
    const auto seal = [&] { FAHA_CHECK(log.Seal().ok() && log.Drain().ok(), "the medium takes it"); };
    using Kind = format::RecordKind;
    add({.kind = Kind::kEpochStart, .key = {}, .value = {}});
    // The node itself is the only member.
    const Member self{opened->pool->node(), "127.0.0.1", 17001, 7001};
    const std::string members = Encode(Configuration{.members = {self}, .level = kElementsLevel});
    add({.kind = Kind::kConfig, .key = {}, .value = members});
    seal();
    log.SetCommitted(Lsn{1});
    add({.key = "a", .value = "1"});
    add({.key = "b", .value = "22", .expire_at = 1'000'000});
    seal();
    add({.kind = Kind::kDelete, .key = "a", .value = {}});
    add({.db = 3, .key = "large", .value = std::string(900'000, 'v')});
    seal();
    log.SetCommitted(Lsn{3});
    add({.key = "c", .value = "3"});
    add({.key = "d", .value = std::string(200'000, 'w')});  // the unit goes on in the second segment
    seal();
    add({.kind = Kind::kFlush, .db = 3, .key = {}, .value = {}});
    add({.kind = Kind::kFlush, .db = format::kAllDatabases, .key = {}, .value = {}});
    seal();
    for (const ValueType type : {ValueType::kHash, ValueType::kSet, ValueType::kSortedSet, ValueType::kList}) {
      const CollectionId id{log.end().lsn.Next().value, static_cast<std::uint32_t>(type)};
      const CollectionIdBytes name = BytesOf(id);
      for (int i = 0; i < 3; ++i) {
        const double score = i;
        const std::string value =
            type == ValueType::kSet ? "" : std::string(reinterpret_cast<const char*>(&score), sizeof score);
        const std::string subkey = type == ValueType::kList ? LabelBytes(1000 + i) : "e" + std::to_string(i);
        add({.kind = Kind::kElement, .key = ElementKey(id, subkey).text(), .value = value, .type = type});
      }
      const std::string gone = type == ValueType::kList ? LabelBytes(1001) : "e1";
      add({.kind = Kind::kElementErased, .key = ElementKey(id, gone).text(), .value = {}, .type = type});
      const std::string key(1, static_cast<char>('p' + static_cast<int>(type)));
      add({.key = key, .value = {name.data(), name.size()}, .type = type, .large = true});
    }
    seal();
    log.SetCommitted(log.end().lsn);
    add({.key = "e", .value = "5"});
    constexpr format::SwappedDb kSwapped[] = {{0, 3}, {3, 0}};
    add({.kind = Kind::kSwap, .key = {}, .value = {reinterpret_cast<const char*>(kSwapped), sizeof kSwapped}});
    seal();
    FAHA_CHECK(log.segments().size() == 2, "the pool has two segments in use");
    FAHA_CHECK(opened->pool->EndInstall().ok(), "the log is whole, so that a store serves from it");
    for (Lsn lsn{1}; lsn <= log.end().lsn; lsn = lsn.Next()) {
      const auto batch = log.Find(lsn);
      batches.emplace_back(batch->at, std::vector(batch->bytes.begin(), batch->bytes.end()));
    }
    disk.touched.clear();
  }
};

// Some of `bytes` become what the fuzzer says.
inline void Patch(std::span<std::byte> bytes, Input& input) {
  const auto offset = input.Take<std::uint16_t>();
  const auto patch = input.Bytes(input.Take<std::uint8_t>() % 32 + 1U);
  if (offset >= bytes.size()) return;
  std::copy_n(patch.begin(), std::min(patch.size(), bytes.size() - offset), bytes.begin() + offset);
}

// Makes the checksum of the batch in `bytes` right, and its digest `digest`, as far as its length makes sense; returns
// the next batch's digest if nothing is freed.
inline std::uint64_t Repair(std::span<std::byte> bytes, std::uint64_t digest) {
  format::BatchHeader header;
  std::memcpy(&header, bytes.data(), sizeof header);
  if (header.payload_bytes > bytes.size() - sizeof header) return digest + header.checksum;
  header.digest = digest;
  header.checksum = BatchChecksum(header, bytes.subspan(sizeof header, header.payload_bytes), kKey);
  std::memcpy(bytes.data(), &header, sizeof header);
  return digest + header.checksum;
}

// Reads every byte of every record, as replay and a client would.
inline std::uint64_t WalkAll(const Log& log) {
  std::uint64_t sum = 0;
  LogCursor cursor;
  Lsn last;
  while (const auto batch = log.Next(cursor)) {
    FAHA_CHECK(batch->view.lsn() > last && batch->view.lsn() <= log.end().lsn, "an open log's batches are in order");
    last = batch->view.lsn();
    FAHA_CHECK(batch->view.ForEach([&](const Record& record, std::uint64_t offset) {
      sum += Checksum(std::as_bytes(std::span(record.key))) + Checksum(std::as_bytes(std::span(record.value)));
      FAHA_CHECK(log.RecordAt(batch->at + offset).key == record.key, "a record is where it is");
    }),
               "the scan has checked every record");
  }
  FAHA_CHECK(last == log.end().lsn, "the log's last batch is there");
  return sum;
}

}  // namespace faha::fuzz
