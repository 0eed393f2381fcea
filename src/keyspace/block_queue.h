// A queue of blocks in DRAM, first in, first out, which is stored in chunks like a log.  Thread: main loop only.
// Adding a block only advances a position in the newest chunk; a chunk is given back when its last block has left.  A
// block that is not needed any more stays where it is, marked dead, until it is the oldest.
// Invariant: the blocks of a chunk lie side by side from its start, in the order in which they were added.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory_resource>
#include <utility>

#include "keyspace/place.h"

namespace faha {

// The memory from which chunks are taken: it is bounded, and shared by the queues.
class ChunkSource {
 public:
  // The size of a chunk: 1 / kChunksPerLimit of the limit, rounded down to a power of two, within these bounds.
  static constexpr std::uint64_t kChunksPerLimit = 512;
  static constexpr std::uint64_t kMinChunkBytes = 4U << 10, kMaxChunkBytes = 64U << 10;
  static constexpr std::uint64_t ChunkBytesFor(std::uint64_t limit) {
    return std::clamp(std::bit_floor(limit / kChunksPerLimit), kMinChunkBytes, kMaxChunkBytes);
  }

  explicit ChunkSource(std::pmr::memory_resource* memory) : memory_(memory) {}
  ~ChunkSource() { Trim(); }
  ChunkSource(const ChunkSource&) = delete;
  ChunkSource& operator=(const ChunkSource&) = delete;

  // Chunks that were taken stay taken, also if they exceed the new limit.
  void SetLimit(std::uint64_t bytes) {
    Trim();
    limit_ = bytes;
    chunk_bytes_ = ChunkBytesFor(bytes);
  }
  [[nodiscard]] std::uint64_t chunk_bytes() const { return chunk_bytes_; }
  // A chunk of `bytes`; null if more than the limit would then be taken.
  std::byte* Take(std::uint64_t bytes);
  void Give(std::byte* chunk, std::uint64_t bytes);
  // Frees the chunk that is kept for the next Take(), if there is one.
  void Trim();
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }  // taken or kept
  // Is more taken than a lowered limit allows?
  [[nodiscard]] bool over() const { return bytes_ > limit_; }

 private:
  std::pmr::memory_resource* memory_;
  std::uint64_t limit_ = 0, bytes_ = 0, chunk_bytes_ = kMinChunkBytes;
  std::byte* kept_ = nullptr;  // one of chunk_bytes_
};

class BlockQueue {
 public:
  explicit BlockQueue(ChunkSource* chunks) : chunks_(chunks) {}
  ~BlockQueue() { Clear(); }
  BlockQueue(const BlockQueue&) = delete;
  BlockQueue& operator=(const BlockQueue&) = delete;

  // A new block of `bytes` (a multiple of HotBlock::kUnit, at most kMaxBytes), dead until it is filled.  Null: no
  // memory.
  HotBlock* Add(std::uint64_t bytes, DbId db, std::uint64_t hash);
  // The oldest block that is not dead; null: there is none.
  [[nodiscard]] HotBlock* Oldest();
  // Removes the oldest block that is not dead.
  void DropOldest();
  void Clear();
  // `other` must have the same ChunkSource.
  void Swap(BlockQueue& other) {
    queue_.swap(other.queue_);
    std::swap(bytes_, other.bytes_);
  }
  // The bytes of all blocks that were added and have not left, dead blocks and the unused ends of full chunks included.
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
  // Calls fn(const HotBlock&) for every block that is not dead, the oldest first.
  template <typename Function>
  void ForEach(Function fn) const;

 private:
  struct Chunk {
    std::byte* memory = nullptr;
    std::uint64_t size = 0;
    std::uint64_t begin = 0, end = 0;  // of its blocks; in a full chunk `end` is `size`
  };
  static const HotBlock& At(const Chunk& chunk, std::uint64_t offset) {
    return *reinterpret_cast<const HotBlock*>(chunk.memory + offset);
  }
  bool OpenChunk(std::uint64_t bytes);
  void FillUp();
  void Leave(std::uint64_t bytes);

  ChunkSource* chunks_;
  std::deque<Chunk> queue_;  // the oldest first
  std::uint64_t bytes_ = 0;
};

template <typename Function>
void BlockQueue::ForEach(Function fn) const {
  for (const Chunk& chunk : queue_) {
    for (std::uint64_t at = chunk.begin; at < chunk.end; at += At(chunk, at).bytes()) {
      if (!At(chunk, at).at().IsNone()) fn(At(chunk, at));
    }
  }
}

}  // namespace faha
