// Names for nodes and clusters.  Thread: any.
#pragma once

#include <string_view>

#include "faha/types.h"

namespace faha {

// 128 random bits from the kernel; never all zero.  Ends the process if the kernel has none to give.
[[nodiscard]] Uuid NewUuid();

// Reads what Uuid::ToString wrote; upper-case digits are read too.  False, and `id` untouched, when
// `text` is anything but 32 hexadecimal digits.
[[nodiscard]] bool ParseUuid(std::string_view text, Uuid& id);

}  // namespace faha
