#include "keyspace/block_queue.h"

#include <utility>

#include "base/check.h"

namespace faha {

std::byte* ChunkSource::Take(std::uint64_t bytes) {
  if (bytes == chunk_bytes_ && kept_ != nullptr) return std::exchange(kept_, nullptr);
  if (bytes_ + bytes > limit_) Trim();
  if (bytes_ + bytes > limit_) return nullptr;
  bytes_ += bytes;
  return static_cast<std::byte*>(memory_->allocate(bytes, HotBlock::kUnit));
}

void ChunkSource::Give(std::byte* chunk, std::uint64_t bytes) {
  if (bytes == chunk_bytes_ && kept_ == nullptr && bytes_ <= limit_) {
    kept_ = chunk;
    return;
  }
  memory_->deallocate(chunk, bytes, HotBlock::kUnit);
  bytes_ -= bytes;
}

void ChunkSource::Trim() {
  if (kept_ == nullptr) return;
  memory_->deallocate(std::exchange(kept_, nullptr), chunk_bytes_, HotBlock::kUnit);
  bytes_ -= chunk_bytes_;
}

HotBlock* BlockQueue::Add(std::uint64_t bytes, DbId db, std::uint64_t hash) {
  FAHA_CHECK(bytes % HotBlock::kUnit == 0 && bytes <= HotBlock::kMaxBytes, "a block's size fits its head");
  // A large block has a chunk to itself, which is put before the open chunk, so that the open chunk can go on.  The
  // block then leaves the queue a little earlier than its turn.
  const bool large = bytes > chunks_->chunk_bytes() / 4;
  std::byte* memory = nullptr;
  if (large) {
    memory = chunks_->Take(bytes);
    if (memory == nullptr) return nullptr;
    // It is never put before the oldest block: a caller that looks at the oldest block may add another one meanwhile.
    if (queue_.size() == 1) FillUp();
    const bool open = !queue_.empty() && queue_.back().end < queue_.back().size;
    queue_.insert(open ? queue_.end() - 1 : queue_.end(), Chunk{memory, bytes, 0, bytes});
  } else {
    if (!OpenChunk(bytes)) return nullptr;
    Chunk& open = queue_.back();
    memory = open.memory + open.end;
    open.end += bytes;
  }
  bytes_ += bytes;
  auto* block = reinterpret_cast<HotBlock*>(memory);
  block->Kill();
  block->db = db;
  block->hash = hash & HotBlock::kHashMask;
  block->units = static_cast<std::uint16_t>(bytes / HotBlock::kUnit);
  return block;
}

// Makes sure that the last chunk has room for `bytes`.
bool BlockQueue::OpenChunk(std::uint64_t bytes) {
  if (!queue_.empty() && queue_.back().size - queue_.back().end >= bytes) return true;
  const std::uint64_t size = chunks_->chunk_bytes();
  std::byte* memory = chunks_->Take(size);
  if (memory == nullptr) return false;
  if (!queue_.empty()) FillUp();
  queue_.push_back({memory, size, 0, 0});
  return true;
}

// What is left of the last chunk becomes a dead block.
void BlockQueue::FillUp() {
  Chunk& last = queue_.back();
  const std::uint64_t rest = last.size - last.end;
  if (rest == 0) return;
  auto* filler = reinterpret_cast<HotBlock*>(last.memory + last.end);
  filler->Kill();
  filler->db = 0;
  filler->hash = 0;
  filler->units = static_cast<std::uint16_t>(rest / HotBlock::kUnit);
  last.end = last.size;
  bytes_ += rest;
}

HotBlock* BlockQueue::Oldest() {
  while (!queue_.empty()) {
    const Chunk& chunk = queue_.front();
    auto* block = reinterpret_cast<HotBlock*>(chunk.memory + chunk.begin);
    if (!block->at().IsNone()) return block;
    Leave(block->bytes());
  }
  return nullptr;
}

void BlockQueue::DropOldest() {
  const HotBlock* block = Oldest();
  FAHA_CHECK(block != nullptr, "what leaves a queue is in it");
  Leave(block->bytes());
}

// Removes the first `bytes` of the oldest chunk.
void BlockQueue::Leave(std::uint64_t bytes) {
  Chunk& chunk = queue_.front();
  chunk.begin += bytes;
  bytes_ -= bytes;
  if (chunk.begin < chunk.end) return;
  chunks_->Give(chunk.memory, chunk.size);
  queue_.pop_front();
}

void BlockQueue::Clear() {
  for (const Chunk& chunk : queue_) chunks_->Give(chunk.memory, chunk.size);
  queue_.clear();
  bytes_ = 0;
}

}  // namespace faha
