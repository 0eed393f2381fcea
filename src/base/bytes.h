// Little-endian encoding and decoding of messages that a peer may have forged.  Thread: any.
// Invariants: (1) a reader never reads past its bytes; after the first failure every read fails and
//                 leaves its result untouched.
//             (2) what a ByteWriter wrote, a ByteReader reads back, on any machine.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "base/limits.h"
#include "faha/types.h"

namespace faha {

class ByteWriter {
 public:
  void U8(std::uint8_t value) { Integer(value); }
  void U16(std::uint16_t value) { Integer(value); }
  void U32(std::uint32_t value) { Integer(value); }
  void U64(std::uint64_t value) { Integer(value); }
  void Id(const Uuid& id) { Raw(std::as_bytes(std::span(id.bytes))); }

  // 16 bits of length, then the bytes.  A longer string than kMaxShortStringBytes is a bug.
  void String(std::string_view text) {
    FAHA_CHECK(text.size() <= kMaxShortStringBytes, "a short string is short");
    U16(static_cast<std::uint16_t>(text.size()));
    Raw(std::as_bytes(std::span(text)));
  }

  void Raw(std::span<const std::byte> bytes) { bytes_.insert(bytes_.end(), bytes.begin(), bytes.end()); }

  void Clear() { bytes_.clear(); }
  [[nodiscard]] std::size_t size() const { return bytes_.size(); }
  // Valid until the next write.
  [[nodiscard]] std::span<const std::byte> bytes() const { return bytes_; }

 private:
  template <std::unsigned_integral T>
  void Integer(T value) {
    for (std::size_t i = 0; i < sizeof value; ++i) {
      bytes_.push_back(static_cast<std::byte>((static_cast<std::uint64_t>(value) >> (8 * i)) & 0xFF));
    }
  }

  std::vector<std::byte> bytes_;
};

// Every read returns false when the bytes are not there.  So a message is read in one expression:
//   return reader.U8(kind) && reader.U64(lsn) && reader.String(host, kMaxHostBytes) && reader.AtEnd();
class ByteReader {
 public:
  // `bytes` must outlive the reader.
  explicit ByteReader(std::span<const std::byte> bytes) : rest_(bytes) {}

  bool U8(std::uint8_t& value) { return Integer(value); }
  bool U16(std::uint16_t& value) { return Integer(value); }
  bool U32(std::uint32_t& value) { return Integer(value); }
  bool U64(std::uint64_t& value) { return Integer(value); }

  bool Id(Uuid& id) {
    std::span<const std::byte> raw;
    if (!Raw(id.bytes.size(), raw)) return false;
    std::memcpy(id.bytes.data(), raw.data(), raw.size());
    return true;
  }

  // Fails as well when the string is longer than `max_bytes`.
  bool String(std::string& text, std::size_t max_bytes) {
    std::uint16_t size = 0;
    std::span<const std::byte> raw;
    if (!U16(size) || size > max_bytes || !Raw(size, raw)) return Fail();
    text.assign(reinterpret_cast<const char*>(raw.data()), raw.size());
    return true;
  }

  // The next `size` bytes, as a view of what the reader was given.
  bool Raw(std::size_t size, std::span<const std::byte>& bytes) {
    if (failed_ || size > rest_.size()) return Fail();
    bytes = rest_.first(size);
    rest_ = rest_.subspan(size);
    return true;
  }

  [[nodiscard]] bool failed() const { return failed_; }
  [[nodiscard]] std::size_t remaining() const { return failed_ ? 0 : rest_.size(); }
  // Everything was read and nothing failed: a message with trailing bytes is no message.
  [[nodiscard]] bool AtEnd() const { return !failed_ && rest_.empty(); }

 private:
  bool Fail() {
    failed_ = true;
    return false;
  }

  template <std::unsigned_integral T>
  bool Integer(T& value) {
    std::span<const std::byte> raw;
    if (!Raw(sizeof value, raw)) return false;
    std::uint64_t wide = 0;
    for (std::size_t i = 0; i < sizeof value; ++i) wide |= std::to_integer<std::uint64_t>(raw[i]) << (8 * i);
    value = static_cast<T>(wide);
    return true;
  }

  std::span<const std::byte> rest_;
  bool failed_ = false;
};

}  // namespace faha
