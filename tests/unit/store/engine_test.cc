// Replay: which records of a log become keys.
#include "store/engine.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "tests/fakes/crash_media.h"

namespace faha {
namespace {

constexpr std::uint64_t kSegment = 1ULL << 20;

void Put(Log& log, std::string_view key, std::size_t value_bytes) {
  const std::string value(value_bytes, 'v');
  ASSERT_TRUE(log.Append({.key = key, .value = value}).ok());
}

// The rest of another unit, whose beginning was cleaned away with all that stood between the two, is not its rest.
TEST(Engine, AUnitThatACrashLeftHalfStaysHalfWhateverIsCleaned) {
  auto disk = std::make_shared<CrashDisk>(format::kDataOffset + 8 * kSegment);
  auto pool = std::move(Pool::Open(std::make_unique<CrashMedia>(disk, 64), kSegment).value());
  {
    auto log = std::move(Log::Open(pool.get(), {}).value());
    Put(*log, "half", 900'000);
    Put(*log, "never sealed", 900'000);
    ASSERT_EQ(log->end().lsn, Lsn{1});
  }
  auto log = std::move(Log::Open(pool.get(), {}).value());
  Put(*log, "cleaned", 900'000);
  Put(*log, "rest", 900'000);
  ASSERT_TRUE(log->Seal().ok());
  const std::uint32_t between = pool->SegmentOf(log->Find(Lsn{2})->at);
  ASSERT_TRUE(log->AppendFree(between).ok());
  ASSERT_TRUE(log->Seal().ok());
  ASSERT_TRUE(log->Drain().ok());
  ASSERT_TRUE(log->Release(log->end().lsn, [](const Segment&) { return true; }).ok());
  ASSERT_FALSE(log->Find(Lsn{2}));

  Engine engine(log.get());
  engine.ApplyTo(log->end().lsn);
  EXPECT_TRUE(engine.Get(0, "rest"));
  EXPECT_FALSE(engine.Get(0, "half"));
}

// A backup that is given a log with gaps hears of a commit LSN that lies in one.
TEST(Engine, ATargetWithinAGapSkipsNothing) {
  auto disk = std::make_shared<CrashDisk>(format::kDataOffset + 8 * kSegment);
  auto pool = std::move(Pool::Open(std::make_unique<CrashMedia>(disk, 64), kSegment).value());
  auto log = std::move(Log::Open(pool.get(), {}).value());
  for (const char* key : {"cleaned", "also", "kept"}) {
    Put(*log, key, 900'000);
    ASSERT_TRUE(log->Seal().ok());
  }
  for (const Lsn lsn : {Lsn{1}, Lsn{2}}) {
    ASSERT_TRUE(log->AppendFree(pool->SegmentOf(log->Find(lsn)->at)).ok());
    ASSERT_TRUE(log->Seal().ok());
  }
  ASSERT_TRUE(log->Drain().ok());
  ASSERT_TRUE(log->Release(log->end().lsn, [](const Segment&) { return true; }).ok());
  Engine engine(log.get());
  engine.ApplyTo(Lsn{2});
  EXPECT_EQ(engine.Size(), 0U);
  engine.ApplyTo(log->end().lsn);
  EXPECT_TRUE(engine.Get(0, "kept"));
  EXPECT_EQ(engine.Size(), 1U);
}

}  // namespace
}  // namespace faha
