// Memory that the server accounts for: what is taken here shows in used_memory, and counts for maxmemory.  Thread: main
// loop only.
#pragma once

#include <memory_resource>

namespace faha::module {

std::pmr::memory_resource& ServerMemory();

// Redis' maxmemory: the hot tier gives way before commands are refused for it, and takes its room again later.  Call at
// every tick.
void TendMemory();

}  // namespace faha::module
