// The hot tier as readers and writers see it: through the engine, over a real log.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <new>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "store/engine.h"
#include "tests/fakes/counting_memory.h"
#include "tests/fakes/crash_media.h"

namespace {
std::atomic<std::uint64_t> allocations = 0;  // by any thread of the tests that are linked with these
}  // namespace

// The test's own, to see whether anything is allocated.
[[gnu::noinline]] void* operator new(std::size_t bytes) {
  ++allocations;
  if (void* memory = std::malloc(bytes); memory != nullptr) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  ++allocations;
  return std::malloc(bytes);
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace faha {
namespace {

constexpr std::uint64_t kSegment = 1ULL << 20;
constexpr std::uint64_t kHot = 2ULL << 20;

class Hot : public testing::Test {
 protected:
  Hot() { engine_->SetHotBytes(kHot); }

  static std::string Key(std::uint64_t i) { return "key:" + std::to_string(i); }
  void Put(std::uint64_t key, std::size_t value_bytes, char fill = 'v') {
    ASSERT_TRUE(engine_->Put(0, Key(key), {std::string(value_bytes, fill)}).ok());
    log_->EndUnit();
    if (log_->OpenBatchBytes() > (64U << 10)) Commit();
  }
  void Commit() {
    ASSERT_TRUE(log_->Seal().ok());
    ASSERT_TRUE(log_->Drain().ok());
  }
  // A unit that reads one key: was it hot?
  bool Read(std::uint64_t key) {
    const std::uint64_t hits = stats().hits;
    EXPECT_TRUE(engine_->Get(0, Key(key)));
    engine_->SettleHot();
    return stats().hits > hits;
  }
  [[nodiscard]] const HotStats& stats() const { return engine_->hot().stats(); }

  std::shared_ptr<CrashDisk> disk_ = std::make_shared<CrashDisk>(format::kDataOffset + 40 * kSegment);
  std::unique_ptr<Pool> pool_ = std::move(Pool::Open(std::make_unique<CrashMedia>(disk_, 64), kSegment).value());
  std::unique_ptr<Log> log_ = std::move(Log::Open(pool_.get(), {}).value());
  CountingMemory memory_;
  std::unique_ptr<Engine> engine_ = std::make_unique<Engine>(log_.get(), &memory_, 1);
};

TEST_F(Hot, WhatWasReadIsHotAndWhatWasNotIsCold) {
  Put(1, 100);
  Put(2, 100);
  EXPECT_FALSE(Read(1));
  EXPECT_TRUE(Read(1));
  EXPECT_FALSE(Read(2));
  EXPECT_EQ(stats().keys, 2U);
  EXPECT_EQ(stats().hits, 1U);
  EXPECT_EQ(stats().misses, 2U);
  EXPECT_EQ(stats().admissions, 2U);
  EXPECT_FALSE(engine_->Get(0, "no such key"));
  EXPECT_EQ(stats().misses, 2U) << "what does not exist can be neither";
  engine_->CheckInvariants();
}

TEST_F(Hot, WhatHappensToAKeyInTheUnitThatReadItCounts) {
  for (std::uint64_t key = 0; key < 4; ++key) {
    Put(key, 100);
    EXPECT_TRUE(engine_->Get(0, Key(key)));
  }
  EXPECT_TRUE(engine_->Get(0, Key(1)));
  ASSERT_TRUE(engine_->Put(0, Key(2), {"another"}).ok());
  ASSERT_TRUE(engine_->Delete(0, Key(3)).ok());
  engine_->SettleHot();
  EXPECT_EQ(stats().keys, 2U);
  engine_->CheckInvariants();
  EXPECT_FALSE(Read(2));
  EXPECT_EQ(engine_->Get(0, Key(2))->value, "another");
}

TEST_F(Hot, APutRefreshesAHotKeyAndLeavesAColdOneCold) {
  Put(1, 100);
  Put(2, 100);
  Read(1);
  // In place, grown beyond its block, shrunk to a fraction.
  for (const std::size_t bytes : {100, 101, 5000, 20, 0}) {
    Put(1, bytes, static_cast<char>('a' + bytes % 26));
    Put(2, bytes);
    EXPECT_TRUE(Read(1)) << bytes;
    EXPECT_EQ(engine_->Get(0, Key(1))->value, std::string(bytes, static_cast<char>('a' + bytes % 26)));
    engine_->CheckInvariants();
  }
  EXPECT_EQ(stats().keys, 1U);
  EXPECT_EQ(stats().refreshes, 5U);
  EXPECT_FALSE(Read(2));
  // Too large for the tier: it is read from the log.
  Put(1, kHot / 8);
  EXPECT_FALSE(Read(1));
  EXPECT_FALSE(Read(1));
  engine_->CheckInvariants();
}

TEST_F(Hot, ACounterBecomesHotAlthoughEveryReadIsFollowedByAPut) {
  for (int count = 0; count < 3; ++count) {
    (void)engine_->Get(0, Key(1));
    Put(1, 20, static_cast<char>('0' + count));
    engine_->SettleHot();
  }
  EXPECT_EQ(stats().keys, 1U);
  EXPECT_EQ(stats().refreshes, 1U) << "read cold at the second count, put hot at the third";
  EXPECT_EQ(engine_->Get(0, Key(1))->value, std::string(20, '2'));
  engine_->CheckInvariants();
}

TEST_F(Hot, WhatIsGoneIsGone) {
  for (std::uint64_t key = 0; key < 100; ++key) Put(key, 100);
  for (std::uint64_t key = 0; key < 100; ++key) Read(key);
  ASSERT_TRUE(engine_->Delete(0, Key(3)).ok());
  EXPECT_FALSE(engine_->Get(0, Key(3)));
  EXPECT_EQ(stats().keys, 99U);
  engine_->CheckInvariants();
  // One database of two, then all.
  ASSERT_TRUE(engine_->Put(1, "other", {"value"}).ok());
  EXPECT_TRUE(engine_->Get(1, "other"));
  engine_->SettleHot();
  ASSERT_TRUE(engine_->Flush(DbId{0}).ok());
  EXPECT_EQ(stats().keys, 1U);
  engine_->CheckInvariants();
  ASSERT_TRUE(engine_->Flush(std::nullopt).ok());
  EXPECT_EQ(stats().keys, 0U);
  engine_->CheckInvariants();
}

TEST_F(Hot, AScanOfEverythingDoesNotWashOutWhatIsReadOften) {
  constexpr std::uint64_t kOften = 100, kAll = 20'000;
  for (std::uint64_t key = 0; key < kAll; ++key) Put(key, 500);
  for (int round = 0; round < 4; ++round) {
    for (std::uint64_t key = 0; key < kOften; ++key) Read(key);
  }
  for (std::uint64_t key = kOften; key < kAll; ++key) Read(key);
  EXPECT_GT(stats().evictions, kAll / 2);
  std::uint64_t hot = 0;
  for (std::uint64_t key = 0; key < kOften; ++key) hot += Read(key) ? 1 : 0;
  EXPECT_EQ(hot, kOften);
  engine_->CheckInvariants();
}

TEST_F(Hot, WhatComesBackSoonStays) {
  constexpr std::uint64_t kFit = kHot / 500, kKeys = 4 * kFit;
  constexpr std::uint64_t kKey = 100;  // the very first that leave are not remembered
  for (std::uint64_t key = 0; key < kKeys; ++key) Put(key, 500);
  // It leaves, for it was read once.
  for (std::uint64_t key = 0; key < kFit * 5 / 4; ++key) Read(key);
  EXPECT_EQ(stats().ghost_hits, 0U);
  EXPECT_FALSE(Read(kKey));
  EXPECT_EQ(stats().ghost_hits, 1U);
  // Whatever else comes once does not drive it out again.
  for (std::uint64_t key = kFit * 5 / 4; key < kKeys; ++key) Read(key);
  EXPECT_TRUE(Read(kKey));
  engine_->CheckInvariants();
}

TEST_F(Hot, NeverTakesMoreThanItMay) {
  // The index first, so that only the tier allocates then.
  for (std::uint64_t key = 0; key < 10'000; ++key) Put(key, 10 + key * 7919 % 3000);
  const std::uint64_t before = memory_.bytes() - engine_->hot().MemoryBytes();
  std::mt19937_64 random(5);
  for (int i = 0; i < 60'000; ++i) {
    const std::uint64_t key = std::min(random() % 10'000, random() % 10'000);
    if (random() % 8 == 0) {
      // In place or to another size.
      Put(key, 10 + (random() % 4 == 0 ? random() : key) * 7919 % 3000);
      if (log_->segments().free() < 8) break;
    } else {
      Read(key);
    }
    ASSERT_LE(memory_.bytes() - before, kHot);
    ASSERT_EQ(memory_.bytes() - before, engine_->hot().MemoryBytes());
  }
  EXPECT_GT(engine_->hot().MemoryBytes(), kHot * 8 / 10);
  EXPECT_GT(stats().evictions, 1000U);
  engine_->CheckInvariants();
}

TEST_F(Hot, TheLimitChangesAtRunTime) {
  for (std::uint64_t key = 0; key < 10'000; ++key) Put(key, 1000);
  const std::uint64_t index = memory_.bytes() - engine_->hot().MemoryBytes();
  const auto read_all = [&] {
    for (std::uint64_t key = 0; key < 10'000; ++key) Read(key);
  };
  for (const std::uint64_t limit : {kHot, 4 * kHot, kHot / 2, std::uint64_t{0}, kHot, HotTier::kMinLimit - 1}) {
    engine_->SetHotBytes(limit);
    while (engine_->Tend()) engine_->CheckInvariants();
    EXPECT_LE(memory_.bytes() - index, limit < HotTier::kMinLimit ? 0 : limit);
    read_all();
    EXPECT_LE(memory_.bytes() - index, limit < HotTier::kMinLimit ? 0 : limit);
    EXPECT_EQ(stats().keys > 0, limit >= HotTier::kMinLimit);
    engine_->CheckInvariants();
  }
}

// What a FLUSHALL that is not committed has set aside keeps its memory, whatever the limit is: nothing can be evicted.
TEST_F(Hot, ALowerLimitDoesNotWaitForWhatAFlushSetAside) {
  for (std::uint64_t key = 0; key < 2000; ++key) Put(key, 1000);
  for (std::uint64_t key = 0; key < 2000; ++key) Read(key);
  ASSERT_TRUE(engine_->Flush(std::nullopt).ok());
  log_->EndUnit();
  engine_->SetHotBytes(HotTier::kMinLimit);
  ASSERT_GT(engine_->hot().MemoryBytes(), HotTier::kMinLimit);
  EXPECT_FALSE(engine_->Tend());
  Commit();
  engine_->Committed(log_->durable());
  EXPECT_LE(engine_->hot().MemoryBytes(), HotTier::kMinLimit);
}

TEST_F(Hot, ReadingAllocatesNothingAndMovesNothing) {
  constexpr std::uint64_t kKeys = 4000;
  std::vector<std::string> keys;
  for (std::uint64_t key = 0; key < kKeys; ++key) {
    Put(key, 1000, static_cast<char>('a' + key % 26));
    keys.push_back(Key(key));
  }
  std::vector<std::pair<std::string_view, char>> views;
  views.reserve(kKeys);
  for (int round = 0; round < 3; ++round) {
    // Hits and misses; every view of the unit stays good until it ends.
    views.clear();
    const std::uint64_t before = allocations;
    for (std::uint64_t key = 0; key < kKeys; ++key) {
      views.emplace_back(engine_->Get(0, keys[key])->value, static_cast<char>('a' + key % 26));
    }
    EXPECT_EQ(allocations, before);
    for (const auto& [view, fill] : views) ASSERT_EQ(view, std::string(1000, fill));
    engine_->SettleHot();
    for (std::uint64_t key = 0; key < kKeys; ++key) Read(key);
  }
  EXPECT_GT(stats().hits, 100U);
  EXPECT_GT(stats().evictions, 100U);
}

// What the cleaner moved, and what a checkpoint holds.
TEST_F(Hot, StandsForTheRecordWhereverThatIs) {
  for (std::uint64_t key = 0; key < 1000; ++key) Put(key, 500);
  for (std::uint64_t key = 0; key < 1000; key += 2) Read(key);
  Commit();
  const std::uint64_t hot = stats().keys;
  ASSERT_EQ(hot, 500U);
  LogCursor cursor;
  std::vector<LogAddress> puts;
  while (const auto batch = log_->Next(cursor)) {
    ASSERT_TRUE(batch->view.ForEach([&](const Record&, std::uint64_t offset) { puts.push_back(batch->at + offset); }));
  }
  for (const LogAddress at : puts) {
    const Record record = log_->RecordAt(at);
    ASSERT_TRUE(engine_->MovePut(record, engine_->PrepareMove(record), at, Head::kCold).ok());
  }
  Commit();
  EXPECT_EQ(stats().keys, hot);
  engine_->CheckInvariants();
  std::vector<std::byte> saved;
  ASSERT_TRUE(engine_->Save([&](std::span<const std::byte> bytes) {
    saved.insert(saved.end(), bytes.begin(), bytes.end());
    return true;
  }));
  Engine loaded(log_.get());
  std::size_t at = 0;
  ASSERT_TRUE(loaded.Load(
      [&](std::span<std::byte> bytes) {
        if (at + bytes.size() > saved.size()) return false;
        std::copy_n(saved.begin() + static_cast<std::ptrdiff_t>(at), bytes.size(), bytes.begin());
        at += bytes.size();
        return true;
      },
      saved.size()));
  loaded.CheckInvariants();
  EXPECT_EQ(loaded.hot().stats().keys, 0U);
  for (std::uint64_t key = 0; key < 1000; ++key) EXPECT_EQ(loaded.Get(0, Key(key))->value, std::string(500, 'v'));
}

}  // namespace
}  // namespace faha
