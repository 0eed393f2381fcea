// Memory that the server accounts for: what is taken here shows in used_memory.  Thread: main loop only.
#pragma once

#include <memory_resource>

namespace faha::module {

std::pmr::memory_resource& ServerMemory();

}  // namespace faha::module
