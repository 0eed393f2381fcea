// Which slots of a bucket have a given fingerprint.  Where the processor can, all seven are compared at once.  Thread:
// any; pure functions.
#pragma once

#include <bit>
#include <cstdint>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "keyspace/bucket_array.h"

namespace faha {

// Bit 4 * i + 3 of the result is set if the highest 16 bits of slot i are `fingerprint`; the slot may be an empty one.
inline std::uint32_t MatchesIn(const Bucket& bucket, std::uint64_t fingerprint) {
  constexpr std::uint32_t kHighest = 0x0888'8888;
#if defined(__SSE2__)
  // Words of 16 bits are compared.  A slot has four of them, of which only the highest counts; the bits of
  // Bucket::link, which is not a slot, are masked out.
  const __m128i wanted = _mm_set1_epi16(static_cast<short>(fingerprint));
  const auto* at = reinterpret_cast<const __m128i*>(&bucket);
  const auto half = [&](int i) {
    return _mm_packs_epi16(_mm_cmpeq_epi16(_mm_load_si128(at + i), wanted),
                           _mm_cmpeq_epi16(_mm_load_si128(at + i + 1), wanted));
  };
  const auto low = static_cast<std::uint32_t>(_mm_movemask_epi8(half(0)));
  const auto high = static_cast<std::uint32_t>(_mm_movemask_epi8(half(2)));
  return (low | high << 16) & kHighest;
#else
  std::uint32_t matches = 0;
  for (std::size_t i = 0; i < bucket.slots.size(); ++i) {
    if (bucket.slots[i] >> 48 == fingerprint) matches |= std::uint32_t{8} << 4 * i;
  }
  return matches & kHighest;
#endif
}

// Calls fn(slot) for each slot in use that has `fingerprint`, until fn returns true.  Returns that slot; null: for none
// it did.
template <typename Function>
const std::uint64_t* FindMatch(const Bucket& bucket, std::uint64_t fingerprint, Function fn) {
  for (std::uint32_t matches = MatchesIn(bucket, fingerprint); matches != 0; matches &= matches - 1) {
    const std::uint64_t& slot = bucket.slots[static_cast<std::size_t>(std::countr_zero(matches)) / 4];
    if (slot != 0 && fn(slot)) return &slot;
  }
  return nullptr;
}

}  // namespace faha
