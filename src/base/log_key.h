// The secret of a cluster's log, with which the checksums of its batches are made.  Thread: any.
// Invariant: a key that is all zero gives the magic and the checksums of pool format version 2, whose batches are not
// protected.
#pragma once

#include <compare>
#include <cstdint>
#include <cstring>

#include "base/uuid.h"

namespace faha {

// 128 random bits that all pools of a cluster hold.  Clients never see them, nor anything that is computed from them.
struct LogKey {
  std::uint64_t seed = 0;  // of the hash
  std::uint64_t mix = 0;   // combined with the hash's result by XOR
  auto operator<=>(const LogKey&) const = default;
  [[nodiscard]] bool IsNone() const { return *this == LogKey{}; }

  static LogKey New() {
    const Uuid random = NewUuid();
    LogKey key;
    static_assert(sizeof key == sizeof random.bytes);
    std::memcpy(&key, random.bytes.data(), sizeof key);
    return key;
  }
};

}  // namespace faha
