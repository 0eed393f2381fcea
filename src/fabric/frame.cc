// Reading frames, and saying what is wrong with them.  Thread: main loop only.
#include "fabric/frame.h"

#include <fmt/format.h>

#include "base/check.h"

namespace faha {

FrameState ParseFrameHead(std::span<const std::byte> from, FrameHeader& header, std::span<const std::byte>& head) {
  if (from.size() < sizeof header) return FrameState::kIncomplete;
  std::memcpy(&header, from.data(), sizeof header);
  if (header.magic != kFrameMagic) return FrameState::kBadMagic;
  if (header.version != kWireVersion) return FrameState::kBadVersion;
  if (header.head_bytes > kMaxFrameHeadBytes) return FrameState::kHeadTooLong;
  if (from.size() - sizeof header < header.head_bytes) return FrameState::kIncomplete;
  head = from.subspan(sizeof header, header.head_bytes);
  return FrameChecksum(header, head) == header.checksum ? FrameState::kFrame : FrameState::kBadChecksum;
}

Status DescribeFault(FrameState fault, std::string_view who, std::uint16_t version, std::uint32_t max_body) {
  switch (fault) {
    case FrameState::kBadMagic:
      return {Code::kProtocol, fmt::format("{} does not speak FaHA's protocol: check the address", who)};
    case FrameState::kBadVersion:
      return {Code::kPeerVersion,
              fmt::format("peer {} speaks FaHA wire version {}, this node speaks {}: run the same release on both", who,
                          version, kWireVersion)};
    case FrameState::kHeadTooLong:
      return {Code::kProtocol, fmt::format("{} sent a head of more than {} bytes", who, kMaxFrameHeadBytes)};
    case FrameState::kBodyTooLong:
      return {Code::kProtocol, fmt::format("{} sent a body of more than the {} bytes it may", who, max_body)};
    case FrameState::kBadChecksum: break;
    case FrameState::kFrame:
    case FrameState::kIncomplete: FAHA_CHECK(false, "a fault is described"); break;
  }
  return {Code::kProtocol, fmt::format("{} sent a damaged frame", who)};
}

}  // namespace faha
