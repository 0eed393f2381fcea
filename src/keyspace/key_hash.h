// The hash of a key.  Whoever chooses keys must not be able to choose them so that their hashes agree: that would make
// one chain of the index of them all.  So the hash depends on a seed that clients do not know.
// It is XXH3 over a secret that is made of the seed, and not XXH3's own secret with the seed added to it: the latter
// leaves known differences between the parts of the secret, and for a short key that is all there is.
// Thread: any; values.
// Invariant: the hash of a key under a seed never changes: checkpoints hold what it led to.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "faha/types.h"

namespace faha {

class KeyHash {
 public:
  using Function = std::uint64_t (*)(DbId db, std::string_view key);

  // `instead`: for tests, another function.
  explicit KeyHash(std::uint64_t seed, Function instead = nullptr);
  // From the kernel's random numbers.
  static std::uint64_t RandomSeed();

  [[nodiscard]] std::uint64_t seed() const { return seed_; }
  [[nodiscard]] std::uint64_t operator()(DbId db, std::string_view key) const {
    return instead_ == nullptr ? Keyed(db, key) : instead_(db, key);
  }

 private:
  [[nodiscard]] std::uint64_t Keyed(DbId db, std::string_view key) const;

  std::uint64_t seed_;
  Function instead_;
  std::array<std::uint64_t, 24> secret_;
};

}  // namespace faha
