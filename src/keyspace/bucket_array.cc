// Pieces come from a memory_resource, which accounts for the memory.  Thread: main loop only.
#include "keyspace/bucket_array.h"

namespace faha {

void BucketArray::Resize(std::uint64_t size) {
  static_assert(FirstOf(kSmallPieces) == kPieceBuckets && PieceOf(kPieceBuckets) == kSmallPieces &&
                PieceOf(kPieceBuckets - 1) == kSmallPieces - 1 && PieceOf(kFirstBuckets - 1) == 0);
  const std::uint64_t needed = size == 0 ? 0 : PieceOf(size - 1) + 1;
  while (pieces_.size() < needed) {
    const std::size_t bytes = SizeOf(pieces_.size()) * sizeof(Bucket);
    pieces_.push_back(static_cast<Bucket*>(memory_->allocate(bytes, alignof(Bucket))));
    bytes_ += bytes;
  }
  // Buckets are zeroed when they come into use: zeroing a whole piece at once would make one operation wait.
  for (std::uint64_t at = size_; at < size; ++at) (*this)[at] = Bucket{};
  // One unused piece is kept, so that a size that goes up and down across a piece's border costs nothing.
  while (pieces_.size() > needed + 1) DropLast();
  size_ = size;
}

void BucketArray::DropLast() {
  const std::size_t bytes = SizeOf(pieces_.size() - 1) * sizeof(Bucket);
  memory_->deallocate(pieces_.back(), bytes, alignof(Bucket));
  pieces_.pop_back();
  bytes_ -= bytes;
}

void BucketArray::Clear() {
  while (!pieces_.empty()) DropLast();
  pieces_ = {};
  size_ = 0;
}

}  // namespace faha
