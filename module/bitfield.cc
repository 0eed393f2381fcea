// BITFIELD: integers of 1 to 64 bits at any bit of a string.  Semantics, replies and errors are those of Redis 7.0.
#include <algorithm>

#include "module/bits.h"
#include "module/commands.h"

namespace faha::module::bits {
namespace {

using Wide = __int128;  // holds every sum of two fields

enum class Overflow { kWrap, kSaturate, kFail };

struct Field {
  enum class Action { kGet, kSet, kAdd } action = Action::kGet;
  bool is_signed = false;
  int width = 0;
  std::uint64_t offset = 0;
  std::int64_t operand = 0;
  Overflow overflow = Overflow::kWrap;

  [[nodiscard]] Wide Min() const { return is_signed ? -(Wide{1} << (width - 1)) : Wide{0}; }
  [[nodiscard]] Wide Max() const { return (Wide{1} << (is_signed ? width - 1 : width)) - 1; }
};

std::optional<Reply> ParseType(std::string_view text, Field& field) {
  const auto width = ParseInteger(text.substr(text.empty() ? 0 : 1));
  field.is_signed = text.starts_with('i');
  if ((!field.is_signed && !text.starts_with('u')) || !width || *width < 1 || *width > (field.is_signed ? 64 : 63)) {
    return Reply::Error(
        "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.");
  }
  field.width = static_cast<int>(*width);
  return std::nullopt;
}

std::optional<Reply> ParseOverflow(const Call& call, int i, Overflow& overflow) {
  if (call.Is(i, "wrap")) {
    overflow = Overflow::kWrap;
  } else if (call.Is(i, "sat")) {
    overflow = Overflow::kSaturate;
  } else if (call.Is(i, "fail")) {
    overflow = Overflow::kFail;
  } else {
    return Reply::Error("ERR Invalid OVERFLOW type specified");
  }
  return std::nullopt;
}

// Parses the operation at argument `i`, and leaves `i` at the operation's last argument.
std::optional<Reply> ParseField(const Call& call, int& i, Field& field) {
  const int behind = call.size() - i - 1;
  if (call.Is(i, "set") && behind >= 3) {
    field.action = Field::Action::kSet;
  } else if (call.Is(i, "incrby") && behind >= 3) {
    field.action = Field::Action::kAdd;
  } else if (!call.Is(i, "get") || behind < 2) {
    return Call::SyntaxError();
  }
  if (auto error = ParseType(call.arg(++i), field)) return error;
  const auto offset = ParseOffset(call, call.arg(++i), field.width);
  if (!offset) return BadOffset();
  field.offset = *offset;
  if (field.action == Field::Action::kGet) return std::nullopt;
  const auto operand = ParseInteger(call.arg(++i));
  if (!operand) return Call::NotAnInteger();
  field.operand = *operand;
  return std::nullopt;
}

std::optional<Reply> Parse(const Call& call, std::vector<Field>& fields) {
  Overflow overflow = Overflow::kWrap;
  for (int i = 2; i < call.size(); ++i) {
    std::optional<Reply> error;
    if (call.Is(i, "overflow") && i + 1 < call.size()) {
      error = ParseOverflow(call, ++i, overflow);
    } else {
      Field field;
      field.overflow = overflow;
      error = ParseField(call, i, field);
      fields.push_back(field);
    }
    if (error) return error;
  }
  return std::nullopt;
}

// The value of a field as a number, where `bits` are its bits; in a signed field the highest bit is the sign.
Wide FromBits(const Field& field, std::uint64_t bits) {
  const Wide value = bits;
  return value > field.Max() ? value - (Wide{1} << field.width) : value;
}

Wide Load(std::string_view bytes, const Field& field) {
  std::uint64_t bits = 0;
  for (int i = 0; i < field.width; ++i) bits = bits << 1 | (BitAt(bytes, field.offset + i) ? 1 : 0);
  return FromBits(field, bits);
}

void Save(std::string& bytes, const Field& field, Wide value) {
  for (int i = 0; i < field.width; ++i) {
    SetBitAt(bytes, field.offset + i, ((value >> (field.width - 1 - i)) & 1) != 0);
  }
}

// The value to store for `wanted`; nothing if it does not fit and the overflow rule is FAIL.
std::optional<Wide> Fit(const Field& field, Wide wanted) {
  if (wanted >= field.Min() && wanted <= field.Max()) return wanted;
  switch (field.overflow) {
    case Overflow::kFail: return std::nullopt;
    case Overflow::kSaturate: return wanted > field.Max() ? field.Max() : field.Min();
    case Overflow::kWrap: break;
  }
  const std::uint64_t mask = field.width == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << field.width) - 1;
  return FromBits(field, static_cast<std::uint64_t>(wanted) & mask);
}

// Runs `field` on `bytes` and returns its reply; sets `changed` if the field has another value than before.
std::optional<std::int64_t> Apply(std::string& bytes, const Field& field, bool& changed) {
  const Wide old = Load(bytes, field);
  if (field.action == Field::Action::kGet) return static_cast<std::int64_t>(old);
  const bool add = field.action == Field::Action::kAdd;
  // The operand of SET in an unsigned field is treated as unsigned, too.
  const Wide operand = add || field.is_signed ? Wide{field.operand} : Wide{static_cast<std::uint64_t>(field.operand)};
  const auto value = Fit(field, add ? old + operand : operand);
  if (!value) return std::nullopt;
  Save(bytes, field, *value);
  changed = changed || *value != old;
  return static_cast<std::int64_t>(add ? *value : old);
}

Reply Read(Call& call, const std::vector<Field>& fields) {
  const auto entry = call.Read(1);
  const std::string_view value = entry ? entry->value : std::string_view{};
  std::vector<std::optional<std::int64_t>> replies;
  for (const Field& field : fields) replies.emplace_back(static_cast<std::int64_t>(Load(value, field)));
  return Reply::Integers(std::move(replies));
}

bool Writes(const Field& field) { return field.action != Field::Action::kGet; }

}  // namespace

Reply BitField(Call& call) {
  std::vector<Field> fields;
  if (auto error = Parse(call, fields)) return *error;
  if (std::none_of(fields.begin(), fields.end(), Writes)) return Read(call, fields);
  const auto entry = call.Find(1);
  const std::uint64_t old_size = entry ? entry->value.size() : 0;
  std::uint64_t size = old_size;
  for (const Field& field : fields) {
    if (Writes(field)) size = std::max(size, (field.offset + field.width - 1) / 8 + 1);
  }
  const TimeMs expire_at = entry ? entry->expire_at : kNoExpiry;
  std::string value = entry ? std::string(entry->value) : std::string();  // a copy: making room may move what was found
  if (Status status = call.MayWrite(1, size); !status.ok()) return Reply::Error(status);
  value.resize(size);
  bool changed = size != old_size;
  std::vector<std::optional<std::int64_t>> replies;
  for (const Field& field : fields) replies.push_back(Apply(value, field, changed));
  Reply reply = Reply::Integers(std::move(replies));
  if (!changed) return reply;
  return After(call.Put(1, {value, expire_at}, REDISMODULE_NOTIFY_STRING, "setbit"), std::move(reply));
}

Reply BitFieldRo(Call& call) {
  std::vector<Field> fields;
  if (auto error = Parse(call, fields)) return *error;
  if (std::any_of(fields.begin(), fields.end(), Writes)) {
    return Reply::Error("ERR BITFIELD_RO only supports the GET subcommand");
  }
  return Read(call, fields);
}

// A BITFIELD that contains nothing but GET is a read.  A call that cannot be parsed is treated as a write.
void FindBitFieldKeys(const Call& call) {
  constexpr int kReads = REDISMODULE_CMD_KEY_RO | REDISMODULE_CMD_KEY_ACCESS;
  constexpr int kWrites = REDISMODULE_CMD_KEY_RW | REDISMODULE_CMD_KEY_UPDATE | REDISMODULE_CMD_KEY_ACCESS;
  int i = 2;
  while (i < call.size()) {
    const int left = call.size() - i - 1;
    if (call.Is(i, "get") && left >= 2) {
      i += 3;
    } else if (call.Is(i, "overflow") && left >= 1) {
      i += 2;
    } else {
      break;
    }
  }
  RedisModule_KeyAtPosWithFlags(call.ctx(), 1, i < call.size() ? kWrites : kReads);
}

}  // namespace faha::module::bits
