// Checksums of bytes: XXH3.  Thread: any; pure functions.
// Invariants: (1) Checksum never changes its values: pools and peers hold them.
//             (2) a checksum of pieces equals the checksum of their concatenation.
#pragma once

#define XXH_INLINE_ALL  // hashing a key takes less time than a call into a library
#include <xxhash.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace faha {

inline std::uint64_t Checksum(std::span<const std::byte> bytes, std::uint64_t seed = 0) {
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

// The checksum of bytes that come in pieces.
class ChecksumStream {
 public:
  explicit ChecksumStream(std::uint64_t seed = 0) {
    XXH3_INITSTATE(&state_);
    state_.extSecret = nullptr;  // the reset below reads it
    XXH3_64bits_reset_withSeed(&state_, seed);
  }
  void Add(std::span<const std::byte> bytes) { XXH3_64bits_update(&state_, bytes.data(), bytes.size()); }
  // The checksum of all that was added so far; more may follow.
  [[nodiscard]] std::uint64_t Value() const { return XXH3_64bits_digest(&state_); }

 private:
  XXH3_state_t state_;
};

inline std::uint64_t Checksum(std::span<const std::byte> first, std::span<const std::byte> second,
                              std::uint64_t seed = 0) {
  ChecksumStream stream(seed);
  stream.Add(first);
  stream.Add(second);
  return stream.Value();
}

}  // namespace faha
