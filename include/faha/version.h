// Which release this is.  The number is defined in CMakeLists.txt, and nowhere else.
#pragma once

#include <string_view>

namespace faha {

// "1.2.3"
std::string_view Version();
// The same as Redis' MODULE LIST shows it: 10203.
int VersionNumber();

}  // namespace faha
