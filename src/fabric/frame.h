// A frame on a link: a fixed header, the head, the body.  Thread: main loop only.
// Invariants: (1) the layout of the header never changes, whatever the wire version, so a node can always tell that
//                 a peer speaks another version.
//             (2) the header and the head are covered by the header's checksum; the body carries its own.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "base/checksum.h"
#include "base/limits.h"
#include "faha/status.h"
#include "faha/types.h"

namespace faha {

inline constexpr std::uint32_t kFrameMagic = 0x41486146;  // "FaHA"
inline constexpr std::uint16_t kWireVersion = 7;

// Little-endian on the wire.
struct FrameHeader {
  std::uint32_t magic = kFrameMagic;
  std::uint16_t version = kWireVersion;
  std::uint16_t head_bytes = 0;
  std::uint32_t body_bytes = 0;
  std::uint32_t checksum = 0;  // the low half of XXH3 over the fields before it and the head
};
static_assert(std::endian::native == std::endian::little, "the header is copied to the wire as it is");
static_assert(sizeof(FrameHeader) == 16 && offsetof(FrameHeader, version) == 4 &&
              offsetof(FrameHeader, head_bytes) == 6 && offsetof(FrameHeader, body_bytes) == 8 &&
              offsetof(FrameHeader, checksum) == 12);
static_assert(kMaxFrameHeadBytes <= UINT16_MAX);

// The hash of the fields is the seed of the head's hash.  So each is read only once, and nothing is copied to bring
// them together.
inline std::uint32_t FrameChecksum(const FrameHeader& header, std::span<const std::byte> head) {
  const auto fields = std::as_bytes(std::span(&header, 1)).first(offsetof(FrameHeader, checksum));
  return static_cast<std::uint32_t>(Checksum(head, Checksum(fields)));
}

// `head` must not be larger than kMaxFrameHeadBytes.
inline FrameHeader MakeFrameHeader(std::span<const std::byte> head, std::uint32_t body_bytes) {
  FrameHeader header;
  header.head_bytes = static_cast<std::uint16_t>(head.size());
  header.body_bytes = body_bytes;
  header.checksum = FrameChecksum(header, head);
  return header;
}

// The result of reading the bytes of a peer.
enum class FrameState {
  kFrame,        // whole and right
  kIncomplete,   // more bytes are needed
  kBadMagic,     // the peer speaks something else
  kBadVersion,   // the peer speaks another version; the connection cannot be used
  kHeadTooLong,  // over kMaxFrameHeadBytes
  kBodyTooLong,  // over what is allowed
  kBadChecksum,  // the bytes were damaged, or the peer computes the checksum differently
};

// Reads and checks the header and the head that `from` starts with; the caller handles the body.
// With kIncomplete, `header` is set if all of it is there.  Never returns kBodyTooLong.
FrameState ParseFrameHead(std::span<const std::byte> from, FrameHeader& header, std::span<const std::byte>& head);

// The error that describes a faulty frame from `who`.
Status DescribeFault(FrameState fault, std::string_view who, std::uint16_t version, std::uint32_t max_body);

}  // namespace faha
