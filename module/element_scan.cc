#include "module/element_scan.h"

#include <cctype>
#include <cerrno>
#include <cstdlib>

#include "module/glob.h"

namespace faha::module {

std::optional<std::uint64_t> ParseCursor(std::string_view text) {
  const std::string owned(text);
  char* end = nullptr;
  errno = 0;
  const std::uint64_t cursor = std::strtoull(owned.c_str(), &end, 10);
  const bool spaced = !owned.empty() && std::isspace(static_cast<unsigned char>(owned.front())) != 0;
  if (spaced || *end != '\0' || errno == ERANGE) return std::nullopt;
  return cursor;
}

std::optional<Reply> ElementScan::ParseOptions(const Call& call, int first, std::optional<std::string_view>* type) {
  for (int i = first; i < call.size(); i += 2) {
    if (i + 1 == call.size()) return Call::SyntaxError();
    if (call.Is(i, "count")) {
      const auto number = ParseInteger(call.arg(i + 1));
      if (!number) return Call::NotAnInteger();
      if (*number < 1) return Call::SyntaxError();
      count = static_cast<std::uint64_t>(*number);
    } else if (call.Is(i, "match")) {
      pattern = call.arg(i + 1);
    } else if (type != nullptr && call.Is(i, "type")) {
      *type = call.arg(i + 1);
    } else {
      return Call::SyntaxError();
    }
  }
  return std::nullopt;
}

bool ElementScan::Takes(std::string_view element) const { return pattern == "*" || GlobMatches(pattern, element); }

}  // namespace faha::module
