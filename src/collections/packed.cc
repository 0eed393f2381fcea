#include "collections/packed.h"

#include <cmath>
#include <cstring>
#include <optional>
#include <utility>

#include "base/check.h"

namespace faha {
namespace {

// Reads a length at `at` and moves behind it; nothing if there is none.
std::optional<std::uint64_t> ReadLength(std::string_view bytes, std::size_t& at) {
  std::uint64_t length = 0;
  for (std::uint64_t i = 0; i < Packed::kMaxLengthBytes && at < bytes.size(); ++i) {
    const auto byte = static_cast<unsigned char>(bytes[at++]);
    length |= static_cast<std::uint64_t>(byte & 0x7F) << 7 * i;
    if ((byte & 0x80) == 0) return length;
  }
  return std::nullopt;
}

void WriteLength(std::string& to, std::uint64_t length) {
  while (length >= 0x80) {
    to.push_back(static_cast<char>((length & 0x7F) | 0x80));
    length >>= 7;
  }
  to.push_back(static_cast<char>(length));
}

// Are the two neighbours in a sorted set in its order?
bool InOrder(std::string_view before, std::string_view after) {
  double low = 0, high = 0;
  std::memcpy(&low, before.data(), sizeof low);
  std::memcpy(&high, after.data(), sizeof high);
  return low < high || (low == high && before.substr(sizeof low) < after.substr(sizeof high));
}

bool IsScored(std::string_view text) {
  double score = 0;
  if (text.size() < sizeof score) return false;
  std::memcpy(&score, text.data(), sizeof score);
  return !std::isnan(score);
}

}  // namespace

bool Packed::IsWellFormed(std::string_view bytes, ValueType type) {
  if (bytes.size() < kHeaderBytes) return bytes.empty();
  const std::uint32_t count = Packed(bytes).count();
  if (count == 0 || (type == ValueType::kHash && count % 2 != 0)) return false;
  std::string_view before;
  std::size_t at = kHeaderBytes;
  for (std::uint32_t i = 0; i < count; ++i) {
    const auto length = ReadLength(bytes, at);
    if (!length || *length > bytes.size() - at) return false;
    const std::string_view text = bytes.substr(at, *length);
    at += *length;
    if (type == ValueType::kSortedSet && (!IsScored(text) || (i > 0 && !InOrder(before, text)))) return false;
    before = text;
  }
  return at == bytes.size();
}

std::uint32_t Packed::count() const {
  std::uint32_t count = 0;
  if (!view_.empty()) std::memcpy(&count, view_.data(), sizeof count);
  return count;
}

Packed::Item Packed::ItemAt(std::size_t at) const {
  std::size_t start = at;
  const auto length = ReadLength(view_, start);
  FAHA_CHECK(length && *length <= view_.size() - start, "a packed collection is checked when it is opened");
  return {at, start + *length, view_.substr(start, *length)};
}

std::size_t Packed::PlaceOf(std::uint64_t number) const {
  if (number >= count()) return end_at();
  std::size_t at = begin_at();
  for (; number > 0; --number) at = ItemAt(at).end;
  return at;
}

std::size_t Packed::Insert(std::size_t at, std::string_view first, std::string_view second) {
  std::string item;
  item.reserve(kMaxLengthBytes + first.size() + second.size());
  WriteLength(item, first.size() + second.size());
  item.append(first).append(second);
  if (view_.empty()) at = kHeaderBytes;
  const std::uint32_t before = count();
  Splice(at, at, item);
  SetCount(before + 1);
  return at + item.size();
}

void Packed::Append(std::string& bytes, std::string_view first, std::string_view second) {
  if (bytes.empty()) bytes.assign(kHeaderBytes, '\0');
  const std::uint32_t count = Packed(bytes).count() + 1;
  std::memcpy(bytes.data(), &count, sizeof count);
  WriteLength(bytes, first.size() + second.size());
  bytes.append(first).append(second);
}

void Packed::Remove(std::size_t at, std::size_t end, std::uint32_t strings) {
  const std::uint32_t left = count() - strings;
  Splice(at, end, {});
  if (left != 0) return SetCount(left);
  own_.clear();
  view_ = own_;
}

void Packed::SetCount(std::uint32_t count) { std::memcpy(own_.data(), &count, sizeof count); }

void Packed::Own() {
  if (owned()) return;
  own_.assign(view_);
  view_ = own_;
}

void Packed::Splice(std::size_t at, std::size_t end, std::string_view with) {
  Own();
  if (own_.empty()) own_.assign(kHeaderBytes, '\0');
  own_.replace(at, end - at, with);
  view_ = own_;
}

}  // namespace faha
