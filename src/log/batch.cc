#include "log/batch.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/checksum.h"
#include "log/record_kinds.h"

namespace faha {
namespace {

using format::RecordHeader;
using format::RecordKind;

std::string_view Text(const std::byte* at, std::size_t size) { return {reinterpret_cast<const char*>(at), size}; }

template <typename T>
T Load(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

// The head_check of a record with that header, 16 bits of a checksum.  `expiry_and_key`: the record's bytes between
// header and value.
std::uint16_t HeadCheck(const RecordHeader& header, std::span<const std::byte> expiry_and_key, std::uint64_t place) {
  const auto before = Load<std::uint64_t>(reinterpret_cast<const std::byte*>(&header));
  constexpr std::uint64_t kSpread = 0x9E3779B97F4A7C15;  // an odd number: no two lengths give the same product
  return static_cast<std::uint16_t>(Checksum(expiry_and_key, before ^ header.value_bytes * kSpread ^ place));
}
std::uint16_t ValueCheck(std::span<const std::byte> value, std::uint64_t place) {
  return static_cast<std::uint16_t>(Checksum(value, place));
}
static_assert(offsetof(RecordHeader, value_bytes) == sizeof(std::uint64_t));

std::uint64_t ExpiryBytes(const RecordHeader& header) {
  return (header.flags & format::kHasExpiry) != 0 ? sizeof(TimeMs) : 0;
}

std::uint8_t TypeOf(const RecordHeader& header) {
  return (header.flags & format::kValueTypeMask) >> format::kValueTypeShift;
}

// The header of the record at the start of `from`; nothing if the record does not fit into `from` or has a form that
// this release does not know.  So bytes of zeros are no record.
std::optional<RecordHeader> HeaderOf(std::span<const std::byte> from) {
  if (from.size() < sizeof(RecordHeader)) return std::nullopt;
  const auto header = Load<RecordHeader>(from.data());
  if (FindRecordKind(header.kind) == nullptr || (header.flags & ~format::kRecordFlags) != 0) return std::nullopt;
  const auto kind = static_cast<RecordKind>(header.kind);
  const bool has_type = kind == RecordKind::kPut || IsElementKind(kind);
  if (TypeOf(header) > static_cast<std::uint8_t>(has_type ? kLastValueType : ValueType::kString)) return std::nullopt;
  if (kind != RecordKind::kPut && (header.flags & format::kIsLarge) != 0) return std::nullopt;
  const bool checks = (header.flags & format::kHasChecks) != 0;
  if (!checks && (header.head_check != 0 || header.value_check != 0)) return std::nullopt;
  const bool has_expiry = ExpiryBytes(header) != 0;
  if (format::RecordBytes(header.key_bytes, header.value_bytes, has_expiry) > from.size()) return std::nullopt;
  return header;
}

}  // namespace

bool IsAsWritten(std::span<const std::byte> from, RecordPart part, std::uint64_t place) {
  const auto header = HeaderOf(from);
  if (!header) return false;
  if ((header->flags & format::kHasChecks) == 0) return true;
  const std::uint64_t head = ExpiryBytes(*header) + header->key_bytes;
  if (HeadCheck(*header, from.subspan(sizeof *header, head), place) != header->head_check) return false;
  return part == RecordPart::kHead ||
         ValueCheck(from.subspan(sizeof *header + head, header->value_bytes), place) == header->value_check;
}

Record TrustedRecord(const std::byte* at) {
  const auto header = Load<RecordHeader>(at);
  Record record;
  record.kind = static_cast<RecordKind>(header.kind);
  record.db = header.db;
  record.type = static_cast<ValueType>(TypeOf(header));
  record.large = (header.flags & format::kIsLarge) != 0;
  const std::byte* body = at + sizeof header;
  if ((header.flags & format::kHasExpiry) != 0) {
    record.expire_at = Load<TimeMs>(body);
    body += sizeof(TimeMs);
  }
  record.key = Text(body, header.key_bytes);
  record.value = Text(body + header.key_bytes, header.value_bytes);
  record.bytes = format::RecordBytes(header.key_bytes, header.value_bytes, (header.flags & format::kHasExpiry) != 0);
  return record;
}

std::optional<Record> ParseRecord(std::span<const std::byte> from) {
  if (!HeaderOf(from)) return std::nullopt;
  const Record record = TrustedRecord(from.data());
  const auto well_formed = InfoOf(record.kind).well_formed;
  if (well_formed != nullptr && !well_formed(record)) return std::nullopt;
  return record;
}

std::optional<format::FreeNote> ReadFreeNote(const Record& record) {
  if (record.kind != RecordKind::kFree || record.value.size() != sizeof(format::FreeNote)) return std::nullopt;
  return Load<format::FreeNote>(reinterpret_cast<const std::byte*>(record.value.data()));
}

std::optional<std::vector<format::SwappedDb>> ReadSwap(const Record& record) {
  if (record.kind != RecordKind::kSwap || record.db != 0 || !record.key.empty() || record.expire_at != kNoExpiry ||
      record.value.size() % sizeof(format::SwappedDb) != 0) {
    return std::nullopt;
  }
  std::vector<format::SwappedDb> swapped(record.value.size() / sizeof(format::SwappedDb));
  if (!swapped.empty()) std::memcpy(swapped.data(), record.value.data(), record.value.size());
  if (!IsSwap(swapped)) return std::nullopt;
  return swapped;
}

bool IsSwap(std::span<const format::SwappedDb> swapped) {
  std::vector<std::uint16_t> stored;
  stored.reserve(swapped.size());
  for (std::size_t i = 0; i < swapped.size(); ++i) {
    if (swapped[i].db == swapped[i].stored || swapped[i].db == format::kAllDatabases) return false;
    if (i > 0 && swapped[i].db <= swapped[i - 1].db) return false;
    stored.push_back(swapped[i].stored);
  }
  std::sort(stored.begin(), stored.end());
  return std::equal(swapped.begin(), swapped.end(), stored.begin(), stored.end(),
                    [](const format::SwappedDb& entry, std::uint16_t other) { return entry.db == other; });
}

void BatchBuilder::Reset() {
  bytes_.assign(sizeof(format::BatchHeader), std::byte{0});
  records_ = 0;
  flags_ = 0;
}

std::uint64_t BatchBuilder::Add(const Record& record, std::optional<std::uint64_t> place) {
  const std::uint64_t offset = bytes_.size();
  const bool has_expiry = record.expire_at != kNoExpiry;
  const int flags = (has_expiry ? format::kHasExpiry : 0) | (place ? format::kHasChecks : 0) |
                    static_cast<int>(record.type) << format::kValueTypeShift | (record.large ? format::kIsLarge : 0);
  RecordHeader header{.kind = static_cast<std::uint8_t>(record.kind),
                      .flags = static_cast<std::uint8_t>(flags),
                      .db = record.db,
                      .key_bytes = static_cast<std::uint32_t>(record.key.size()),
                      .value_bytes = static_cast<std::uint32_t>(record.value.size()),
                      .head_check = 0,
                      .value_check = 0};
  bytes_.resize(offset + record.Size());  // zeroes the padding
  std::byte* const start = bytes_.data() + offset;
  std::byte* at = start + sizeof header;
  const auto put = [&at](const void* from, std::size_t size) {
    if (size != 0) std::memcpy(at, from, size);
    at += size;
  };
  if (has_expiry) put(&record.expire_at, sizeof record.expire_at);
  put(record.key.data(), record.key.size());
  const std::byte* const value = at;
  put(record.value.data(), record.value.size());
  if (place) {
    header.head_check = HeadCheck(header, {start + sizeof header, value}, *place);
    header.value_check = ValueCheck({value, record.value.size()}, *place);
  }
  std::memcpy(start, &header, sizeof header);
  ++records_;
  flags_ |= InfoOf(record.kind).batch_flag;
  return offset;
}

// The hash by itself is not made to resist an attacker who looks for inputs that have the same result with any seed.
// The result is therefore combined with bits that the attacker does not know, so no result can be predicted.
std::uint64_t BatchChecksum(const format::BatchHeader& header, std::span<const std::byte> payload, const LogKey& key) {
  const auto head = std::as_bytes(std::span(&header, 1)).first(offsetof(format::BatchHeader, checksum));
  return Checksum(head, payload, key.seed) ^ key.mix;
}

std::span<const std::byte> BatchBuilder::Seal(format::BatchHeader header, std::uint32_t granule, const LogKey& key) {
  const std::uint64_t payload_bytes = bytes_.size() - sizeof header;
  header.magic = BatchMagic(key);
  header.version = format::kBatchVersion;
  header.payload_bytes = static_cast<std::uint32_t>(payload_bytes);
  header.record_count = records_;
  header.flags |= flags_;
  header.checksum = BatchChecksum(header, std::span(bytes_).subspan(sizeof header), key);
  std::memcpy(bytes_.data(), &header, sizeof header);
  bytes_.resize(format::AlignUp(bytes_.size(), granule));
  return bytes_;
}

BatchView BatchView::Trusted(const std::byte* at) { return Trusted(Load<format::BatchHeader>(at), at); }

BatchView BatchView::Trusted(const format::BatchHeader& header, const std::byte* at) {
  BatchView view;
  view.header_ = header;
  view.payload_ = {at + sizeof header, header.payload_bytes};
  return view;
}

std::optional<BatchView> BatchView::Parse(std::span<const std::byte> from, const LogKey& key) {
  if (from.size() < sizeof(format::BatchHeader)) return std::nullopt;
  const auto header = Load<format::BatchHeader>(from.data());
  if (header.magic != BatchMagic(key) || header.version != format::kBatchVersion ||
      (header.flags & ~format::kBatchFlags) != 0 || header.lsn == 0 || header.lsn > format::kMaxLsn ||
      header.payload_bytes > from.size() - sizeof header) {
    return std::nullopt;
  }
  const auto payload = from.subspan(sizeof header, header.payload_bytes);
  if (BatchChecksum(header, payload, key) != header.checksum) return std::nullopt;
  return Trusted(from.data());
}

}  // namespace faha
