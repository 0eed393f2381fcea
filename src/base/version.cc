#include "faha/version.h"

namespace faha {

std::string_view Version() { return FAHA_VERSION; }

int VersionNumber() {
  int number = 0, part = 0;
  for (const char c : Version()) {
    if (c == '.') {
      number = (number + part) * 100;
      part = 0;
    } else {
      part = part * 10 + (c - '0');
    }
  }
  return number + part;
}

}  // namespace faha
