// An array of cache-line buckets that grows and shrinks without moving one.  Thread: main loop only.
// Invariants: (1) a bucket that the array has just grown by is zero.
//             (2) a bucket keeps its address as long as the array holds it.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <span>
#include <vector>

namespace faha {

// Seven slots and one word for whoever owns the bucket: what one cache miss brings.
struct alignas(64) Bucket {
  std::array<std::uint64_t, 7> slots;
  std::uint64_t link;
};
static_assert(sizeof(Bucket) == 64 && offsetof(Bucket, link) == 56);

class BucketArray {
 public:
  static constexpr std::size_t kChunkBytes = std::size_t{1} << 18;
  static constexpr std::uint64_t kChunkBuckets = kChunkBytes / sizeof(Bucket);

  explicit BucketArray(std::pmr::memory_resource* memory) : memory_(memory) {}
  ~BucketArray() { Clear(); }
  BucketArray(const BucketArray&) = delete;
  BucketArray& operator=(const BucketArray&) = delete;

  Bucket& operator[](std::uint64_t at) { return chunks_[at / kChunkBuckets][at % kChunkBuckets]; }
  const Bucket& operator[](std::uint64_t at) const { return chunks_[at / kChunkBuckets][at % kChunkBuckets]; }

  [[nodiscard]] std::uint64_t size() const { return size_; }
  // Running out of memory ends the process, as it does Redis.
  void Resize(std::uint64_t size);
  void Clear();
  // The buckets in pieces that lie together: calls fn(span of Bucket) until it returns false; false then.
  template <typename Function>
  bool ForEachPiece(Function fn) {
    for (std::uint64_t at = 0; at < size_; at += kChunkBuckets) {
      if (!fn(std::span(chunks_[at / kChunkBuckets], std::min(size_ - at, kChunkBuckets)))) return false;
    }
    return true;
  }
  [[nodiscard]] std::size_t MemoryBytes() const {
    return chunks_.size() * kChunkBytes + chunks_.capacity() * sizeof(Bucket*);
  }

 private:
  std::pmr::memory_resource* memory_;
  std::vector<Bucket*> chunks_;
  std::uint64_t size_ = 0;
};

}  // namespace faha
