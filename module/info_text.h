// The text of INFO, which FaHA corrects where Redis cannot have the right value.
#pragma once

#include <string>
#include <string_view>

namespace faha::module {

// The place of the lines below `title`, which is a whole line; its size is 0 if the text has no such section.
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

// Sets the field `name` to `value`, if the text has that field.
inline void SetInfoField(std::string& info, std::string_view name, const std::string& value) {
  const std::size_t at = info.find("\r\n" + std::string(name) + ":");
  if (at == std::string::npos) return;
  const std::size_t from = at + 2 + name.size() + 1;
  info.replace(from, info.find("\r\n", from) - from, value);
}

}  // namespace faha::module
