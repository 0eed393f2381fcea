// A queue of chunks.  Thread: main loop only.
#include "fabric/outbox.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace faha {

void Outbox::Append(std::span<const std::byte> bytes) {
  bytes_ += bytes.size();
  while (!bytes.empty()) {
    if (chunks_.empty() || chunks_.back().end == chunks_.back().capacity) {
      const std::size_t capacity = std::max(kChunkBytes, bytes.size());
      chunks_.push_back({std::make_unique_for_overwrite<std::byte[]>(capacity), capacity, 0, 0});
    }
    Chunk& last = chunks_.back();
    const std::size_t size = std::min(bytes.size(), last.capacity - last.end);
    std::memcpy(last.data.get() + last.end, bytes.data(), size);
    last.end += size;
    bytes = bytes.subspan(size);
  }
}

std::size_t Outbox::Gather(std::span<iovec, kMaxPieces> pieces) const {
  const std::size_t count = std::min(chunks_.size(), kMaxPieces);
  for (std::size_t i = 0; i < count; ++i) {
    const Chunk& chunk = chunks_[i];
    pieces[i] = {chunk.data.get() + chunk.begin, chunk.end - chunk.begin};
  }
  return count;
}

void Outbox::Consume(std::size_t bytes) {
  FAHA_CHECK(bytes <= bytes_, "what left was queued");
  bytes_ -= bytes;
  while (bytes != 0) {
    Chunk& first = chunks_.front();
    const std::size_t size = std::min(bytes, first.end - first.begin);
    first.begin += size;
    bytes -= size;
    if (first.begin == first.end) chunks_.pop_front();
  }
}

}  // namespace faha
