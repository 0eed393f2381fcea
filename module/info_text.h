// The text of INFO, which FaHA corrects where Redis cannot know better.
#pragma once

#include <string>
#include <string_view>

namespace faha::module {

// Where the lines below `title`, a whole line, stand; of size 0 if the text has no such section.
struct InfoPlace {
  std::size_t begin = 0, size = 0;
};
inline InfoPlace InfoSection(std::string_view info, std::string_view title) {
  const std::size_t at = info.find(title);
  if (at == std::string_view::npos) return {};
  const std::size_t begin = at + title.size();
  const std::size_t end = info.find("\r\n\r\n", begin);
  return {begin, (end == std::string_view::npos ? info.size() : end + 2) - begin};
}

// Gives the field `name` that value, if the text has it.
inline void SetInfoField(std::string& info, std::string_view name, const std::string& value) {
  const std::size_t at = info.find("\r\n" + std::string(name) + ":");
  if (at == std::string::npos) return;
  const std::size_t from = at + 2 + name.size() + 1;
  info.replace(from, info.find("\r\n", from) - from, value);
}

}  // namespace faha::module
