// Bytes that were never written, or were erased.  Thread: any.
#pragma once

#include <cstddef>
#include <cstring>
#include <span>

namespace faha {

// Are all of `bytes` zero?  True if there are none.
inline bool IsZero(std::span<const std::byte> bytes) {
  return bytes.empty() ||
         (bytes.front() == std::byte{0} && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
}

}  // namespace faha
