// Patterns, as KEYS and SCAN take them.  Thread: any; a pure function.
#pragma once

#include <string_view>

namespace faha::module {

// Does all of `text` match?  *: any run of bytes; ?: any byte; [abc], [a-z], [^a]: one of a set; \: the next byte as it
// is.  What Redis makes of odd patterns, this does.  Takes |pattern| * |text| steps at most.
bool GlobMatches(std::string_view pattern, std::string_view text);

}  // namespace faha::module
