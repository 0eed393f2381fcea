// Building and reading one batch.  Thread: main loop only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/log_key.h"
#include "faha/types.h"
#include "log/format.h"

namespace faha {

struct Record {
  format::RecordKind kind = format::RecordKind::kPut;
  DbId db = 0;
  std::string_view key;
  std::string_view value;
  TimeMs expire_at = kNoExpiry;
  ValueType type = ValueType::kString;
  bool large = false;       // the value is the name of a collection: see element.h
  std::uint64_t bytes = 0;  // in the batch, padding included

  [[nodiscard]] std::uint64_t Size() const {
    return format::RecordBytes(key.size(), value.size(), expire_at != kNoExpiry);
  }
};

// The record at the start of `from`; nothing if it does not fit or has a form that this version does not know.
std::optional<Record> ParseRecord(std::span<const std::byte> from);
// The contents of a kFree record; nothing for another kind or a malformed one.
std::optional<format::FreeNote> ReadFreeNote(const Record& record);
// The contents of a kSwap record; nothing for another kind or a malformed one.
std::optional<std::vector<format::SwappedDb>> ReadSwap(const Record& record);
// Are the entries a permutation of some databases: are they in the order of `db`, each with another number as `stored`,
// and are the `stored` numbers the same databases again?
bool IsSwap(std::span<const format::SwappedDb> swapped);
// The record at `at`, where a checksum has already been verified.
Record TrustedRecord(const std::byte* at);
// Which part of a record is checked: all but the value, or all of it.
enum class RecordPart : std::uint8_t { kHead, kAll };
// A number for the place of a record, which goes into its checks: no two records of a log ever have the same number.
constexpr std::uint64_t RecordPlace(LogAddress at, std::uint64_t generation) {
  return at.value ^ generation * 0xD6E8FEB86659FD93;  // an odd number: no two generations give the same product
}
// Is that part of the record at the start of `from`, which must not reach behind `from`, as it was written there?  A
// record without checks passes if its header is a possible one.
bool IsAsWritten(std::span<const std::byte> from, RecordPart part, std::uint64_t place);
// Is the record at `at` one of that key?  Only the header and the key are read, which is faster.
inline bool IsOf(const std::byte* at, std::uint16_t db, std::string_view key) {
  format::RecordHeader header;
  std::memcpy(&header, at, sizeof header);
  if (header.db != db || header.key_bytes != key.size()) return false;
  const std::uint64_t expiry = (header.flags & format::kHasExpiry) != 0 ? sizeof(TimeMs) : 0;
  return std::memcmp(at + sizeof header + expiry, key.data(), key.size()) == 0;
}

// A batch in DRAM while it is filled.
// Invariant: bytes() starts with room for the header.
class BatchBuilder {
 public:
  BatchBuilder() { Reset(); }
  void Reset();
  // Adds `record`, with checks if `place` (see RecordPlace) is given; returns its offset in the batch.
  std::uint64_t Add(const Record& record, std::optional<std::uint64_t> place = std::nullopt);
  // Completes `header` (the builder sets magic, version, payload_bytes, record_count, checksum and the flags kHas...)
  // and pads with zeros to `granule`.  Returns the bytes to write; valid until the next change.
  std::span<const std::byte> Seal(format::BatchHeader header, std::uint32_t granule, const LogKey& key);

  // Does the text stand in this batch?  It moves when the batch grows.
  [[nodiscard]] bool Holds(std::string_view text) const {
    const auto* at = reinterpret_cast<const std::byte*>(text.data());
    return !text.empty() && std::less_equal<>()(bytes_.data(), at) && std::less<>()(at, bytes_.data() + bytes_.size());
  }
  [[nodiscard]] bool empty() const { return records_ == 0; }
  [[nodiscard]] std::uint32_t records() const { return records_; }
  [[nodiscard]] std::uint64_t size() const { return bytes_.size(); }  // header included
  [[nodiscard]] const std::byte* data() const { return bytes_.data(); }

 private:
  std::vector<std::byte> bytes_;
  std::uint32_t records_ = 0;
  std::uint16_t flags_ = 0;
};

// The magic with which the header of each batch of that log starts.
constexpr std::uint32_t BatchMagic(const LogKey& key) {
  return format::kBatchMagic ^ static_cast<std::uint32_t>(key.mix ^ key.mix >> 32);
}
// The checksum protects against chance and against values that clients write, but not against somebody who can read the
// pool.  A client sees neither the key nor any checksum, so each value that it makes up passes for a batch with a
// probability of 2^-64.
std::uint64_t BatchChecksum(const format::BatchHeader& header, std::span<const std::byte> payload, const LogKey& key);

// A batch whose checksum holds.
class BatchView {
 public:
  // Nothing if `from` does not start with a whole, undamaged batch of this version and of the log with that key.
  static std::optional<BatchView> Parse(std::span<const std::byte> from, const LogKey& key);
  // The batch at `at`, which was verified before; only the header is read.
  static BatchView Trusted(const std::byte* at);
  // The same if the header was read before.
  static BatchView Trusted(const format::BatchHeader& header, const std::byte* at);

  [[nodiscard]] const format::BatchHeader& header() const { return header_; }
  // Does the checksum hold?  Reads as many bytes as the header gives to the batch.
  [[nodiscard]] bool IsWhole(const LogKey& key) const {
    return BatchChecksum(header_, payload_, key) == header_.checksum;
  }
  [[nodiscard]] Lsn lsn() const { return Lsn{header_.lsn}; }
  [[nodiscard]] Epoch epoch() const { return Epoch{header_.epoch}; }
  [[nodiscard]] std::uint64_t PaddedBytes(std::uint32_t granule) const {
    return format::AlignUp(sizeof header_ + header_.payload_bytes, granule);
  }
  // Calls `visit(const Record&, offset in the batch)` for each record; false if a record is malformed.
  template <typename Visit>
  [[nodiscard]] bool ForEach(Visit visit) const {
    std::uint64_t offset = sizeof header_;
    std::span<const std::byte> rest = payload_;
    for (std::uint32_t i = 0; i < header_.record_count; ++i) {
      const auto record = ParseRecord(rest);
      if (!record) return false;
      visit(*record, offset);
      offset += record->bytes;
      rest = rest.subspan(record->bytes);
    }
    return rest.empty();
  }

 private:
  format::BatchHeader header_{};
  std::span<const std::byte> payload_;
};

}  // namespace faha
