// Where a key's newest record is.  A slot of the index holds a Place.  Thread: any; values.
// A cold key is named by its record's log address; a hot one by a block in DRAM that holds a copy of the record.  Both
// are multiples of 8 below 2^48, so the lowest three bits are free: the tag and the key's frequency.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "faha/types.h"

namespace faha {

// The head of a block; the record's copy follows.  Blocks are multiples of kUnit bytes, and so are their addresses.
struct HotBlock {
  static constexpr std::uint64_t kUnit = 16;
  static constexpr std::uint64_t kHashMask = (std::uint64_t{1} << 48) - 1;
  static constexpr std::uint64_t kAddressMask = (std::uint64_t{1} << 48) - 1;
  static constexpr std::uint64_t kMaxBytes = 0xFFFF * kUnit;

  std::uint64_t address : 48;  // see at()
  std::uint64_t db : 16;
  std::uint64_t hash : 48;  // the low bits of the key's hash: all that the index ever looks at
  std::uint64_t units : 16;

  // The log address of the record; none: the block is dead, because the key is gone or is elsewhere.
  [[nodiscard]] LogAddress at() const { return LogAddress{address}; }
  void SetAt(LogAddress where) { address = where.value & kAddressMask; }
  void Kill() { address = 0; }
  [[nodiscard]] DbId Db() const { return static_cast<DbId>(db); }

  // The size of the whole block for a record of so many bytes.
  static constexpr std::uint64_t BytesFor(std::uint64_t record_bytes) {
    return (sizeof(HotBlock) + record_bytes + kUnit - 1) / kUnit * kUnit;
  }
  [[nodiscard]] std::uint64_t bytes() const { return units * kUnit; }
  [[nodiscard]] const std::byte* record() const { return reinterpret_cast<const std::byte*>(this + 1); }
  void Fill(LogAddress where, std::span<const std::byte> record) {
    SetAt(where);
    std::memcpy(this + 1, record.data(), record.size());
  }
};
static_assert(sizeof(HotBlock) == 16);

class Place {
 public:
  static constexpr std::uint64_t kUnit = 8;
  static constexpr std::uint64_t kLimit = std::uint64_t{1} << 48;
  static constexpr unsigned kMaxFrequency = 3;

  constexpr Place() = default;
  static constexpr Place Cold(LogAddress at) { return Place(at.value); }
  static Place Hot(const HotBlock* block, unsigned frequency = 0) {
    return Place(reinterpret_cast<std::uintptr_t>(block) | frequency << kFrequencyShift | kHot);
  }
  // FromSlot() makes a Place from the low 48 bits of a slot; bits() gives these bits back.
  static constexpr Place FromSlot(std::uint64_t slot) { return Place(slot & (kLimit - 1)); }
  [[nodiscard]] constexpr std::uint64_t bits() const { return bits_; }

  [[nodiscard]] constexpr bool IsNone() const { return bits_ == 0; }
  [[nodiscard]] constexpr bool hot() const { return (bits_ & kHot) != 0; }
  // How often the key was read since it became hot; 3: three times or more.
  [[nodiscard]] constexpr unsigned frequency() const { return bits_ >> kFrequencyShift & kMaxFrequency; }
  [[nodiscard]] HotBlock* block() const { return reinterpret_cast<HotBlock*>(bits_ & kAddressMask); }
  // The log address of the record.  For a hot key it is read from the block.
  [[nodiscard]] LogAddress log_address() const { return hot() ? block()->at() : LogAddress{bits_}; }
  // Do both name the same block or record?
  [[nodiscard]] constexpr bool Same(Place other) const {
    return ((bits_ ^ other.bits_) & ~(std::uint64_t{kMaxFrequency} << kFrequencyShift)) == 0;
  }
  constexpr bool operator==(const Place&) const = default;

 private:
  static constexpr std::uint64_t kHot = 1;
  static constexpr int kFrequencyShift = 1;
  static constexpr std::uint64_t kAddressMask = kLimit - kUnit;

  explicit constexpr Place(std::uint64_t bits) : bits_(bits) {}
  std::uint64_t bits_ = 0;
};

}  // namespace faha
