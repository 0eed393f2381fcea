// The hash of a key.  A client that chooses keys must not be able to choose them so that their hashes agree: then all
// of them would be in one chain of the index.  So the hash depends on a seed that clients do not know.
// The hash is XXH3 with a secret that is made from the seed.  It is not XXH3's own secret with the seed added to it:
// that leaves known differences between the parts of the secret, and the hash of a short key depends on nothing else.
// Thread: any; values.
// Invariant: the hash of a key under a seed never changes, because checkpoints hold indexes that were built with it.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "faha/types.h"

namespace faha {

class KeyHash {
 public:
  using Function = std::uint64_t (*)(DbId db, std::string_view key);

  // `instead`: for tests, a function to use in the place of the hash.
  explicit KeyHash(std::uint64_t seed, Function instead = nullptr);
  // A new seed from the kernel's random numbers.
  static std::uint64_t RandomSeed();

  [[nodiscard]] std::uint64_t seed() const { return seed_; }
  // The same without the first bytes of each key, which must have so many.
  [[nodiscard]] KeyHash Without(std::size_t first_bytes) const {
    KeyHash hash = *this;
    hash.left_out_ = first_bytes;
    return hash;
  }
  [[nodiscard]] std::uint64_t operator()(DbId db, std::string_view key) const {
    key.remove_prefix(left_out_);
    return instead_ == nullptr ? Keyed(db, key) : instead_(db, key);
  }

 private:
  [[nodiscard]] std::uint64_t Keyed(DbId db, std::string_view key) const;

  std::uint64_t seed_;
  Function instead_;
  std::size_t left_out_ = 0;
  std::array<std::uint64_t, 24> secret_;
};

}  // namespace faha
