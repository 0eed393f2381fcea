// Chunks straight from the kernel: zero, aligned, and given back for good.  Thread: main loop only.
#include "keyspace/bucket_array.h"

#include <sys/mman.h>

#include "base/check.h"

namespace faha {

void BucketArray::Resize(std::uint64_t size) {
  const std::uint64_t needed = (size + kChunkBuckets - 1) / kChunkBuckets;
  while (chunks_.size() < needed) {
    void* chunk = ::mmap(nullptr, kChunkBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    FAHA_CHECK(chunk != MAP_FAILED, "out of memory for the index");
    chunks_.push_back(static_cast<Bucket*>(chunk));
  }
  // One chunk is kept, so that a size that goes up and down across a border costs nothing.
  while (chunks_.size() > needed + 1) {
    ::munmap(chunks_.back(), kChunkBytes);
    chunks_.pop_back();
  }
  size_ = size;
}

void BucketArray::Clear() {
  for (Bucket* chunk : chunks_) ::munmap(chunk, kChunkBytes);
  chunks_ = {};
  size_ = 0;
}

}  // namespace faha
