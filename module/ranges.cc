// Parts of strings: GETRANGE, SUBSTR, SETRANGE.  Semantics, replies and errors are those of Redis 7.0.
#include <algorithm>

#include "module/commands.h"

namespace faha::module::strings {

Reply GetRange(Call& call) {
  const auto first = ParseInteger(call.arg(2));
  const auto last = ParseInteger(call.arg(3));
  if (!first || !last) return Call::NotAnInteger();
  const auto entry = call.Read(1);
  const auto size = entry ? static_cast<std::int64_t>(entry->value.size()) : 0;
  if (size == 0 || (*first < 0 && *last < 0 && *first > *last)) return Reply::Bulk({});
  const std::int64_t from = std::max<std::int64_t>(*first < 0 ? *first + size : *first, 0);
  const std::int64_t to = std::clamp<std::int64_t>(*last < 0 ? *last + size : *last, 0, size - 1);
  if (from > to) return Reply::Bulk({});
  return Reply::Bulk(entry->value.substr(static_cast<std::size_t>(from), static_cast<std::size_t>(to - from + 1)));
}

Reply SetRange(Call& call) {
  const auto offset = ParseInteger(call.arg(2));
  if (!offset) return Call::NotAnInteger();
  if (*offset < 0) return Reply::Error("ERR offset is out of range");
  const auto entry = call.Find(1);
  const std::string_view part = call.arg(3);
  const std::uint64_t size = entry ? entry->value.size() : 0;
  if (part.empty()) return Reply::Integer(static_cast<std::int64_t>(size));
  const std::uint64_t end = static_cast<std::uint64_t>(*offset) + part.size();
  if (auto error = call.TooLong(end)) return *error;
  const TimeMs expire_at = entry ? entry->expire_at : kNoExpiry;
  std::string value = entry ? std::string(entry->value) : std::string();  // a copy: making room may move what was found
  if (Status status = call.MayWrite(1, std::max(size, end)); !status.ok()) return Reply::Error(status);
  value.resize(std::max(size, end));
  part.copy(value.data() + *offset, part.size());
  const Status status = call.Put(1, {value, expire_at}, REDISMODULE_NOTIFY_STRING, "setrange");
  return After(status, Reply::Integer(static_cast<std::int64_t>(value.size())));
}

}  // namespace faha::module::strings
