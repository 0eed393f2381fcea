// The parts of the hot tier: its ghost, its queues.  The tier as a whole is tested with the engine.
#include "keyspace/hot_tier.h"

#include <gtest/gtest.h>

#include <cstring>
#include <deque>
#include <memory_resource>
#include <random>
#include <utility>
#include <vector>

#include "base/checksum.h"
#include "tests/fakes/counting_memory.h"

namespace faha {
namespace {

std::uint64_t HashOf(std::uint64_t i) { return Checksum(std::as_bytes(std::span(&i, 1))); }

TEST(Ghost, RemembersAWindowOfBytesAndNoMore) {
  constexpr std::uint64_t kWindow = 1 << 20, kBytes = 256, kKeys = 20'000;
  Ghost ghost(std::pmr::get_default_resource());
  ghost.SetWindow(kWindow);
  for (std::uint64_t i = 0; i < kKeys; ++i) ghost.Add(HashOf(i), kBytes);
  constexpr std::uint64_t kInWindow = kWindow / kBytes;
  std::uint64_t young = 0, old = 0;
  for (std::uint64_t i = 0; i < kKeys; ++i) {
    if (!ghost.Take(HashOf(i))) continue;
    // Its clock ticks 8192 times a window.
    const bool in_window = i + kInWindow + 2 >= kKeys;
    ++(in_window ? young : old);
  }
  // A line may have got more keys than it has entries, and a fingerprint may be another's.
  EXPECT_GE(young, kInWindow * 98 / 100);
  EXPECT_LE(old, kKeys / 1000);
}

TEST(Ghost, WhatIsTakenIsForgotten) {
  Ghost ghost(std::pmr::get_default_resource());
  ghost.SetWindow(1 << 15);
  ghost.Add(HashOf(1), 100);
  EXPECT_FALSE(ghost.Take(HashOf(2)));
  EXPECT_TRUE(ghost.Take(HashOf(1)));
  EXPECT_FALSE(ghost.Take(HashOf(1)));
  ghost.Add(HashOf(1), 100);
  ghost.SetWindow(1 << 21);
  EXPECT_FALSE(ghost.Take(HashOf(1)));
}

TEST(Ghost, OfNothingRemembersNothing) {
  Ghost ghost(std::pmr::get_default_resource());
  ghost.Add(HashOf(1), 100);
  EXPECT_FALSE(ghost.Take(HashOf(1)));
  ghost.SetWindow(0);
  ghost.Add(HashOf(1), 100);
  EXPECT_FALSE(ghost.Take(HashOf(1)));
}

class BlockQueueModel : public testing::Test {
 protected:
  struct Expected {
    HotBlock* block;
    std::uint64_t number;
  };

  // Small ones, some larger than a chunk, and all between.
  std::uint64_t AnySize() {
    const std::uint64_t largest = random_() % 16 == 0 ? 3 * ChunkSource::kMaxChunkBytes : 500;
    return HotBlock::BytesFor(random_() % largest);
  }
  void Add() {
    const std::uint64_t bytes = AnySize();
    HotBlock* block = queue_.Add(bytes, 0, number_);
    if (block == nullptr) return;
    ASSERT_EQ(block->bytes(), bytes);
    block->SetAt(LogAddress{8 * ++number_});
    std::memset(static_cast<void*>(block + 1), static_cast<int>(number_), bytes - sizeof(HotBlock));
    // One with a chunk to itself may go before those of the open chunk.
    (bytes > chunks_.chunk_bytes() / 4 ? large_ : small_).push_back({block, number_});
  }
  void CheckBlock(const HotBlock& block, std::uint64_t number) {
    ASSERT_EQ(block.at().value, 8 * number);
    for (std::uint64_t i = 0; i < block.bytes() - sizeof(HotBlock); ++i) {
      ASSERT_EQ(block.record()[i], static_cast<std::byte>(number)) << "another block was written over it";
    }
  }
  void DropOldest() {
    HotBlock* oldest = queue_.Oldest();
    ASSERT_EQ(oldest == nullptr, small_.empty() && large_.empty());
    if (oldest == nullptr) return;
    auto& from = !large_.empty() && large_.front().block == oldest ? large_ : small_;
    ASSERT_EQ(from.front().block, oldest) << "not first in, first out";
    CheckBlock(*oldest, from.front().number);
    from.pop_front();
    queue_.DropOldest();
  }
  void Kill() {
    auto& from = random_() % 8 == 0 ? large_ : small_;
    if (from.empty()) return;
    const auto victim = from.begin() + static_cast<std::ptrdiff_t>(random_() % from.size());
    victim->block->Kill();
    from.erase(victim);
  }

  CountingMemory memory_;
  ChunkSource chunks_{&memory_};
  BlockQueue queue_{&chunks_};
  std::deque<Expected> small_, large_;
  std::mt19937_64 random_{7};
  std::uint64_t number_ = 0;
};

TEST_F(BlockQueueModel, IsFirstInFirstOutWithinItsMemory) {
  constexpr std::uint64_t kLimit = 20 * ChunkSource::kMaxChunkBytes;
  chunks_.SetLimit(kLimit);
  for (int round = 0; round < 20; ++round) {
    for (int i = 0; i < 2000; ++i) {
      const std::uint64_t dice = random_() % 10;
      const std::uint64_t adds = round % 2 == 0 ? 6 : 3;
      if (dice < adds) {
        Add();
      } else if (dice < 9) {
        DropOldest();
      } else {
        Kill();
      }
      ASSERT_LE(memory_.bytes(), kLimit);
      if (HasFatalFailure()) return;
    }
  }
  EXPECT_GT(number_, 1000U);
  while (!small_.empty() || !large_.empty()) DropOldest();
  EXPECT_EQ(queue_.Oldest(), nullptr);
  EXPECT_EQ(queue_.bytes(), 0U);
  queue_.Clear();
  chunks_.Trim();
  EXPECT_EQ(memory_.bytes(), 0U);
}

// Who moves the oldest block to the end of its own queue adds first, and drops then.
TEST_F(BlockQueueModel, ALargeBlockIsNeverTheOldestOfMore) {
  chunks_.SetLimit(20 * ChunkSource::kMaxChunkBytes);
  HotBlock* first = queue_.Add(64, 0, 1);
  first->SetAt(LogAddress{8});
  HotBlock* large = queue_.Add(2 * ChunkSource::kMaxChunkBytes, 0, 2);
  large->SetAt(LogAddress{16});
  EXPECT_EQ(queue_.Oldest(), first);
  queue_.DropOldest();
  EXPECT_EQ(queue_.Oldest(), large);
}

}  // namespace
}  // namespace faha
