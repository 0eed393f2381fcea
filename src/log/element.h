// The records of a large collection: what names the collection, and what orders its elements.  Thread: any.
#pragma once

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "faha/types.h"
#include "log/batch.h"
#include "log/format.h"

namespace faha {

constexpr bool IsElementKind(format::RecordKind kind) {
  return kind == format::RecordKind::kElement || kind == format::RecordKind::kElementErased;
}

// The bytes of a collection's name, as they stand in records.
using CollectionIdBytes = std::array<char, format::kCollectionIdBytes>;
inline CollectionIdBytes BytesOf(const CollectionId& id) {
  CollectionIdBytes bytes;
  std::memcpy(bytes.data(), &id.born, sizeof id.born);
  std::memcpy(bytes.data() + sizeof id.born, &id.number, sizeof id.number);
  return bytes;
}
// `bytes` has kCollectionIdBytes or more.
inline CollectionId ReadCollectionId(std::string_view bytes) {
  CollectionId id;
  std::memcpy(&id.born, bytes.data(), sizeof id.born);
  std::memcpy(&id.number, bytes.data() + sizeof id.born, sizeof id.number);
  return id;
}

// The key of an element's record.
class ElementKey {
 public:
  ElementKey(const CollectionId& id, std::string_view subkey) : size_(format::kCollectionIdBytes + subkey.size()) {
    if (size_ > short_.size()) long_.resize(size_);
    char* at = size_ > short_.size() ? long_.data() : short_.data();
    const CollectionIdBytes bytes = BytesOf(id);
    std::memcpy(at, bytes.data(), bytes.size());
    if (!subkey.empty()) std::memcpy(at + bytes.size(), subkey.data(), subkey.size());
  }
  ElementKey(const ElementKey&) = delete;
  ElementKey& operator=(const ElementKey&) = delete;
  [[nodiscard]] std::string_view text() const { return {size_ > short_.size() ? long_.data() : short_.data(), size_}; }

 private:
  std::size_t size_;
  std::array<char, 64> short_;
  std::string long_;
};
// Of a well-formed record of an element: its collection, and what names it there.
inline CollectionId CollectionOf(const Record& element) { return ReadCollectionId(element.key); }
inline std::string_view SubkeyOf(const Record& element) { return element.key.substr(format::kCollectionIdBytes); }
// Of a well-formed put whose `large` is set: the collection that the key has.
inline CollectionId LargeOf(const Record& put) { return ReadCollectionId(put.value); }

// The label of a list's element, and the bytes that name the element.
inline std::string LabelBytes(std::uint64_t label) {
  const std::uint64_t big_endian = __builtin_bswap64(label);
  return {reinterpret_cast<const char*>(&big_endian), sizeof big_endian};
}
inline std::uint64_t LabelOf(std::string_view subkey) {
  std::uint64_t big_endian = 0;
  std::memcpy(&big_endian, subkey.data(), sizeof big_endian);
  return __builtin_bswap64(big_endian);
}
inline double ScoreOf(std::string_view value) {
  double score = 0;
  std::memcpy(&score, value.data(), sizeof score);
  return score;
}
// A number that orders scores as they are ordered: both zeros are equal.  The score must be a number.
inline std::uint64_t OrderOf(double score) {
  constexpr std::uint64_t kSign = std::uint64_t{1} << 63;
  const auto bits = std::bit_cast<std::uint64_t>(score == 0 ? 0.0 : score);
  return (bits & kSign) != 0 ? ~bits : bits | kSign;
}
// By which an element of a sorted set or a list is ordered.
inline std::uint64_t OrderOf(const Record& element) {
  return element.type == ValueType::kList ? LabelOf(SubkeyOf(element)) : OrderOf(ScoreOf(element.value));
}

// --- Well-formed records: see record_kinds.h.
inline bool IsPut(const Record& record) {
  return !record.large || (record.type != ValueType::kString && record.value.size() == format::kCollectionIdBytes);
}
inline bool HasElementKey(const Record& record) {
  if (record.type == ValueType::kString || record.db != 0 || record.key.size() < format::kCollectionIdBytes)
    return false;
  return record.type != ValueType::kList || SubkeyOf(record).size() == sizeof(std::uint64_t);
}
inline bool IsElement(const Record& record) {
  if (!HasElementKey(record)) return false;
  if (record.type == ValueType::kSet) return record.value.empty();
  if (record.type == ValueType::kSortedSet)
    return record.value.size() == sizeof(double) && !std::isnan(ScoreOf(record.value));
  return true;
}
inline bool IsElementErased(const Record& record) {
  return HasElementKey(record) && (record.value.empty() || record.value.size() == sizeof(std::uint64_t));
}

}  // namespace faha
