// Limits that more than one layer knows, with their units.
#pragma once

#include <cstddef>
#include <cstdint>

namespace faha {

// A host name on the wire and in the pool (bytes): the longest a DNS name can be.
inline constexpr std::size_t kMaxHostBytes = 253;

// The head of a frame (bytes): every message of the replication protocol must fit.
inline constexpr std::size_t kMaxFrameHeadBytes = 60000;

// A short string on the wire carries its length in 16 bits.
inline constexpr std::size_t kMaxShortStringBytes = UINT16_MAX;
static_assert(kMaxHostBytes <= kMaxShortStringBytes && kMaxFrameHeadBytes <= UINT16_MAX);

}  // namespace faha
