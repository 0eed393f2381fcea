// The log on a medium that crashes: what is kept, cut and reported.
#include "log/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "log/scan.h"
#include "tests/fakes/crash_media.h"

namespace faha {
namespace {

constexpr std::uint64_t kSegment = 1ULL << 20;
constexpr std::size_t kDisk = format::kDataOffset + 8 * kSegment;

// One process's view of a disk.
struct Opened {
  std::unique_ptr<Pool> pool;
  std::unique_ptr<Log> log;
};

Result<Opened> Open(const std::shared_ptr<CrashDisk>& disk, std::uint32_t granule = 64, std::uint64_t pool_bytes = 0) {
  Opened opened;
  auto pool = Pool::Open(std::make_unique<CrashMedia>(disk, granule), kSegment, pool_bytes);
  if (!pool.ok()) return pool.status();
  opened.pool = std::move(pool.value());
  auto log = Log::Open(opened.pool.get(), {});
  if (!log.ok()) return log.status();
  opened.log = std::move(log.value());
  opened.log->SetEpoch(Epoch{1});
  return opened;
}

std::shared_ptr<CrashDisk> NewDisk() { return std::make_shared<CrashDisk>(kDisk); }

// One of a cluster, whose logs land each other's batches.
std::shared_ptr<CrashDisk> NewMember(std::uint32_t granule = 64) {
  auto disk = NewDisk();
  auto opened = Open(disk, granule);
  EXPECT_TRUE(opened->pool->Adopt(ClusterId{{1}}, opened->pool->geometry(), LogKey{1, 2}).ok());
  EXPECT_TRUE(opened->pool->EndInstall().ok());
  return disk;
}

void Put(Log& log, std::string_view key, std::string_view value, TimeMs expire_at = kNoExpiry) {
  ASSERT_TRUE(log.Append({.kind = format::RecordKind::kPut, .key = key, .value = value, .expire_at = expire_at}).ok());
}

std::vector<std::string> Keys(const Log& log) {
  std::vector<std::string> keys;
  for (Lsn lsn{1}; lsn <= log.end().lsn; lsn = lsn.Next()) {
    EXPECT_TRUE(log.Find(lsn)->view.ForEach([&](const Record& r, std::uint64_t) { keys.emplace_back(r.key); }));
  }
  return keys;
}

TEST(Log, KeepsWhatWasDrainedAcrossARestart) {
  auto disk = NewDisk();
  {
    auto opened = Open(disk);
    Put(*opened->log, "a", "1");
    Put(*opened->log, "b", "2", 12345);
    ASSERT_TRUE(opened->log->Seal().ok());
    ASSERT_TRUE(opened->log->Drain().ok());
  }
  std::mt19937_64 random(1);
  disk->Crash(random);
  auto opened = Open(disk);
  ASSERT_TRUE(opened.ok()) << opened.status().ToString();
  EXPECT_EQ(opened->log->end(), (LogEnd{Epoch{1}, Lsn{1}}));
  EXPECT_THAT(Keys(*opened->log), testing::ElementsAre("a", "b"));
  const auto batch = opened->log->Find(Lsn{1});
  const Record second =
      opened->log->RecordAt(batch->at + sizeof(format::BatchHeader) + format::RecordBytes(1, 1, false));
  EXPECT_EQ(second.value, "2");
  EXPECT_EQ(second.expire_at, 12345);
}

// At every drain of a history, with any subset of undrained words: drained is a prefix of recovered, recovered of
// written.
TEST(Log, ACrashAtEveryDrainKeepsAPrefix) {
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    std::mt19937_64 random(seed);
    auto disk = NewDisk();
    std::uint64_t written = 0;
    Lsn drained;
    {
      const std::uint32_t granule = 64U << (seed % 4);
      auto opened = Open(disk, granule);
      ASSERT_TRUE(opened.ok());
      const std::uint64_t crash_after = disk->drains + 1 + random() % 40;
      while (disk->drains < crash_after) {
        for (std::uint64_t i = random() % 5 + 1; i > 0; --i) {
          Put(*opened->log, std::to_string(written++), std::string(random() % 60'000, 'v'));
        }
        if (random() % 3 != 0) {
          ASSERT_TRUE(opened->log->Seal().ok());
        }
        if (random() % 2 != 0) {
          ASSERT_TRUE(opened->log->Drain().ok());
          drained = opened->log->durable();
          opened->log->SetCommitted(drained);
        }
        if (opened->log->UsedBytes() > 5 * kSegment) break;
      }
    }
    for (int crashes = 0; crashes < 2; ++crashes) {  // the second one interrupts nothing: recovery changed nothing
      disk->Crash(random);
      auto opened = Open(disk);
      ASSERT_TRUE(opened.ok()) << opened.status().ToString() << " seed " << seed;
      EXPECT_GE(opened->log->end().lsn, drained) << "seed " << seed;
      const auto keys = Keys(*opened->log);
      EXPECT_LE(keys.size(), written);
      for (std::size_t i = 0; i < keys.size(); ++i) ASSERT_EQ(keys[i], std::to_string(i)) << "seed " << seed;
    }
  }
}

TEST(Log, ATailOfAnOlderForkIsNotTakenForItsSuccessor) {
  auto disk = NewDisk();
  auto opened = Open(disk);
  for (const char* key : {"1", "2", "3"}) {
    Put(*opened->log, key, "old");
    ASSERT_TRUE(opened->log->Seal().ok());
  }
  ASSERT_TRUE(opened->log->Drain().ok());
  ASSERT_TRUE(opened->log->CutAfter(Lsn{1}).ok());
  opened->log->SetEpoch(Epoch{2});
  Put(*opened->log, "2'", "new");
  ASSERT_TRUE(opened->log->Seal().ok());
  ASSERT_TRUE(opened->log->Drain().ok());
  opened->log.reset();
  opened->pool.reset();
  auto again = Open(disk);
  EXPECT_THAT(Keys(*again->log), testing::ElementsAre("1", "2'"));
}

TEST(Log, ADamagedCommittedBatchIsReportedAndNothingIsChanged) {
  auto disk = NewDisk();
  LogAddress second;
  {
    auto opened = Open(disk);
    for (std::uint64_t i = 1; i <= 3; ++i) {
      opened->log->SetCommitted(Lsn{i - 1});
      Put(*opened->log, std::to_string(i), "v");
      ASSERT_TRUE(opened->log->Seal().ok());
      ASSERT_TRUE(opened->log->Drain().ok());
    }
    second = opened->log->Find(Lsn{2})->at;
  }
  disk->written[second.value + 80] ^= std::byte{1};
  const auto before = disk->written;
  auto opened = Open(disk);
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.status().code(), Code::kCorrupt);
  EXPECT_EQ(disk->written, before);
}

TEST(Log, ATornTailIsCutThoughALaterBatchIsWhole) {
  auto disk = NewDisk();
  LogAddress second;
  {
    auto opened = Open(disk);
    for (const char* key : {"1", "2", "3"}) {  // none of them committed
      Put(*opened->log, key, "v");
      ASSERT_TRUE(opened->log->Seal().ok());
    }
    ASSERT_TRUE(opened->log->Drain().ok());
    second = opened->log->Find(Lsn{2})->at;
  }
  disk->written[second.value + 80] ^= std::byte{1};
  auto opened = Open(disk);
  ASSERT_TRUE(opened.ok()) << opened.status().ToString();
  EXPECT_THAT(Keys(*opened->log), testing::ElementsAre("1"));
}

// The keys that are in them.
std::vector<std::string> FillFourSegments(const std::shared_ptr<CrashDisk>& disk) {
  std::vector<std::string> keys;
  auto opened = Open(disk);
  while (opened->log->segments().size() < 4) {
    keys.push_back(std::to_string(keys.size()));
    Put(*opened->log, keys.back(), std::string(100'000, 'v'));
    EXPECT_TRUE(opened->log->Seal().ok());
  }
  EXPECT_TRUE(opened->log->Drain().ok());
  return keys;
}

TEST(Log, ADamagedTableEntryHidesNothing) {
  auto disk = NewDisk();
  const auto keys = FillFourSegments(disk);
  for (std::uint64_t entry = 0; entry < 4; ++entry) {
    disk->written[format::kTableOffset + entry * sizeof(format::SegmentEntry) + 8 * entry] ^= std::byte{1};
    auto opened = Open(disk);
    ASSERT_TRUE(opened.ok()) << opened.status().ToString();
    EXPECT_EQ(Keys(*opened->log), keys);
    EXPECT_FALSE(opened->pool->EntryIsDamaged(static_cast<std::uint32_t>(entry)));
  }
}

// The medium has lost one entry, or all.
TEST(Log, AMissingTableEntryHidesNothing) {
  auto disk = NewDisk();
  const auto keys = FillFourSegments(disk);
  for (std::uint32_t entry = 0; entry < 5; ++entry) {
    const std::uint32_t first = entry < 4 ? entry : 0, last = std::min(entry, 3U);
    for (std::uint32_t i = first; i <= last; ++i) {
      const auto at = disk->written.begin() + format::kTableOffset + i * sizeof(format::SegmentEntry);
      std::fill_n(at, sizeof(format::SegmentEntry), std::byte{0});
    }
    auto opened = Open(disk);
    ASSERT_TRUE(opened.ok()) << opened.status().ToString();
    EXPECT_EQ(Keys(*opened->log), keys);
    for (std::uint32_t i = first; i <= last; ++i) EXPECT_TRUE(opened->pool->ReadEntry(i).has_value()) << i;
  }
}

void Commit(Log& log) {
  EXPECT_TRUE(log.Seal().ok() && log.Drain().ok());
  log.SetCommitted(log.durable());
}

// Two bits of the newest segment: what is left adds up, but the rest of that segment says that more was committed.
TEST(Log, ASegmentThatNothingNamesAnyMoreIsMissed) {
  for (const bool erased : {false, true}) {
    auto disk = NewDisk();
    {
      auto opened = Open(disk);
      for (int i = 0; opened->log->segments().size() < 3; ++i) {
        Put(*opened->log, std::to_string(i), std::string(100'000, 'v'));
        Commit(*opened->log);
      }
      for (int i = 0; i < 3; ++i) {
        Put(*opened->log, "more", "v");
        Commit(*opened->log);
      }
    }
    const std::size_t entry = format::kTableOffset + 2 * sizeof(format::SegmentEntry);
    if (erased) {
      std::fill_n(disk->written.begin() + entry, sizeof(format::SegmentEntry), std::byte{0});
    } else {
      disk->written[entry + 8] ^= std::byte{1};
    }
    disk->written[format::kDataOffset + 2 * kSegment + offsetof(format::BatchHeader, digest)] ^= std::byte{1};
    EXPECT_EQ(Open(disk).status().code(), Code::kCorrupt);
  }
}

// However much was lost: what is empty now was not.
TEST(Log, AnEmptyLogThatWasNoneIsReported) {
  auto disk = NewDisk();
  {
    auto opened = Open(disk);
    for (int i = 0; i < 2; ++i) {
      Put(*opened->log, std::to_string(i), "v");
      Commit(*opened->log);
    }
    ASSERT_TRUE(opened->pool->NoteLog().ok());
  }
  const auto lose = [&](std::uint64_t from, std::uint64_t bytes) {
    const auto at = disk->written.begin() + static_cast<std::ptrdiff_t>(from);
    std::fill_n(at, bytes, std::byte{0});
  };
  lose(format::kDataOffset, 4096);
  EXPECT_EQ(Open(disk).status().code(), Code::kCorrupt);
  lose(format::kTableOffset, 4096);
  EXPECT_EQ(Open(disk).status().code(), Code::kCorrupt);
  auto pool = Pool::Open(std::make_unique<CrashMedia>(disk, 64), kSegment);
  ASSERT_TRUE(pool.value()->BeginInstall({}, kUnknownClaim).ok());
  EXPECT_TRUE(Log::Open(pool.value().get(), {}).ok()) << "it is about to be given anew";
  ASSERT_TRUE(pool.value()->Adopt(ClusterId{{7}}, pool.value()->geometry(), LogKey{1, 2}).ok());
  EXPECT_FALSE(pool.value()->has_log());
}

// Segments of ten batches, of which a record frees the second.
void FreeTheSecond(Log& log) {
  for (int i = 0; log.segments().size() < 4; ++i) {
    Put(log, std::to_string(i), std::string(100'000, 'v'));
    Commit(log);
  }
  EXPECT_TRUE(log.AppendFree(1).ok());
  Commit(log);
}

// It might hold a value and not the delete behind it.
TEST(Log, HalfOfASegmentThatWasFreedIsNoneOfTheLog) {
  auto disk = NewDisk();
  LogEnd end;
  {
    auto opened = Open(disk);
    FreeTheSecond(*opened->log);
    Put(*opened->log, "knows that the free is committed", "v");
    Commit(*opened->log);
    end = opened->log->end();
    EXPECT_TRUE(opened->log->segments().InUse(1)) << "it is not given back yet";
    disk->written[opened->log->Find(Lsn{15})->at.value + 1000] ^= std::byte{1};
  }
  for (int i = 0; i < 2; ++i) {
    auto opened = Open(disk);
    ASSERT_TRUE(opened.ok()) << opened.status().ToString();
    EXPECT_EQ(opened->log->end(), end);
    EXPECT_FALSE(opened->log->segments().InUse(1));
  }
}

// Power failed as the segment was opened, and a release that knew of no such thing opened another one in its place.
TEST(Log, AnOldBatchInASegmentWithoutAnEntryIsNoneOfTheLog) {
  auto disk = NewDisk();
  LogEnd end;
  {
    auto opened = Open(disk);
    for (int i = 0; i < 2; ++i) {
      Put(*opened->log, std::to_string(i), "v");
      Commit(*opened->log);
    }
    end = opened->log->end();
    const auto first = opened->pool->SegmentBytes(0).first(4096);
    std::copy(first.begin(), first.end(), disk->written.begin() + format::kDataOffset + 5 * kSegment);
  }
  for (int i = 0; i < 2; ++i) {
    auto opened = Open(disk);
    ASSERT_TRUE(opened.ok()) << opened.status().ToString();
    EXPECT_EQ(opened->log->end(), end);
    EXPECT_FALSE(opened->log->segments().InUse(5));
    EXPECT_FALSE(BatchView::Parse(opened->pool->SegmentBytes(5), opened->pool->log_key()).has_value());
  }
}

using Bytes = std::vector<std::byte>;

Bytes Save(const CrashDisk& disk, std::size_t at, std::size_t bytes) {
  const auto from = disk.written.begin() + static_cast<std::ptrdiff_t>(at);
  return {from, from + static_cast<std::ptrdiff_t>(bytes)};
}

void PutBack(CrashDisk& disk, std::size_t at, const Bytes& bytes) {
  std::copy(bytes.begin(), bytes.end(), disk.written.begin() + static_cast<std::ptrdiff_t>(at));
}

Status ReleaseAll(Log& log) {
  return log.Release(log.durable(), [](const Segment&) { return true; });
}

// Those that were free before it come first, and so others are freed meanwhile.
void UseTheSecondAgain(Log& log) {
  while (!log.segments().InUse(1)) {
    if (!log.HasRoom(100'000, Log::kReservedSegments)) {
      ASSERT_TRUE(log.AppendFree(log.segments().in_order().begin()->second).ok());
      Commit(log);
      ASSERT_TRUE(ReleaseAll(log).ok());
    }
    Put(log, "k", std::string(100'000, 'v'));
    Commit(log);
  }
}

constexpr std::size_t kSecondEntry = format::kTableOffset + sizeof(format::SegmentEntry);
constexpr std::size_t kSecondSegment = format::kDataOffset + kSegment;

// The medium has lost the write of an entry and holds what stood there before: an earlier use of the segment.
TEST(Log, AnOutdatedTableEntryHidesNothing) {
  auto disk = NewDisk();
  LogEnd end;
  {
    auto opened = Open(disk);
    FreeTheSecond(*opened->log);
    const Bytes outdated = Save(*disk, kSecondEntry, sizeof(format::SegmentEntry));
    ASSERT_TRUE(ReleaseAll(*opened->log).ok());
    UseTheSecondAgain(*opened->log);
    Put(*opened->log, "newest", "v");
    Commit(*opened->log);
    end = opened->log->end();
    PutBack(*disk, kSecondEntry, outdated);
  }
  for (int i = 0; i < 2; ++i) {
    auto opened = Open(disk);
    ASSERT_TRUE(opened.ok()) << opened.status().ToString();
    EXPECT_EQ(opened->log->end(), end);
    EXPECT_TRUE(opened->log->segments().InUse(1));
  }
}

// A node that leads alone knows from nobody that its batches are committed, and no batch of its own may say so yet.
TEST(Log, AFreeThatHasLetASegmentBeGivenBackIsNotCut) {
  auto disk = NewDisk();
  auto opened = Open(disk);
  FreeTheSecond(*opened->log);
  const Lsn freed_by = opened->log->end().lsn;
  EXPECT_LT(opened->log->known_committed(), freed_by);
  ASSERT_TRUE(ReleaseAll(*opened->log).ok());
  EXPECT_EQ(opened->log->known_committed(), freed_by);
  opened = Status{Code::kUnavailable, "the node ends"};
  EXPECT_EQ(Open(disk)->log->known_committed(), freed_by) << "a start knows it as well";
}

// Where its first batch is lost as well nobody knows what the segment held, but its others tell what was committed.
TEST(Log, ASegmentThatIsTakenForAnEarlierOneIsMissed) {
  auto disk = NewDisk();
  {
    auto opened = Open(disk);
    FreeTheSecond(*opened->log);
    const Bytes entry = Save(*disk, kSecondEntry, sizeof(format::SegmentEntry));
    const Bytes front = Save(*disk, kSecondSegment, 4096);
    ASSERT_TRUE(ReleaseAll(*opened->log).ok());
    UseTheSecondAgain(*opened->log);
    for (int i = 0; i < 3; ++i) {
      Put(*opened->log, "newest", "v");
      Commit(*opened->log);
    }
    PutBack(*disk, kSecondEntry, entry);
    PutBack(*disk, kSecondSegment, front);
  }
  EXPECT_EQ(Open(disk).status().code(), Code::kCorrupt);
}

// The medium has lost the writes that gave the segment back.  The deletes that covered it may be gone already.
TEST(Log, ASegmentThatWasGivenBackDoesNotReturn) {
  for (const bool entry_too : {false, true}) {
    auto disk = NewDisk();
    LogEnd end;
    {
      auto opened = Open(disk);
      FreeTheSecond(*opened->log);
      const Bytes entry = Save(*disk, kSecondEntry, sizeof(format::SegmentEntry));
      const Bytes front = Save(*disk, kSecondSegment, 4096);
      ASSERT_TRUE(ReleaseAll(*opened->log).ok());
      Put(*opened->log, "knows that the free is committed", "v");
      Commit(*opened->log);
      end = opened->log->end();
      PutBack(*disk, kSecondSegment, front);
      if (entry_too) PutBack(*disk, kSecondEntry, entry);
    }
    for (int i = 0; i < 2; ++i) {
      auto opened = Open(disk);
      ASSERT_TRUE(opened.ok()) << opened.status().ToString();
      EXPECT_EQ(opened->log->end(), end);
      EXPECT_FALSE(opened->log->segments().InUse(1));
    }
  }
}

// The record that frees a segment may stand in one that is older, is freed later, and is given back by the same start.
TEST(Log, AStartThatEndsWhileItGivesSegmentsBackLosesNothing) {
  auto disk = NewDisk();
  LogEnd end;
  {
    auto opened = Open(disk);
    Log& log = *opened->log;
    const auto fill = [&](Head head, std::uint32_t until) {
      while (!log.segments().InUse(until)) {
        ASSERT_TRUE(log.Append({.key = "k", .value = std::string(100'000, 'v')}, head).ok());
        Commit(log);
      }
    };
    fill(Head::kHot, 0);
    fill(Head::kCold, 1);
    fill(Head::kHot, 3);
    ASSERT_TRUE(log.AppendFree(2, Head::kCold).ok());
    Commit(log);
    fill(Head::kCold, 4);
    ASSERT_TRUE(log.AppendFree(1, Head::kCold).ok());
    Commit(log);
    Put(log, "knows that both are committed", "v");
    Commit(log);
    end = log.end();
    ASSERT_TRUE(log.segments().at(1).generation < log.segments().at(2).generation);
  }
  int ended = 0;
  for (const std::uint64_t before = disk->drains;; ++ended) {
    auto copy = std::make_shared<CrashDisk>(kDisk);
    copy->CopyFrom(*disk);
    copy->fail_at_drain = before + static_cast<std::uint64_t>(ended) + 1;
    if (Open(copy).ok()) break;
    copy->fail_at_drain = ~0ULL;
    auto opened = Open(copy);
    ASSERT_TRUE(opened.ok()) << opened.status().ToString() << ", drain " << ended;
    EXPECT_EQ(opened->log->end(), end);
    EXPECT_FALSE(opened->log->segments().InUse(1) || opened->log->segments().InUse(2));
  }
  EXPECT_GE(ended, 2);
}

// The last batch, which no other one calls committed: it would pass for one that a power failure has torn.
TEST(Log, DamageThatWasFoundAtItsEndIsRemembered) {
  for (const bool goes_away : {false, true}) {
    auto disk = NewDisk();
    LogEnd end;
    {
      auto opened = Open(disk);
      for (int i = 0; i < 3; ++i) {
        Put(*opened->log, "k", std::to_string(i));
        Commit(*opened->log);
      }
      end = opened->log->end();
      ASSERT_TRUE(opened->pool->RecordDamage(end).ok());
      if (!goes_away) disk->written[opened->log->Find(end.lsn)->at.value + 70] ^= std::byte{1};
    }
    EXPECT_EQ(Open(disk).status().code(), goes_away ? Code::kOk : Code::kCorrupt);
    if (goes_away) continue;
    auto pool = Pool::Open(std::make_unique<CrashMedia>(disk, 64), kSegment);
    ASSERT_TRUE(pool.ok());
    EXPECT_EQ((*pool)->damaged_at(), end.lsn);
    ASSERT_TRUE((*pool)->BeginInstall({}, kUnknownClaim).ok() && (*pool)->EndInstall().ok());
    EXPECT_EQ((*pool)->damaged_at(), Lsn{}) << "what it was given is another log";
  }
}

// Where a segment was freed nobody would miss a batch that gives itself a lower LSN.
TEST(Log, ABatchWhoseLsnHasChangedIsNotPassedOver) {
  for (const std::uint64_t from : {1, 9, 10}) {
    SCOPED_TRACE(from);
    auto disk = NewDisk();
    auto opened = Open(disk);
    FreeTheSecond(*opened->log);
    ASSERT_TRUE(opened->log->Release(opened->log->durable(), [](const Segment&) { return true; }).ok());
    const Segment& first = opened->log->segments().at(0);
    ASSERT_EQ(first.last, Lsn{10});
    ASSERT_GE(opened->log->freed_through(), Lsn{20});
    disk->written[opened->log->Find(Lsn{10})->at.value + offsetof(format::BatchHeader, lsn)] = std::byte{8};
    LogCursor cursor{.next = Lsn{from}};
    Lsn last{from - 1};
    while (const auto batch = opened->log->Next(cursor)) {
      EXPECT_EQ(batch->view.lsn(), last.Next());
      last = batch->view.lsn();
    }
    EXPECT_LE(last, Lsn{9});
    EXPECT_EQ(opened->pool->damage().code(), Code::kCorrupt);
  }
}

TEST(Log, ATornTableEntryIsNoSegment) {
  auto disk = NewDisk();
  {
    auto opened = Open(disk);
    Put(*opened->log, "a", "1");
    ASSERT_TRUE(opened->log->Seal().ok());
    ASSERT_TRUE(opened->log->Drain().ok());
  }
  const std::uint64_t second = format::kTableOffset + sizeof(format::SegmentEntry);
  disk->written[second] = std::byte{2};
  for (int i = 0; i < 2; ++i) {
    auto opened = Open(disk);
    ASSERT_TRUE(opened.ok()) << opened.status().ToString();
    EXPECT_THAT(Keys(*opened->log), testing::ElementsAre("a"));
    EXPECT_EQ(disk->written[second], std::byte{0});
  }
}

TEST(Log, TheVerdictTableIsComplete) {
  EXPECT_EQ(Judge(true, false), Verdict::kKeep);
  EXPECT_EQ(Judge(true, true), Verdict::kRepair);
  EXPECT_EQ(Judge(false, false), Verdict::kCut);
  EXPECT_EQ(Judge(false, true), Verdict::kRepair);
}

TEST(Log, LandsWhatAnotherLogSealedByteForByteAndNothingElse) {
  auto from_disk = NewMember();
  auto to_disk = NewMember();
  auto from = Open(from_disk);
  auto to = Open(to_disk);
  std::mt19937_64 random(7);
  for (int i = 0; i < 200; ++i) {
    Put(*from->log, std::to_string(i), std::string(random() % 20'000, 'x'));
    ASSERT_TRUE(from->log->Seal().ok());
  }
  ASSERT_GT(from->log->segments().size(), 1U);
  for (Lsn lsn{1}; lsn <= from->log->end().lsn; lsn = lsn.Next()) {
    const auto batch = *from->log->Find(lsn);
    std::vector<std::byte> forged(batch.bytes.begin(), batch.bytes.end());
    forged[random() % (sizeof(format::BatchHeader) + batch.view.header().payload_bytes)] ^= std::byte{4};
    EXPECT_EQ(to->log->Land(batch.at, forged).code(), Code::kProtocol);
    EXPECT_EQ(to->log->Land(batch.at + 64, batch.bytes).code(), Code::kProtocol);
    ASSERT_TRUE(to->log->Land(batch.at, batch.bytes).ok());
    EXPECT_EQ(to->log->Land(batch.at, batch.bytes).code(), Code::kProtocol) << "landed twice";
  }
  const auto log_bytes = [](const CrashDisk& disk) { return std::span(disk.written).subspan(format::kDataOffset); };
  EXPECT_TRUE(std::ranges::equal(log_bytes(*from_disk), log_bytes(*to_disk)));
}

// Batches that each call all before them committed, on a disk of their own.
Opened Committing(int batches, std::size_t value_bytes) {
  auto from = Open(NewMember());
  for (int i = 0; i < batches; ++i) {
    Put(*from->log, std::to_string(i), std::string(value_bytes, 'x'));
    Commit(*from->log);
  }
  return std::move(from.value());
}

void LandAll(const Log& from, Log& to) {
  for (Lsn lsn{1}; lsn <= from.end().lsn; lsn = lsn.Next()) {
    const auto batch = *from.Find(lsn);
    ASSERT_TRUE(to.Land(batch.at, batch.bytes).ok());
  }
}

// What a batch calls committed must survive it, or a scan takes its loss for damage.
TEST(Log, WhatLandedAndWasNotDrainedIsNeverTakenForDamage) {
  const Opened from = Committing(20, 10);
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    std::mt19937_64 random(seed);
    auto disk = NewMember();
    LandAll(*from.log, *Open(disk)->log);
    disk->Crash(random, kCrashModes.at(seed % kCrashModes.size()));
    auto opened = Open(disk);
    EXPECT_TRUE(opened.ok()) << opened.status().ToString() << " seed " << seed;
  }
}

// An install needs no drain for that, for nothing of it counts before its end: power may fail until then.
TEST(Log, AnInstallDrainsNoBatchAndCountsForNothingBeforeItsEnd) {
  const Opened from = Committing(20, 20'000);
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    std::mt19937_64 random(seed);
    const CrashMode mode = kCrashModes.at(seed % kCrashModes.size());
    const bool ends = seed % 2 != 0;
    auto disk = NewMember();
    {
      auto to = Open(disk);
      ASSERT_TRUE(to->pool->BeginInstall({}, {}).ok());
      const std::uint64_t before = disk->drains;
      LandAll(*from.log, *to->log);
      EXPECT_LT(disk->drains - before, 5U) << "more than opening segments takes";
      EXPECT_EQ(to->log->durable(), Lsn{});
      if (ends) {
        EXPECT_TRUE(to->log->Drain().ok() && to->pool->EndInstall().ok());
      }
    }
    disk->Crash(random, mode);
    auto pool = Pool::Open(std::make_unique<CrashMedia>(disk, 64), kSegment, 0);
    ASSERT_TRUE(pool.ok()) << pool.status().ToString();
    ASSERT_EQ((*pool)->installing(), !ends) << "seed " << seed;
    // As a node does that starts.
    if (!ends) {
      EXPECT_TRUE((*pool)->BeginInstall({}, {}).ok());
    }
    auto log = Log::Open(pool->get(), {});
    ASSERT_TRUE(log.ok()) << log.status().ToString() << " seed " << seed;
    EXPECT_EQ((*log)->end().lsn, ends ? from.log->end().lsn : Lsn{}) << "seed " << seed;
  }
}

// Power failed as a batch was placed in front of a segment that was used before.  What stands behind it is of a log
// that this node has given up.
TEST(Log, AnInstallForgetsWhatSegmentsKnewAsCommitted) {
  auto disk = NewMember();
  {
    auto opened = Open(disk);
    for (int i = 0; i < 5; ++i) {
      Put(*opened->log, "k", "v");
      Commit(*opened->log);
    }
  }
  std::fill_n(disk->written.begin() + format::kTableOffset, sizeof(format::SegmentEntry), std::byte{0});
  disk->written[format::kDataOffset + offsetof(format::BatchHeader, checksum)] ^= std::byte{1};
  auto pool = Pool::Open(std::make_unique<CrashMedia>(disk, 64), kSegment);
  ASSERT_TRUE(pool.ok() && (*pool)->BeginInstall({}, {}).ok());
  auto log = Log::Open(pool->get(), {});
  ASSERT_TRUE(log.ok()) << log.status().ToString();
  EXPECT_EQ((*log)->end().lsn, Lsn{});
}

// Both logs fill the same segment up to where a node was forced to lead; behind that they are two.
TEST(Log, AnInstallErasesWhatWentOnBehindTheCommonPart) {
  auto disk = NewDisk();
  auto old = Open(disk);
  const auto fill = [](Log& log, int batches) {
    for (int i = 0; i < batches; ++i) {
      Put(log, "k", std::string(20'000, 'v'));
      Commit(log);
    }
  };
  fill(*old->log, 10);
  auto forced = Open(std::make_shared<CrashDisk>(*disk));
  fill(*old->log, 5);
  forced->log->SetEpoch(Epoch{2});
  Put(*forced->log, "k", std::string(900'000, 'w'));  // which opens another segment
  Commit(*forced->log);
  const std::uint64_t behind = old->log->Find(Lsn{11})->at.value;
  ASSERT_TRUE(old->pool->BeginInstall({}, {}).ok());
  old->log->Reset();
  LandAll(*forced->log, *old->log);
  ASSERT_TRUE(old->log->Drain().ok());
  const auto stands = [&] {
    return BatchView::Parse(old->pool->media().bytes().subspan(behind), old->pool->log_key()).has_value();
  };
  EXPECT_TRUE(stands()) << "it is of the same use of the segment";
  ASSERT_TRUE(old->log->EraseResidue().ok() && old->pool->EndInstall().ok());
  EXPECT_FALSE(stands());
  EXPECT_EQ(Open(disk)->log->end(), forced->log->end());
}

// A gap hides what the one who gives the log has passed over by mistake.
TEST(Log, AnInstalledLogThatLacksABatchDoesNotAddUp) {
  const Opened from = Committing(80, 20'000);
  ASSERT_GT(from.log->segments().size(), 1U);
  EXPECT_TRUE(from.log->AddsUp());
  const auto last_of_first = from.log->segments().at(0).last;
  for (const bool lacks : {false, true}) {
    auto disk = NewMember();
    auto to = Open(disk);
    ASSERT_TRUE(to->pool->BeginInstall({}, {}).ok());
    for (Lsn lsn{1}; lsn <= from.log->end().lsn; lsn = lsn.Next()) {
      if (lacks && lsn == last_of_first) continue;
      const auto batch = *from.log->Find(lsn);
      if (lacks && lsn == last_of_first.Next()) to->log->AllowGap();
      ASSERT_TRUE(to->log->Land(batch.at, batch.bytes).ok()) << lsn.value;
    }
    EXPECT_EQ(to->log->end(), from.log->end());
    EXPECT_EQ(to->log->AddsUp(), !lacks);
  }
}

// Who replays one of these would take keys for those of another database, or databases for one.
TEST(Log, RefusesASwapThatIsNoPermutation) {
  using Swaps = std::vector<format::SwappedDb>;
  const auto text = [](const Swaps& swaps) {
    return std::string(reinterpret_cast<const char*>(swaps.data()), swaps.size() * sizeof swaps[0]);
  };
  const std::string good = text({{0, 3}, {3, 0}});
  const auto refused = [](const Record& record) {
    auto disk = NewMember(), other = NewMember();
    {
      auto from = Open(disk), to = Open(other);
      EXPECT_TRUE(from->log->Append(record).ok() && from->log->Seal().ok() && from->log->Drain().ok());
      const auto batch = *from->log->Find(Lsn{1});
      const Code landed = to->log->Land(batch.at, batch.bytes).code();
      if (landed == Code::kOk) return false;
      EXPECT_EQ(landed, Code::kProtocol);
    }
    EXPECT_EQ(Open(disk).status().code(), Code::kCorrupt);
    return true;
  };
  constexpr auto kSwap = format::RecordKind::kSwap;
  EXPECT_FALSE(refused({.kind = kSwap, .key = {}, .value = good}));
  EXPECT_FALSE(refused({.kind = kSwap, .key = {}, .value = {}}));
  EXPECT_TRUE(refused({.kind = kSwap, .db = 1, .key = {}, .value = good}));
  EXPECT_TRUE(refused({.kind = kSwap, .key = "k", .value = good}));
  EXPECT_TRUE(refused({.kind = kSwap, .key = {}, .value = good, .expire_at = 1}));
  EXPECT_TRUE(refused({.kind = kSwap, .key = {}, .value = std::string_view(good).substr(1)}));
  for (const Swaps& bad : {Swaps{{0, 3}}, Swaps{{0, 0}}, Swaps{{3, 0}, {0, 3}}, Swaps{{0, 3}, {3, 3}},
                           Swaps{{0, 1}, {1, 2}, {3, 0}}, Swaps{{0, 1}, {0, 1}}, Swaps{{0, 65535}, {65535, 0}}}) {
    EXPECT_TRUE(refused({.kind = kSwap, .key = {}, .value = text(bad)})) << testing::PrintToString(text(bad));
  }
}

// Of what a store, a copy or a device has put to the medium: whole granules, one behind the other, and no line twice.
void ExpectEachLineOnce(const CrashDisk& disk, std::uint32_t granule) {
  std::uint64_t end = format::kDataOffset;
  for (const auto& [offset, data] : disk.undrained) {
    if (offset < format::kDataOffset) continue;  // the superblock, the table
    EXPECT_EQ(offset % granule, 0U);
    EXPECT_EQ(data.size() % granule, 0U);
    const bool next_segment = (offset - format::kDataOffset) % kSegment == 0 && offset >= end;
    EXPECT_TRUE(offset == end || next_segment) << offset << " after " << end;
    end = offset + data.size();
  }
  EXPECT_GT(end, format::kDataOffset + kSegment);
}

TEST(Log, WritesWholeGranulesInSequenceAndNoLineTwice) {
  for (const std::uint32_t granule : {64U, 256U, 4096U}) {
    auto from_disk = NewMember(granule), copied_disk = NewMember(granule), placed_disk = NewMember(granule);
    auto from = Open(from_disk, granule), copied = Open(copied_disk, granule), placed = Open(placed_disk, granule);
    for (const auto& disk : {from_disk, copied_disk, placed_disk}) disk->DrainAll();
    std::mt19937_64 random(granule);
    for (int i = 0; i < 300; ++i) {
      for (std::uint64_t records = random() % 5 + 1; records > 0; --records) {
        Put(*from->log, std::to_string(i), std::string(random() % 4'000, 'x'));
      }
      ASSERT_TRUE(from->log->Seal().ok());
    }
    for (Lsn lsn{1}; lsn <= from->log->end().lsn; lsn = lsn.Next()) {
      const auto batch = *from->log->Find(lsn);
      ASSERT_TRUE(copied->log->Land(batch.at, batch.bytes).ok());
      // As a device does, which is no store of this node.
      const auto place = std::span(placed_disk->written).subspan(batch.at.value, batch.bytes.size());
      std::ranges::copy(batch.bytes, place.begin());
      ASSERT_TRUE(placed->log->Land(batch.at, place).ok());
    }
    for (const auto& disk : {from_disk, copied_disk, placed_disk}) ExpectEachLineOnce(*disk, granule);
  }
}

TEST(Log, AFullPoolRefusesAndLosesNothing) {
  auto disk = NewDisk();
  auto opened = Open(disk);
  const std::string value(100'000, 'v');
  std::size_t put = 0;
  Status status;
  while (status.ok()) {
    status = opened->log->Append({.key = std::to_string(put), .value = value}).status();
    if (status.ok()) ++put;
    ASSERT_LT(put, 1000U);
  }
  EXPECT_EQ(status.code(), Code::kNoSpace);
  ASSERT_TRUE(opened->log->Seal().ok());
  EXPECT_EQ(Keys(*opened->log).size(), put);
  EXPECT_EQ(opened->log->Append({.key = "k", .value = std::string(kSegment, 'v')}).status().code(), Code::kTooLarge);
}

TEST(Log, HasRoomKeepsASegmentForWhatMustBeWritten) {
  auto disk = NewDisk();
  auto opened = Open(disk);
  const std::string value(100'000, 'v');
  while (opened->log->HasRoom(value.size() + 100)) {
    Put(*opened->log, "k", value);
    ASSERT_TRUE(opened->log->Seal().ok());
  }
  EXPECT_EQ(opened->log->segments().size(), 8U - Log::kReservedSegments);
  for (int i = 0; i < 5000; ++i) {
    ASSERT_TRUE(opened->log->Append({.kind = format::RecordKind::kEpochStart, .key = {}, .value = {}}).ok());
    ASSERT_TRUE(opened->log->Seal().ok());
  }
}

TEST(Log, AUnitThatOutgrowsASegmentIsMarked) {
  auto disk = NewDisk();
  auto opened = Open(disk);
  const std::string value(300'000, 'v');
  for (int i = 0; i < 5; ++i) Put(*opened->log, std::to_string(i), value);
  ASSERT_TRUE(opened->log->Seal().ok());
  ASSERT_EQ(opened->log->end().lsn, Lsn{2});
  EXPECT_EQ(opened->log->Find(Lsn{1})->view.header().flags, format::kUnitContinues);
  EXPECT_EQ(opened->log->Find(Lsn{2})->view.header().flags, format::kUnitContinued);
}

TEST(Pool, APromiseSurvivesACrashAtEitherOfItsTwoCopies) {
  auto disk = NewDisk();
  std::mt19937_64 random(3);
  const NodeId node{{1, 2, 3}};
  for (std::uint64_t epoch = 1; epoch < 50; ++epoch) {
    auto opened = Open(disk);
    ASSERT_TRUE(opened.ok());
    EXPECT_EQ(opened->pool->promised(), Epoch{epoch - 1});
    ASSERT_TRUE(opened->pool->SetPromise(Epoch{epoch}, node).ok());
    disk->fail_at_drain = disk->drains + 1;  // the next one is written but not drained
    EXPECT_FALSE(opened->pool->SetPromise(Epoch{epoch + 1000}, node).ok());
    disk->Crash(random);
    auto again = Open(disk);
    ASSERT_TRUE(again.ok());
    if (again->pool->promised() == Epoch{epoch + 1000}) return;  // it survived whole: as good as any
    EXPECT_EQ(again->pool->promised(), Epoch{epoch});
    EXPECT_EQ(again->pool->voted_for(), node);
  }
}

TEST(Pool, TheLeaderIsThatOfThePromisedEpoch) {
  auto opened = Open(NewDisk());
  Pool& pool = *opened->pool;
  const NodeId a{{1}}, b{{2}};
  EXPECT_TRUE(pool.leader().IsNone());
  ASSERT_TRUE(pool.SetPromise(Epoch{1}, a).ok());
  EXPECT_TRUE(pool.leader().IsNone()) << "it may not win";
  ASSERT_TRUE(pool.SetLeader(Epoch{1}, b).ok());
  EXPECT_EQ(std::pair(pool.leader(), pool.voted_for()), std::pair(b, a));
  ASSERT_TRUE(pool.SetPromise(Epoch{2}, b).ok());
  EXPECT_TRUE(pool.leader().IsNone()) << "that was an earlier epoch";
  ASSERT_TRUE(pool.SetLeader(Epoch{3}, a).ok());
  EXPECT_EQ(std::pair(pool.promised(), pool.voted_for()), std::pair(Epoch{3}, a)) << "whoever is followed is promised";
  EXPECT_EQ(pool.leader(), a);
  ASSERT_TRUE(pool.Adopt(ClusterId{{7}}, pool.geometry(), LogKey{1, 2}).ok());
  EXPECT_TRUE(pool.leader().IsNone());
  ASSERT_TRUE(pool.SetPromise(Epoch{3}, b).ok());
  EXPECT_TRUE(pool.leader().IsNone()) << "that was another cluster's";
}

TEST(Pool, ANoteIsFoundAgain) {
  const auto disk = NewDisk();
  const std::string longest(Pool::kMaxNote, 'n');
  {
    auto opened = Open(disk);
    EXPECT_EQ(opened->pool->note(), "");
    ASSERT_TRUE(opened->pool->SetNote(longest).ok());
    EXPECT_EQ(opened->pool->SetNote(longest + "n").code(), Code::kTooLarge);
    EXPECT_EQ(opened->pool->note(), longest);
    ASSERT_TRUE(opened->pool->SetNote("short").ok());
  }
  EXPECT_EQ(Open(disk)->pool->note(), "short");
}

TEST(Pool, RefusesWhatIsNotAPool) {
  const auto open_code = [](const std::shared_ptr<CrashDisk>& disk) { return Open(disk).status().code(); };
  auto garbage = NewDisk();
  std::mt19937_64 random(5);
  for (std::byte& byte : garbage->written) byte = static_cast<std::byte>(random());
  const auto before = garbage->written;
  EXPECT_EQ(open_code(garbage), Code::kBadPool);
  EXPECT_EQ(garbage->written, before);

  auto newer = NewDisk();
  ASSERT_TRUE(Open(newer).ok());
  for (const std::size_t copy : {std::size_t{0}, format::kSuperblockStride}) newer->written[copy + 8] = std::byte{9};
  EXPECT_EQ(open_code(newer), Code::kPoolVersion);

  auto damaged = NewDisk();
  {
    auto opened = Open(damaged);
    Put(*opened->log, "a", "1");
    ASSERT_TRUE(opened->log->Seal().ok());
  }
  damaged->written[40] ^= std::byte{1};
  damaged->written[format::kSuperblockStride + 40] ^= std::byte{1};
  EXPECT_EQ(open_code(damaged), Code::kBadPool);

  EXPECT_EQ(open_code(std::make_shared<CrashDisk>(format::kDataOffset + kSegment)), Code::kPoolSize);
}

TEST(Pool, AFormatThatACrashInterruptedIsDoneAgain) {
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    auto disk = NewDisk();
    std::mt19937_64 random(seed);
    disk->fail_at_drain = 1;
    EXPECT_FALSE(Open(disk).ok());
    disk->Crash(random);
    EXPECT_TRUE(Open(disk).ok()) << "seed " << seed;
  }
}

// Fills the log up; returns how many records it holds.
std::size_t Fill(Log& log) {
  std::size_t count = Keys(log).size();
  const std::string value(100'000, 'v');
  const auto put = [&] {
    const std::string key = std::to_string(count);
    return log.Append({.kind = format::RecordKind::kPut, .key = key, .value = value, .expire_at = kNoExpiry}).ok();
  };
  while (put()) {
    ++count;
    EXPECT_TRUE(log.Seal().ok());
  }
  EXPECT_TRUE(log.Drain().ok());
  return count;
}

TEST(Pool, AFullOneThatGrowsKeepsItsLogAndWritesOn) {
  auto disk = NewDisk();
  const std::size_t before = Fill(*Open(disk)->log);
  std::mt19937_64 random(1);
  disk->Crash(random);
  auto opened = Open(disk, 64, kDisk + 8 * kSegment);
  ASSERT_TRUE(opened.ok()) << opened.status().ToString();
  EXPECT_EQ(opened->pool->geometry().segment_count, 16U);
  EXPECT_EQ(Keys(*opened->log).size(), before);
  EXPECT_GT(Fill(*opened->log), before + before / 2);
  const auto keys = Keys(*opened->log);
  *opened = {};
  // Smaller again in the configuration: nothing shrinks.
  opened = Open(disk, 64, kDisk);
  ASSERT_TRUE(opened.ok()) << opened.status().ToString();
  EXPECT_EQ(opened->pool->geometry().segment_count, 16U);
  EXPECT_EQ(Keys(*opened->log), keys);
}

TEST(Pool, ACrashAtAnyMomentOfGrowthIsHarmless) {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    std::mt19937_64 random(seed);
    auto disk = NewDisk();
    const std::size_t before = Fill(*Open(disk)->log);
    const auto grown = kDisk + (1 + random() % 8) * kSegment;
    disk->fail_at_drain = disk->drains + 2;  // of the superblock: written, not durable; the first is of what was there
    if (seed % 2 == 0) {
      EXPECT_EQ(Open(disk, 64, grown).status().code(), Code::kIoError);
    } else {
      ASSERT_TRUE(CrashMedia(disk, 64).Grow(grown).ok());  // the crash came before the superblock
    }
    disk->Crash(random);
    disk->fail_at_drain = ~0ULL;
    for (const std::uint64_t wanted : {std::uint64_t{0}, grown}) {
      auto opened = Open(disk, 64, wanted);
      ASSERT_TRUE(opened.ok()) << opened.status().ToString() << " seed " << seed;
      EXPECT_EQ(Keys(*opened->log).size(), before) << "seed " << seed;
      EXPECT_EQ(opened->pool->geometry().segment_count, (grown - format::kDataOffset) / kSegment) << "seed " << seed;
    }
    EXPECT_GT(Fill(*Open(disk)->log), before) << "seed " << seed;
  }
}

TEST(Pool, OneThatWasCutShortDoesNotGrowWholeAgain) {
  auto disk = NewDisk();
  Fill(*Open(disk)->log);
  disk->written.resize(kDisk - kSegment);
  disk->drained.resize(kDisk - kSegment);
  EXPECT_EQ(Open(disk, 64, kDisk).status().code(), Code::kBadPool);
  EXPECT_EQ(disk->written.size(), kDisk - kSegment) << "changed";
}

TEST(Pool, ALimitBindsTheLogButNotThePool) {
  auto disk = NewDisk();
  auto opened = Open(disk);
  opened->log->LimitSegments(3);
  EXPECT_EQ(opened->pool->geometry().segment_count, 3U);
  Fill(*opened->log);
  for (const auto& [generation, index] : opened->log->segments().in_order()) EXPECT_LT(index, 3U);
  opened->log->LimitSegments(100);
  EXPECT_EQ(opened->pool->geometry().segment_count, 8U);
  *opened = {};
  opened = Open(disk);
  EXPECT_EQ(opened->pool->geometry().segment_count, 8U);
  // Nor does a cluster of smaller pools make this one smaller.
  ASSERT_TRUE(opened->pool->Adopt(ClusterId{{1}}, {kSegment, 5, 64}, LogKey{}).ok());
  EXPECT_EQ(opened->pool->geometry().segment_count, 8U);
}

}  // namespace
}  // namespace faha
