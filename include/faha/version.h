// Which release this is.  CMakeLists.txt has the number, and nothing else.
#pragma once

#include <string_view>

namespace faha {

// "1.2.3"
std::string_view Version();
// The same as Redis' MODULE LIST shows it: 10203.
int VersionNumber();

}  // namespace faha
