// An array of cache-line buckets that grows and shrinks without moving a bucket.  Thread: main loop only.
// Its memory comes in pieces.  Their sizes double, from a few buckets up to kPieceBuckets, and all further pieces have
// that size.  So an array of few buckets takes little memory, and growing never has to copy the buckets.
// Invariants: (1) a bucket that the array has just grown by is zero.
//             (2) a bucket keeps its address as long as the array holds it.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <span>
#include <vector>

namespace faha {

// Seven slots, and one word for the owner of the bucket.  Together they are one cache line, so one cache miss loads
// them.
struct alignas(64) Bucket {
  std::array<std::uint64_t, 7> slots;
  std::uint64_t link;
};
static_assert(sizeof(Bucket) == 64 && offsetof(Bucket, link) == 56);

class BucketArray {
 public:
  static constexpr std::size_t kPieceBytes = std::size_t{1} << 18;  // of the largest
  static constexpr std::uint64_t kPieceBuckets = kPieceBytes / sizeof(Bucket);
  static constexpr std::uint64_t kFirstBuckets = 4;  // of the first piece

  explicit BucketArray(std::pmr::memory_resource* memory) : memory_(memory) {}
  ~BucketArray() { Clear(); }
  BucketArray(const BucketArray&) = delete;
  BucketArray& operator=(const BucketArray&) = delete;

  Bucket& operator[](std::uint64_t at) { return *Find(at); }
  const Bucket& operator[](std::uint64_t at) const { return *Find(at); }

  [[nodiscard]] std::uint64_t size() const { return size_; }
  // Running out of memory ends the process, as it does Redis.
  void Resize(std::uint64_t size);
  void Clear();
  // Calls fn(span of Bucket) for each piece of contiguous buckets until fn returns false; returns false then.
  template <typename Function>
  bool ForEachPiece(Function fn) {
    for (std::uint64_t piece = 0; piece < pieces_.size() && FirstOf(piece) < size_; ++piece) {
      if (!fn(std::span(pieces_[piece], std::min(size_ - FirstOf(piece), SizeOf(piece))))) return false;
    }
    return true;
  }
  [[nodiscard]] std::size_t MemoryBytes() const { return bytes_ + pieces_.capacity() * sizeof(void*); }

 private:
  // How many pieces are small: they have 4, 4, 8, 16, ... buckets, together as many as each of the pieces that follow.
  static constexpr std::uint64_t kSmallPieces = std::bit_width(kPieceBuckets / kFirstBuckets);
  static_assert(std::has_single_bit(kFirstBuckets) && std::has_single_bit(kPieceBuckets));

  static constexpr std::uint64_t PieceOf(std::uint64_t at) {
    if (at >= kPieceBuckets) [[likely]]
      return kSmallPieces - 1 + at / kPieceBuckets;
    return static_cast<std::uint64_t>(std::bit_width(at / kFirstBuckets));
  }
  static constexpr std::uint64_t FirstOf(std::uint64_t piece) {
    if (piece == 0) return 0;
    return piece < kSmallPieces ? kFirstBuckets << (piece - 1) : (piece - kSmallPieces + 1) * kPieceBuckets;
  }
  static constexpr std::uint64_t SizeOf(std::uint64_t piece) { return FirstOf(piece + 1) - FirstOf(piece); }

  [[nodiscard]] Bucket* Find(std::uint64_t at) const {
    const std::uint64_t piece = PieceOf(at);
    if (at >= kPieceBuckets) [[likely]]
      return pieces_[piece] + at % kPieceBuckets;
    return pieces_[piece] + (at - std::bit_floor(at & ~(kFirstBuckets - 1)));
  }
  void DropLast();

  std::pmr::memory_resource* memory_;
  std::vector<Bucket*> pieces_;
  std::uint64_t size_ = 0;
  std::size_t bytes_ = 0;  // of the pieces
};

}  // namespace faha
