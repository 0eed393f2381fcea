// Patterns, as KEYS and SCAN take them.  Thread: any; a pure function.
#pragma once

#include <string_view>

namespace faha::module {

// Does all of `text` match?  *: any run of bytes; ?: any byte; [abc], [a-z], [^a]: one byte of a set; \: the next byte
// literally.  Odd patterns mean the same as in Redis.  Takes |pattern| * |text| steps at most.
bool GlobMatches(std::string_view pattern, std::string_view text);

}  // namespace faha::module
