#include "keyspace/key_hash.h"

#include <bit>
#include <cstring>
#include <span>

#include "base/checksum.h"
#include "base/uuid.h"

namespace faha {

KeyHash::KeyHash(std::uint64_t seed, Function instead) : seed_(seed), instead_(instead) {
  static_assert(sizeof secret_ >= XXH3_SECRET_SIZE_MIN && std::endian::native == std::endian::little);
  for (std::uint64_t i = 0; i < secret_.size(); ++i) secret_[i] = Checksum(std::as_bytes(std::span(&i, 1)), seed);
}

std::uint64_t KeyHash::RandomSeed() {
  const Uuid random = NewUuid();
  std::uint64_t seed = 0;
  std::memcpy(&seed, random.bytes.data(), sizeof seed);
  return seed;
}

// Equal keys of two databases have different hashes, because the hot tier's ghost knows a key only by its hash.
std::uint64_t KeyHash::Keyed(DbId db, std::string_view key) const {
  constexpr std::uint64_t kOdd = 0x9E3779B97F4A7C15;
  return XXH3_64bits_withSecret(key.data(), key.size(), secret_.data(), sizeof secret_) ^ db * kOdd;
}

}  // namespace faha
