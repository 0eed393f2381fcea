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
  const std::size_t wanted =
      stranger_ ? std::max(std::min(need_, 2 * pending()), kStrangerBytes) : std::max(need_, kKeptBytes);
  if (capacity_ < wanted) {
    Reserve(wanted);
  } else if (begin_ != 0 && (begin_ + need_ > capacity_ || capacity_ - end_ < kKeptBytes / 2)) {
    // A frame is moved at most once, because it starts at 0 from now on.
    std::memmove(buffer_.get(), buffer_.get() + begin_, pending());
    end_ -= begin_;
    begin_ = 0;
  }
  return {buffer_.get() + end_, std::min(capacity_ - end_, kMaxReadBytes)};
}

FrameState Inbox::Take(std::uint32_t max_body, Frame& frame) {
  const std::span<const std::byte> received(buffer_.get() + begin_, pending());
  if (received.size() < sizeof(FrameHeader)) return FrameState::kIncomplete;
  FrameHeader header;
  std::memcpy(&header, received.data(), sizeof header);
  version_ = header.version;
  const std::size_t ahead = sizeof header + header.head_bytes;
  if (!head_checked_) {
    std::span<const std::byte> head;
    FrameState state = ParseFrameHead(received, header, head);
    const bool read = state != FrameState::kBadMagic && state != FrameState::kBadVersion;
    if (read && header.head_bytes > max_head_) state = FrameState::kHeadTooLong;
    if (state == FrameState::kIncomplete) need_ = ahead;
    if (state != FrameState::kFrame) return state;
    head_checked_ = true;
  }
  if (header.body_bytes > max_body) return FrameState::kBodyTooLong;
  need_ = ahead + header.body_bytes;
  if (received.size() < need_) return FrameState::kIncomplete;
  frame = {received.subspan(sizeof header, header.head_bytes), received.subspan(ahead, header.body_bytes)};
  begin_ += need_;
  need_ = sizeof(FrameHeader);
  head_checked_ = false;
  return FrameState::kFrame;
}

void Inbox::Trim() {
  if (capacity_ > kKeptBytes && !large_needed_ && pending() == 0) {
    buffer_.reset();
    capacity_ = begin_ = end_ = 0;
  }
  large_needed_ = false;
}

}  // namespace faha
