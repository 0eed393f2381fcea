#include "tools/text.h"

#include <fmt/format.h>

#include <charconv>

#include "base/bytes.h"
#include "base/check.h"
#include "base/member_codec.h"

namespace faha {
namespace {

bool Plain(char c) { return c >= 0x20 && c < 0x7f && c != '\\' && c != '"'; }

}  // namespace

std::string MembersText(std::string_view value) {
  Configuration configuration;
  if (!ReadConfiguration(ByteReader(std::as_bytes(std::span(value))), configuration))
    return "members that cannot be read";
  std::string text;
  for (const Member& member : configuration.members) {
    fmt::format_to(std::back_inserter(text), "{}{} at {}", text.empty() ? "" : ", ", member.id.ToString(),
                   member.Redis().ToString());
  }
  if (configuration.level > kLowestLevel) fmt::format_to(std::back_inserter(text), ", level {}", configuration.level);
  for (const Fork& fork : configuration.forks)
    fmt::format_to(std::back_inserter(text), ", forced at LSN {} of epoch {}", fork.end.lsn.value,
                   fork.end.epoch.value);
  for (const Member& member : configuration.left_out)
    fmt::format_to(std::back_inserter(text), ", left out {}", member.Redis().ToString());
  return text;
}

std::string Escape(std::string_view bytes) {
  std::string text;
  for (const char c : bytes) {
    if (Plain(c)) {
      text.push_back(c);
    } else if (c == '\\' || c == '"') {
      text.append({'\\', c});
    } else {
      fmt::format_to(std::back_inserter(text), "\\x{:02x}", static_cast<unsigned char>(c));
    }
  }
  return text;
}

std::optional<std::string> Unescape(std::string_view text) {
  std::string bytes;
  while (!text.empty()) {
    if (text.front() != '\\') {
      bytes.push_back(text.front());
      text.remove_prefix(1);
    } else if (text.size() >= 2 && (text[1] == '\\' || text[1] == '"')) {
      bytes.push_back(text[1]);
      text.remove_prefix(2);
    } else {
      unsigned value = 0;
      if (text.size() < 4 || text[1] != 'x') return std::nullopt;
      const auto parsed = std::from_chars(text.data() + 2, text.data() + 4, value, 16);
      if (parsed.ptr != text.data() + 4) return std::nullopt;
      bytes.push_back(static_cast<char>(value));
      text.remove_prefix(4);
    }
  }
  return bytes;
}

std::string JsonString(std::string_view bytes) {
  std::string text = "\"";
  for (const char c : bytes) {
    if (Plain(c)) {
      text.push_back(c);
    } else {
      fmt::format_to(std::back_inserter(text), "\\u{:04x}", static_cast<unsigned char>(c));
    }
  }
  text.push_back('"');
  return text;
}

}  // namespace faha
