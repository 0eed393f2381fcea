#include "module/glob.h"

#include <algorithm>
#include <cstddef>

namespace faha::module {
namespace {

// Does the set that begins at `at`, just behind its bracket, contain `byte`?  Moves `at` behind the set.  A set that is
// not closed ends with the pattern.
// Bytes over 127 count as negative in a range, as they do on Redis' usual machines.
bool SetHolds(std::string_view pattern, std::size_t& at, signed char byte) {
  const auto in_pattern = [&](std::size_t i) { return static_cast<signed char>(pattern[i]); };
  const bool negated = at < pattern.size() && pattern[at] == '^';
  if (negated) ++at;
  bool holds = false;
  while (at < pattern.size() && pattern[at] != ']') {
    const std::size_t left = pattern.size() - at;
    if (pattern[at] == '\\' && left >= 2) {
      holds = holds || in_pattern(at + 1) == byte;
      at += 2;
    } else if (left >= 3 && pattern[at + 1] == '-') {
      const auto [low, high] = std::minmax({in_pattern(at), in_pattern(at + 2)});
      holds = holds || (low <= byte && byte <= high);
      at += 3;
    } else {
      holds = holds || in_pattern(at) == byte;
      ++at;
    }
  }
  if (at < pattern.size()) ++at;
  return holds != negated;
}

// Does the pattern's element at `at`, which is not a star, match `byte`?  Moves `at` behind the element.
bool OneMatches(std::string_view pattern, std::size_t& at, char byte) {
  if (at == pattern.size()) return false;
  switch (const char first = pattern[at++]; first) {
    case '?': return true;
    case '[': return SetHolds(pattern, at, static_cast<signed char>(byte));
    case '\\':
      if (at < pattern.size()) return pattern[at++] == byte;
      [[fallthrough]];
    default: return first == byte;
  }
}

}  // namespace

bool GlobMatches(std::string_view pattern, std::string_view text) {
  if (text.empty()) return pattern.empty();  // even a star does not match an empty text
  std::size_t at = 0, here = 0;
  // The place behind the last star in the pattern, and the start of the text that this star has not taken.  Only the
  // last star need ever take more.
  std::size_t behind_star = std::string_view::npos, kept = 0;
  while (here < text.size()) {
    if (at < pattern.size() && pattern[at] == '*') {
      behind_star = ++at;
      kept = here;
    } else if (OneMatches(pattern, at, text[here])) {
      ++here;
    } else if (behind_star != std::string_view::npos) {
      at = behind_star;
      here = ++kept;
    } else {
      return false;
    }
  }
  while (at < pattern.size() && pattern[at] == '*') ++at;
  return at == pattern.size();
}

}  // namespace faha::module
