// A packed collection: byte strings, one behind the other, in one value.  Thread: any; each object by one at a time.
//
//   0  how many strings follow, 4 bytes, little-endian
//   4  each string: its length, 7 bits in a byte from the lowest on, all but the last with the highest bit set; then it
//
// An empty collection has no bytes at all, and is never stored.  A hash has each field followed by its value; a set its
// members; a sorted set, in its order, each score (8 bytes, an IEEE double, little-endian) and member as one string; a
// list its elements.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "faha/types.h"

namespace faha {

class Packed {
 public:
  explicit Packed(std::string_view bytes) : view_(bytes) {}
  Packed(const Packed&) = delete;
  Packed& operator=(const Packed&) = delete;

  // Are the bytes a packed collection of that type?
  static bool IsWellFormed(std::string_view bytes, ValueType type);

  [[nodiscard]] std::string_view bytes() const { return view_; }
  [[nodiscard]] std::uint32_t count() const;
  // Bytes that a length takes at most.
  static constexpr std::uint64_t kMaxLengthBytes = 5;
  static constexpr std::uint64_t kHeaderBytes = sizeof(std::uint32_t);

  // One string, and where it stands.
  struct Item {
    std::size_t at = 0, end = 0;
    std::string_view text;
  };
  // The places of the first string, and behind the last one.
  [[nodiscard]] std::size_t begin_at() const { return view_.empty() ? 0 : kHeaderBytes; }
  [[nodiscard]] std::size_t end_at() const { return view_.size(); }
  // The string at `at`, which must not be the end.
  [[nodiscard]] Item ItemAt(std::size_t at) const;
  // The place of string number `number`, counted from 0; the end if there are not so many.
  [[nodiscard]] std::size_t PlaceOf(std::uint64_t number) const;

  // Copies the bytes that are viewed.
  void Own();
  // Inserts a string, which consists of both parts, at a place.  Returns the place behind it.  The parts may be views
  // of this collection.
  std::size_t Insert(std::size_t at, std::string_view first, std::string_view second = {});
  // As Insert at the end, of a collection that is in `bytes`.
  static void Append(std::string& bytes, std::string_view first, std::string_view second = {});
  // Removes `strings` strings, which stand from `at` to `end`.
  void Remove(std::size_t at, std::size_t end, std::uint32_t strings);

 private:
  void SetCount(std::uint32_t count);
  [[nodiscard]] bool owned() const { return view_.data() == own_.data(); }
  void Splice(std::size_t at, std::size_t end, std::string_view with);

  std::string_view view_;  // of own_ after the first change
  std::string own_;
};

}  // namespace faha
