// Strings as rows of bits: SETBIT, GETBIT, BITCOUNT, BITPOS, BITOP.  Bit 0 is the highest bit of byte 0.  Semantics,
// replies and errors are those of Redis 7.0.
#include "module/bits.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "module/commands.h"

namespace faha::module::bits {
namespace {

constexpr std::size_t kWord = sizeof(std::uint64_t);

std::uint64_t WordAt(const char* bytes) {
  std::uint64_t word = 0;
  std::memcpy(&word, bytes, kWord);
  return word;
}

unsigned Byte(std::string_view bytes, std::uint64_t i) { return static_cast<unsigned char>(bytes[i]); }

// A range of bits, both ends inclusive; it is empty if first > last.
struct Range {
  std::int64_t first = 0, last = -1;
};

// Parses the arguments from `at` on: FIRST LAST [BYTE|BIT]; negative ones are counted from the end.  Sets `error` if
// one is bad; if two are bad, the error is that of the one that Redis looks at first.
Range ParseRange(const Call& call, int at, std::int64_t bytes, bool unit_before_last, std::optional<Reply>& error) {
  const auto first = ParseInteger(call.arg(at));
  const auto last = call.size() > at + 1 ? ParseInteger(call.arg(at + 1)) : std::optional<std::int64_t>(-1);
  const bool in_bits = call.size() == at + 3 && call.Is(at + 2, "bit");
  const bool bad_unit = call.size() == at + 3 && !in_bits && !call.Is(at + 2, "byte");
  if (call.size() > at + 3) {
    error = Call::SyntaxError();
  } else if (!first || (!last && !(unit_before_last && bad_unit))) {
    error = Call::NotAnInteger();
  } else if (bad_unit) {
    error = Call::SyntaxError();
  }
  if (error) return {};
  const std::int64_t size = in_bits ? bytes * 8 : bytes;
  const std::int64_t from = std::max<std::int64_t>(*first < 0 ? *first + size : *first, 0);
  const std::int64_t to = std::min(std::max<std::int64_t>(*last < 0 ? *last + size : *last, 0), size - 1);
  if (from > to) return {};
  return in_bits ? Range{from, to} : Range{from * 8, to * 8 + 7};
}

std::int64_t CountBytes(std::string_view bytes) {
  std::int64_t count = 0;
  for (; bytes.size() >= kWord; bytes.remove_prefix(kWord)) {
    count += std::popcount(WordAt(bytes.data()));
  }
  for (const char byte : bytes) count += std::popcount(static_cast<unsigned char>(byte));
  return count;
}

// The number of bits that are set in `range`, which must not be empty.
std::int64_t Count(std::string_view bytes, Range range) {
  const auto first = static_cast<std::uint64_t>(range.first), last = static_cast<std::uint64_t>(range.last);
  const unsigned before = Byte(bytes, first / 8) & ~(0xffU >> (first % 8));
  const unsigned behind = Byte(bytes, last / 8) & (0x7fU >> (last % 8));
  return CountBytes(bytes.substr(first / 8, last / 8 - first / 8 + 1)) - std::popcount(before) - std::popcount(behind);
}

// The first bit of `range` that has the value `wanted`; nothing if there is none.
std::optional<std::int64_t> Search(std::string_view bytes, Range range, bool wanted) {
  const std::uint64_t skipped = wanted ? 0 : ~std::uint64_t{0};
  constexpr std::int64_t kWordBits = kWord * 8;
  std::int64_t bit = range.first;
  while (bit <= range.last) {
    const bool aligned = bit % 8 == 0 && bit + kWordBits <= range.last + 1;
    if (aligned && WordAt(bytes.data() + bit / 8) == skipped) {
      bit += kWordBits;
    } else if (BitAt(bytes, static_cast<std::uint64_t>(bit)) == wanted) {
      return bit;
    } else {
      ++bit;
    }
  }
  return std::nullopt;
}

// Combines the sources; a source that is too short is treated as if zeros followed it.
template <typename Operation>
std::string Combine(const std::vector<std::string_view>& sources, std::size_t size, Operation operation) {
  std::string result(sources.front());
  result.resize(size);
  for (std::size_t i = 1; i < sources.size(); ++i) {
    const std::string_view source = sources[i];
    for (std::size_t at = 0; at < source.size(); ++at) result[at] = operation(result[at], source[at]);
    for (std::size_t at = source.size(); at < size; ++at) result[at] = operation(result[at], '\0');
  }
  return result;
}

enum class Operation { kAnd, kOr, kXor, kNot };

std::optional<Operation> ParseOperation(const Call& call) {
  if (call.Is(1, "and")) return Operation::kAnd;
  if (call.Is(1, "or")) return Operation::kOr;
  if (call.Is(1, "xor")) return Operation::kXor;
  if (call.Is(1, "not")) return Operation::kNot;
  return std::nullopt;
}

std::string Combine(const std::vector<std::string_view>& sources, std::size_t size, Operation operation) {
  switch (operation) {
    case Operation::kAnd: return Combine(sources, size, [](char a, char b) { return static_cast<char>(a & b); });
    case Operation::kOr: return Combine(sources, size, [](char a, char b) { return static_cast<char>(a | b); });
    case Operation::kXor: return Combine(sources, size, [](char a, char b) { return static_cast<char>(a ^ b); });
    case Operation::kNot: break;
  }
  std::string result(sources.front());
  for (char& byte : result) byte = static_cast<char>(~byte);
  return result;
}

}  // namespace

std::optional<std::uint64_t> ParseOffset(const Call& call, std::string_view text, int width) {
  const bool counted = width > 0 && text.starts_with('#');
  auto number = ParseInteger(text.substr(counted ? 1 : 0));
  if (!number || *number < 0) return std::nullopt;
  if (counted && __builtin_mul_overflow(*number, width, &*number)) return std::nullopt;
  const auto offset = static_cast<std::uint64_t>(*number);
  if (call.TooLong(offset / 8 + 1)) return std::nullopt;
  return offset;
}

Reply BadOffset() { return Reply::Error("ERR bit offset is not an integer or out of range"); }

bool BitAt(std::string_view bytes, std::uint64_t bit) {
  return bit / 8 < bytes.size() && ((Byte(bytes, bit / 8) >> (7 - bit % 8)) & 1U) != 0;
}

void SetBitAt(std::string& bytes, std::uint64_t bit, bool on) {
  const unsigned mask = 0x80U >> (bit % 8);
  const unsigned old = Byte(bytes, bit / 8);
  bytes[bit / 8] = static_cast<char>(on ? old | mask : old & ~mask);
}

Reply SetBit(Call& call) {
  const auto offset = ParseOffset(call, call.arg(2));
  if (!offset) return BadOffset();
  const auto on = ParseInteger(call.arg(3));
  if (!on || (*on != 0 && *on != 1)) return Reply::Error("ERR bit is not an integer or out of range");
  const auto entry = call.Find(1);
  const std::uint64_t old_size = entry ? entry->value.size() : 0;
  const std::uint64_t size = std::max(old_size, *offset / 8 + 1);
  const bool was = entry && BitAt(entry->value, *offset);
  if (size == old_size && was == (*on == 1)) return Reply::Integer(was ? 1 : 0);
  const TimeMs expire_at = entry ? entry->expire_at : kNoExpiry;
  std::string value = entry ? std::string(entry->value) : std::string();  // a copy: making room may move what was found
  if (Status status = call.MayWrite(1, size); !status.ok()) return Reply::Error(status);
  value.resize(size);
  SetBitAt(value, *offset, *on == 1);
  return After(call.Put(1, {value, expire_at}, REDISMODULE_NOTIFY_STRING, "setbit"), Reply::Integer(was ? 1 : 0));
}

Reply GetBit(Call& call) {
  const auto offset = ParseOffset(call, call.arg(2));
  if (!offset) return BadOffset();
  const auto entry = call.Read(1);
  return Reply::Integer(entry && BitAt(entry->value, *offset) ? 1 : 0);
}

Reply BitCount(Call& call) {
  const auto entry = call.Read(1);
  if (!entry) return Reply::Integer(0);  // whatever the other arguments are
  if (call.size() == 2) return Reply::Integer(CountBytes(entry->value));
  if (call.size() == 3) return Call::SyntaxError();
  const auto first = ParseInteger(call.arg(2)), last = ParseInteger(call.arg(3));
  if (first && last && *first < 0 && *last < 0 && *first > *last && call.size() <= 5) return Reply::Integer(0);
  std::optional<Reply> error;
  const Range range = ParseRange(call, 2, static_cast<std::int64_t>(entry->value.size()), false, error);
  if (error) return *error;
  return Reply::Integer(range.first > range.last ? 0 : Count(entry->value, range));
}

Reply BitPos(Call& call) {
  const auto wanted = ParseInteger(call.arg(2));
  if (!wanted) return Call::NotAnInteger();
  if (*wanted != 0 && *wanted != 1) return Reply::Error("ERR The bit argument must be 1 or 0.");
  const auto entry = call.Read(1);
  if (!entry) return Reply::Integer(*wanted == 1 ? -1 : 0);
  const auto bytes = static_cast<std::int64_t>(entry->value.size());
  Range range{0, bytes * 8 - 1};
  std::optional<Reply> error;
  if (call.size() > 3) range = ParseRange(call, 3, bytes, true, error);
  if (error) return *error;
  if (range.first > range.last) return Reply::Integer(-1);
  const auto found = Search(entry->value, range, *wanted == 1);
  if (found) return Reply::Integer(*found);
  // If the call names no end, the string is treated as if zeros followed it.
  return Reply::Integer(*wanted == 0 && call.size() < 5 ? bytes * 8 : -1);
}

Reply BitOp(Call& call) {
  const auto operation = ParseOperation(call);
  if (!operation) return Call::SyntaxError();
  if (operation == Operation::kNot && call.size() != 4) {
    return Reply::Error("ERR BITOP NOT must be called with a single source key.");
  }
  // Expired keys are deleted first, so that no write comes between a view and its use.
  for (int i = 3; i < call.size(); ++i) (void)call.Read(i);
  std::vector<std::string_view> sources;
  std::size_t size = 0;
  for (int i = 3; i < call.size(); ++i) {
    bool expired = false;
    const auto entry = call.Peek(i, expired);
    sources.push_back(entry && entry->type == ValueType::kString ? entry->value : std::string_view{});
    size = std::max(size, sources.back().size());
  }
  if (size == 0) return call.FindAny(2) ? After(call.Delete(2), Reply::Integer(0)) : Reply::Integer(0);
  const std::string result = Combine(sources, size, *operation);
  return After(call.Put(2, {result}, REDISMODULE_NOTIFY_STRING, "set"),
               Reply::Integer(static_cast<std::int64_t>(size)));
}

}  // namespace faha::module::bits
