// Parsing frames in place.  Thread: main loop only.
#include "fabric/inbox.h"

#include <algorithm>

namespace faha {

void Inbox::Reserve(std::size_t capacity) {
  auto larger = std::make_unique_for_overwrite<std::byte[]>(capacity);
  if (pending() != 0) std::memcpy(larger.get(), buffer_.get() + begin_, pending());
  buffer_ = std::move(larger);
  capacity_ = capacity;
  end_ -= begin_;
  begin_ = 0;
}

std::span<std::byte> Inbox::Space() {
  if (pending() == 0) begin_ = end_ = 0;
  if (need_ > kKeptBytes) large_needed_ = true;
  const std::size_t wanted = std::max(need_, kKeptBytes);
  if (capacity_ < wanted) {
    Reserve(wanted);
  } else if (begin_ != 0 && (begin_ + need_ > capacity_ || capacity_ - end_ < kKeptBytes / 2)) {
    // Once for a frame at most: it starts at 0 from now on.
    std::memmove(buffer_.get(), buffer_.get() + begin_, pending());
    end_ -= begin_;
    begin_ = 0;
  }
  return {buffer_.get() + end_, std::min(capacity_ - end_, kMaxReadBytes)};
}

Inbox::Next Inbox::Take(std::uint32_t max_body, Frame& frame) {
  if (pending() < sizeof(FrameHeader)) return Next::kIncomplete;
  const std::byte* at = buffer_.get() + begin_;
  FrameHeader header;
  std::memcpy(&header, at, sizeof header);
  version_ = header.version;
  if (header.magic != kFrameMagic) return Next::kBadMagic;
  if (header.version != kWireVersion) return Next::kBadVersion;
  if (header.head_bytes > kMaxFrameHeadBytes) return Next::kHeadTooLong;
  const std::span<const std::byte> head(at + sizeof header, header.head_bytes);
  if (!head_checked_) {
    need_ = sizeof header + head.size();
    if (pending() < need_) return Next::kIncomplete;
    if (FrameChecksum(header, head) != header.checksum) return Next::kBadChecksum;
    head_checked_ = true;
  }
  if (header.body_bytes > max_body) return Next::kBodyTooLong;
  need_ = sizeof header + head.size() + header.body_bytes;
  if (pending() < need_) return Next::kIncomplete;
  frame = {head, {head.data() + head.size(), header.body_bytes}};
  begin_ += need_;
  need_ = sizeof(FrameHeader);
  head_checked_ = false;
  return Next::kFrame;
}

void Inbox::Trim() {
  if (capacity_ > kKeptBytes && !large_needed_ && pending() == 0) {
    buffer_.reset();
    capacity_ = begin_ = end_ = 0;
  }
  large_needed_ = false;
}

}  // namespace faha
