// Chunks from whoever accounts for memory.  Thread: main loop only.
#include "keyspace/bucket_array.h"

namespace faha {

void BucketArray::Resize(std::uint64_t size) {
  const std::uint64_t needed = (size + kChunkBuckets - 1) / kChunkBuckets;
  while (chunks_.size() < needed) {
    chunks_.push_back(static_cast<Bucket*>(memory_->allocate(kChunkBytes, alignof(Bucket))));
  }
  // Zeroed as they come into use: a whole chunk at once would make one operation wait.
  for (std::uint64_t at = size_; at < size; ++at) (*this)[at] = Bucket{};
  // One chunk is kept, so that a size that goes up and down across a border costs nothing.
  while (chunks_.size() > needed + 1) {
    memory_->deallocate(chunks_.back(), kChunkBytes, alignof(Bucket));
    chunks_.pop_back();
  }
  size_ = size;
}

void BucketArray::Clear() {
  for (Bucket* chunk : chunks_) memory_->deallocate(chunk, kChunkBytes, alignof(Bucket));
  chunks_ = {};
  size_ = 0;
}

}  // namespace faha
