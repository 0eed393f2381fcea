// Memory that the server accounts for: what is allocated here is part of used_memory and counts towards maxmemory.
// Thread: main loop only.
#pragma once

#include <memory_resource>

namespace faha::module {

std::pmr::memory_resource& ServerMemory();

// Obeys Redis' maxmemory: the hot tier shrinks before commands are refused for lack of memory, and grows again later.
// Call it at every tick.
void TendMemory();

}  // namespace faha::module
