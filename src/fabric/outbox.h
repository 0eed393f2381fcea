// The bytes of a link that the kernel has not taken yet.  Thread: main loop only.
// Invariants: (1) bytes leave in the order they came; (2) an empty outbox owns no memory.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <deque>
#include <memory>
#include <span>

namespace faha {

class Outbox {
 public:
  static constexpr std::size_t kMaxPieces = 16;

  // Copies `bytes` to the end.
  void Append(std::span<const std::byte> bytes);
  // Sets `pieces` to the first pieces, at most kMaxPieces; returns how many they are.
  std::size_t Gather(std::span<iovec, kMaxPieces> pieces) const;
  // The first `bytes` bytes have left.
  void Consume(std::size_t bytes);
  [[nodiscard]] std::size_t bytes() const { return bytes_; }

 private:
  // Small frames share a chunk; a large frame has its own.  The size is one that allocators still have at hand, because
  // a TLS link takes a chunk for a moment with each frame.
  static constexpr std::size_t kChunkBytes = std::size_t{32} << 10;
  struct Chunk {
    std::unique_ptr<std::byte[]> data;
    std::size_t capacity = 0, begin = 0, end = 0;
  };

  std::deque<Chunk> chunks_;
  std::size_t bytes_ = 0;
};

}  // namespace faha
