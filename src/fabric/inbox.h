// The receiving end of a link: bytes of a stream in, whole frames out.  Thread: main loop only.
// Invariants: (1) a frame is handed out where it was received: nothing is copied out of the buffer.
//             (2) the buffer grows only to hold a frame whose header and head were checked.
//             (3) the buffer of a stranger grows only with the bytes that have arrived, to no more than twice as many.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "base/limits.h"
#include "fabric/frame.h"

namespace faha {

class Inbox {
 public:
  // Bytes that an idle link keeps, and the most that one read takes.
  static constexpr std::size_t kKeptBytes = std::size_t{256} << 10;
  static constexpr std::size_t kMaxReadBytes = std::size_t{1} << 20;
  // Bytes that a stranger's buffer starts with.
  static constexpr std::size_t kStrangerBytes = std::size_t{1} << 10;
  static_assert(kKeptBytes >= 2 * (sizeof(FrameHeader) + kMaxFrameHeadBytes), "a head never makes the buffer grow");

  struct Frame {
    std::span<const std::byte> head, body;  // valid until the next Space()
  };

  // The peer has proved nothing yet.  Until Trust(), heads may have up to `max_head` bytes, and the buffer is small.
  void Distrust(std::size_t max_head) { stranger_ = true, max_head_ = max_head; }
  void Trust() { stranger_ = false, max_head_ = kMaxFrameHeadBytes; }

  // Where to receive to: from 1 to kMaxReadBytes bytes.  Moves what is buffered.
  std::span<std::byte> Space();
  // The first `bytes` bytes of Space() were received.
  void Filled(std::size_t bytes) { end_ += bytes; }

  // Takes the next frame, whose body may have up to `max_body` bytes.  After a fault the stream cannot be read any
  // further.
  FrameState Take(std::uint32_t max_body, Frame& frame);

  // The version in the header that Take() looked at last.
  [[nodiscard]] std::uint16_t version() const { return version_; }
  // Bytes received and not taken yet: not 0 at the end of the stream means that it ends within a frame.
  [[nodiscard]] std::size_t pending() const { return end_ - begin_; }
  [[nodiscard]] std::span<const std::byte> waiting() const { return {buffer_.get() + begin_, pending()}; }
  [[nodiscard]] std::size_t capacity() const { return capacity_; }

  // Gives a large buffer back unless a large frame needed it since the last call.
  void Trim();

 private:
  void Reserve(std::size_t capacity);

  std::unique_ptr<std::byte[]> buffer_;
  std::size_t capacity_ = 0;
  std::size_t begin_ = 0, end_ = 0;         // what is received and not taken
  std::size_t need_ = sizeof(FrameHeader);  // bytes from begin_ on that make the next step possible
  bool head_checked_ = false;               // of the frame at begin_
  bool large_needed_ = false;
  bool stranger_ = false;
  std::size_t max_head_ = kMaxFrameHeadBytes;
  std::uint16_t version_ = 0;
};

}  // namespace faha
