// Values that look like batches: in segments that are used again, they are taken for nothing but values.
#include <gtest/gtest.h>

#include <memory>
#include <random>

#include "log/log.h"
#include "tests/fakes/crash_media.h"
#include "tests/fakes/forger.h"

namespace faha {
namespace {

constexpr std::uint64_t kSegment = 1ULL << 20;
constexpr std::uint32_t kSegments = 7;
using Disk = std::shared_ptr<CrashDisk>;

struct Opened {
  std::unique_ptr<Pool> pool;
  std::unique_ptr<Log> log;
};

Result<Opened> Open(const Disk& disk, std::uint32_t granule) {
  Opened opened;
  auto pool = Pool::Open(std::make_unique<CrashMedia>(disk, granule), kSegment);
  if (!pool.ok()) return pool.status();
  opened.pool = std::move(pool.value());
  auto log = Log::Open(opened.pool.get(), {});
  if (!log.ok()) return log.status();
  opened.log = std::move(log.value());
  opened.log->SetEpoch(Epoch{1});
  return opened;
}

void Commit(Log& log) {
  ASSERT_TRUE(log.Seal().ok() && log.Drain().ok());
  log.SetCommitted(log.durable());
}

void Put(Log& log, const Forger& forger, std::size_t bytes, std::mt19937_64& random) {
  const std::string key(random() % 60, 'k');
  const std::string value = forger.Value("", key, false, bytes, random);
  ASSERT_TRUE(log.Append({.key = key, .value = value}).ok());
}

// Every segment is filled with such values once and, but for the newest ones, given back.
void SpreadValues(Log& log, const Forger& forger, std::mt19937_64& random) {
  while (log.segments().free() > Log::kReservedSegments) {
    Put(log, forger, 100'000, random);
    Commit(log);
  }
  const auto in_order = log.segments().in_order();
  for (const auto& [generation, index] : in_order) {
    const Segment& segment = log.segments().at(index);
    if (&segment == log.segments().Tail(segment.head) || segment.freed_by.value != 0) continue;
    ASSERT_TRUE(log.AppendFree(index).ok());
  }
  Commit(log);
  ASSERT_TRUE(log.Release(log.durable(), [](const Segment&) { return true; }).ok());
}

// Power fails, `life` being copied, and the log opens; nothing if it holds what was durable.
std::string PowerFails(const Disk& life, std::uint32_t granule, Lsn durable, std::mt19937_64& random) {
  const Disk disk = std::make_shared<CrashDisk>(life->written.size());
  disk->CopyFrom(*life);
  disk->Crash(random, kCrashModes.at(random() % kCrashModes.size()));
  const auto opened = Open(disk, granule);
  if (!opened.ok()) return opened.status().ToString();
  const Lsn end = opened->log->end().lsn;
  if (end < durable) return "the log ends too early";
  if (opened->log->known_committed() > end) return "more is known as committed than there is";
  return {};
}

// What is wrong after any of many crashes in a pool whose client guesses that the key is one of `guesses`, or, if there
// is none, knows it.
std::string Attack(std::uint64_t seed, bool knows_the_key) {
  std::mt19937_64 random(seed);
  const std::uint32_t granule = seed % 3 == 0 ? 256 : 64;
  const Disk disk = std::make_shared<CrashDisk>(format::kDataOffset + kSegments * kSegment);
  auto opened = Open(disk, granule);
  EXPECT_TRUE(opened.ok()) << opened.status().ToString();
  Log& log = *opened->log;
  const Pool& pool = *opened->pool;
  const auto guesses = knows_the_key ? std::vector{pool.log_key()} : Forger::Guesses(pool.cluster(), pool.node());
  for (int round = 0; round < 4; ++round) {
    const Forger forger(guesses, log.segments().last_generation() + 20, log.end().lsn.Next());
    SpreadValues(log, forger, random);
    for (int i = 0; i < 12; ++i) {
      Put(log, forger, random() % 60'000, random);
      const bool drained = random() % 2 == 0;
      if (drained) {
        Commit(log);
      } else {
        EXPECT_TRUE(log.Seal().ok());
      }
      if (auto wrong = PowerFails(disk, granule, log.durable(), random); !wrong.empty()) return wrong;
    }
  }
  return {};
}

TEST(Forgery, NoValueOfAClientThatDoesNotKnowTheKeyPassesForABatch) {
  for (std::uint64_t seed = 1; seed <= 6; ++seed) EXPECT_EQ(Attack(seed, false), "") << "seed " << seed;
}

// The same values with the right key do harm: so it is the key that keeps the others out.
TEST(Forgery, TheKeyIsWhatKeepsThemOut) {
  int harmed = 0;
  for (std::uint64_t seed = 1; seed <= 3; ++seed) harmed += Attack(seed, true).empty() ? 0 : 1;
  EXPECT_EQ(harmed, 3);
}

// Not even with the right key does a header count that no primary could have written.
TEST(Forgery, ABatchThatSaysOfItselfThatItIsCommittedIsNotBelieved) {
  const Disk disk = std::make_shared<CrashDisk>(format::kDataOffset + kSegments * kSegment);
  {
    auto opened = Open(disk, 64);
    ASSERT_TRUE(opened->log->Append({.key = "k", .value = "v"}).ok());
    Commit(*opened->log);
    BatchBuilder batch;
    format::BatchHeader header{};
    header.lsn = header.committed = 5;
    header.epoch = header.generation = 1;
    const auto bytes = batch.Seal(header, 64, opened->pool->log_key());
    ASSERT_TRUE(opened->pool->media().Write(format::kDataOffset + kSegment / 2, bytes).ok());
    ASSERT_TRUE(opened->pool->media().Drain().ok());
  }
  const auto opened = Open(disk, 64);
  ASSERT_TRUE(opened.ok()) << opened.status().ToString();
  EXPECT_EQ(opened->log->end().lsn, Lsn{1});
  EXPECT_EQ(opened->log->known_committed(), Lsn{});
}

}  // namespace
}  // namespace faha
