// What a superblock keeps besides a promise: the cluster's key, the pool's seed, what an install gives up; and how a
// pool of the version before gets them.
#include "log/pool.h"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <tuple>

#include "base/checksum.h"
#include "log/log.h"
#include "tests/fakes/crash_media.h"

namespace faha {
namespace {

constexpr std::uint64_t kSegment = 1ULL << 20;
using Disk = std::shared_ptr<CrashDisk>;

Disk NewDisk() { return std::make_shared<CrashDisk>(format::kDataOffset + 8 * kSegment); }

std::unique_ptr<Pool> Open(const Disk& disk) {
  auto pool = Pool::Open(std::make_unique<CrashMedia>(disk, 64), kSegment);
  EXPECT_TRUE(pool.ok()) << pool.status().ToString();
  return std::move(pool.value());
}

std::uint32_t VersionOf(const Disk& disk, std::uint64_t copy) {
  std::uint32_t version = 0;
  std::memcpy(&version, &disk->written[copy * format::kSuperblockStride + offsetof(format::Superblock, version)],
              sizeof version);
  return version;
}

// The superblocks become what a release wrote that knew version 2 alone; there was no key in them.
void MakeUnkeyed(const Disk& disk) {
  for (const std::uint64_t copy : {0, 1}) {
    const auto bytes = std::span(disk->written).subspan(copy * format::kSuperblockStride, sizeof(format::Superblock));
    std::fill(bytes.begin() + format::kUnkeyedSuperblockBytes, bytes.end(), std::byte{0});
    if (std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; })) continue;
    std::memcpy(&bytes[offsetof(format::Superblock, version)], &format::kUnkeyedPoolVersion, sizeof(std::uint32_t));
    const std::uint64_t sum = Checksum(bytes.first(format::kUnkeyedSuperblockChecksum));
    std::memcpy(&bytes[format::kUnkeyedSuperblockChecksum], &sum, sizeof sum);
  }
  disk->DrainAll();
  disk->drained = disk->written;
}

// A pool of version 2 that has promised an epoch.
Disk NewUnkeyed(NodeId& node, bool installing = false) {
  Disk disk = NewDisk();
  auto pool = Open(disk);
  EXPECT_TRUE(pool->SetPromise(Epoch{7}, pool->node()).ok());
  if (installing) {
    EXPECT_TRUE(pool->BeginInstall({}, {}).ok());
  }
  node = pool->node();
  pool.reset();
  MakeUnkeyed(disk);
  return disk;
}

void Write(Pool* pool, std::string_view key) {
  auto log = std::move(Log::Open(pool, {}).value());
  log->SetEpoch(Epoch{7});
  ASSERT_TRUE(log->Append({.key = key, .value = "v"}).ok());
  ASSERT_TRUE(log->Seal().ok() && log->Drain().ok());
}

TEST(Pool, SegmentsAreChosenByItsSize) {
  EXPECT_EQ(ChosenSegmentBytes(1), 1ULL << 20);
  EXPECT_EQ(ChosenSegmentBytes(64ULL << 20), 1ULL << 20);
  EXPECT_EQ(ChosenSegmentBytes((256ULL << 20) - 1), 2ULL << 20);
  EXPECT_EQ(ChosenSegmentBytes(1ULL << 30), 16ULL << 20);
  EXPECT_EQ(ChosenSegmentBytes(1ULL << 40), 16ULL << 20);
  const Disk disk = NewDisk();
  auto pool = Pool::Open(std::make_unique<CrashMedia>(disk, 64), 0);
  ASSERT_TRUE(pool.ok()) << pool.status().ToString();
  EXPECT_EQ(pool.value()->geometry().segment_bytes, 1ULL << 20);
}

TEST(Pool, EveryNewOneHasAKeyAndASeedOfItsOwnWhichStay) {
  auto one = NewDisk(), other = NewDisk();
  const LogKey key = Open(one)->log_key();
  const std::uint64_t seed = Open(one)->hash_seed();
  EXPECT_FALSE(key.IsNone());
  EXPECT_NE(key, Open(other)->log_key());
  EXPECT_NE(seed, Open(other)->hash_seed());
  EXPECT_EQ(key, Open(one)->log_key());
  EXPECT_EQ(seed, Open(one)->hash_seed());
}

TEST(Pool, OneThatIsAdoptedTakesTheKeyAndKeepsItsSeed) {
  auto disk = NewDisk();
  auto pool = Open(disk);
  const NodeId node = pool->node();
  const std::uint64_t seed = pool->hash_seed();
  auto log = std::move(Log::Open(pool.get(), {}).value());
  ASSERT_TRUE(pool->BeginInstall({}, kUnknownClaim).ok());
  ASSERT_TRUE(pool->Adopt(ClusterId{{7}}, pool->geometry(), LogKey{1, 2}).ok());
  EXPECT_EQ(pool->claim(), LogEnd{}) << "what it had was another cluster's";
  // The log that was there before has the key as well.
  log->Reset();
  ASSERT_TRUE(log->Append({.key = "k", .value = "v"}).ok());
  ASSERT_TRUE(log->Seal().ok());
  EXPECT_TRUE(BatchView::Parse(pool->SegmentBytes(0), LogKey{1, 2}).has_value());
  pool = Open(disk);
  EXPECT_EQ(pool->log_key(), (LogKey{1, 2}));
  EXPECT_EQ(pool->hash_seed(), seed);
  EXPECT_EQ(pool->node(), node);
}

// Whatever the newer copy said, the other one says it, too.
TEST(Pool, DamageOfOneSuperblockCopyTakesNothingBack) {
  using Change = Status (*)(Pool&);
  const Change changes[] = {[](Pool& pool) { return pool.SetPromise(Epoch{7}, NodeId{{7}}); },
                            [](Pool& pool) { return pool.SetLeader(Epoch{9}, NodeId{{9}}); },
                            [](Pool& pool) {
                              return pool.GoOnInstalling({"host", 1}, {Epoch{9}, Lsn{5}});
                            },
                            [](Pool& pool) { return pool.EndInstall(); },
                            [](Pool& pool) { return pool.SetNote("a note"); },
                            [](Pool& pool) { return pool.RaiseLevel(kHighestLevel); }};
  const auto meaning = [](const Pool& pool) {
    return std::tuple(pool.promised(), pool.voted_for(), pool.leader(), pool.installing(), pool.claim(),
                      std::string(pool.note()), pool.level());
  };
  for (const std::uint64_t copy : {0, 1}) {
    auto disk = NewDisk();
    for (const Change change : changes) {
      auto pool = Open(disk);
      ASSERT_TRUE(change(*pool).ok());
      const auto before = meaning(*pool);
      pool.reset();
      disk->written[copy * format::kSuperblockStride + offsetof(format::Superblock, node)] ^= std::byte{1};
      pool = Open(disk);
      EXPECT_EQ(meaning(*pool), before) << "copy " << copy;
      EXPECT_TRUE(pool->copy_was_lost());
      EXPECT_TRUE(pool->ReadCopy(0) && pool->ReadCopy(1)) << "it is written again";
    }
  }
}

TEST(Pool, TheClaimIsTheHighestOfAllInstallsSinceTheLogWasWhole) {
  auto disk = NewDisk();
  const auto begin = [&](LogEnd claim) {
    auto pool = Open(disk);
    EXPECT_TRUE(pool->BeginInstall({}, claim).ok());
    EXPECT_EQ(pool->claim(), Open(disk)->claim()) << "it is in the pool";
    return pool->claim();
  };
  constexpr LogEnd kEnd{Epoch{2}, Lsn{10}};
  EXPECT_EQ(begin(kEnd), kEnd);
  EXPECT_EQ(begin({Epoch{2}, Lsn{9}}), kEnd);
  EXPECT_EQ(begin({Epoch{1}, Lsn{99}}), kEnd);
  EXPECT_EQ(begin({Epoch{3}, Lsn{1}}), (LogEnd{Epoch{3}, Lsn{1}}));
  EXPECT_EQ(begin(kUnknownClaim), kUnknownClaim);
  EXPECT_EQ(begin(kEnd), kUnknownClaim);
  ASSERT_TRUE(Open(disk)->EndInstall().ok());
  EXPECT_EQ(Open(disk)->claim(), LogEnd{});
  EXPECT_EQ(begin(kEnd), kEnd) << "the log was whole in between";
}

TEST(Pool, AReleaseThatDoesNotKnowItsLevelRefusesIt) {
  const auto open = [](const Disk& disk, FeatureLevel reads) {
    return Pool::Open(std::make_unique<CrashMedia>(disk, 64), kSegment, 0, reads);
  };
  auto disk = NewDisk();
  EXPECT_EQ(open(disk, 3).value()->level(), kLowestLevel);
  ASSERT_TRUE(open(disk, 3).value()->RaiseLevel(2).ok());
  const auto refused = open(disk, 1);
  EXPECT_EQ(refused.status().code(), Code::kPoolVersion);
  EXPECT_NE(refused.status().message().find("feature level 2"), std::string::npos) << refused.status().message();
  EXPECT_EQ(open(disk, 2).value()->level(), 2);
  ASSERT_TRUE(open(disk, 3).value()->RaiseLevel(1).ok());
  EXPECT_EQ(open(disk, 3).value()->level(), 2) << "it never falls";
  // Whichever copy is lost.
  for (const std::uint64_t copy : {0, 1}) {
    auto torn = std::make_shared<CrashDisk>(*disk);
    torn->written[copy * format::kSuperblockStride + 100] ^= std::byte{1};
    torn->drained = torn->written;
    EXPECT_EQ(open(torn, 1).status().code(), Code::kPoolVersion) << "copy " << copy;
  }
  ASSERT_TRUE(open(disk, 2).value()->Adopt(ClusterId{{7}}, Open(NewDisk())->geometry(), LogKey{1, 2}).ok());
  EXPECT_TRUE(open(disk, 1).ok()) << "the cluster that it belongs to now may be at a lower one";
}

// No release has written the level that both copies name: they are damaged.
TEST(Pool, ADamagedLevelIsNotTakenForThatOfALaterRelease) {
  auto disk = NewDisk();
  Write(Open(disk).get(), "first");
  for (const std::uint64_t copy : {0, 1}) {
    std::memset(&disk->written[copy * format::kSuperblockStride + offsetof(format::Superblock, features)], 0xff, 4);
  }
  disk->drained = disk->written;
  const auto opened = Pool::Open(std::make_unique<CrashMedia>(disk, 64), kSegment);
  EXPECT_EQ(opened.status().code(), Code::kBadPool) << opened.status().message();
}

TEST(Pool, OneOfVersion2IsReadWithoutAKeyAndBecomesOneOfThisVersion) {
  NodeId node;
  auto disk = NewUnkeyed(node);
  Write(Open(disk).get(), "first");
  MakeUnkeyed(disk);  // so that this batch is one of version 2
  auto pool = Open(disk);
  EXPECT_EQ(pool->node(), node);
  EXPECT_EQ(pool->promised(), Epoch{7});
  EXPECT_TRUE(pool->log_key().IsNone());
  EXPECT_NE(pool->hash_seed(), 0U);
  // A release that knows version 2 alone must not find a copy that it takes for the newest.
  for (const std::uint64_t copy : {0, 1}) EXPECT_EQ(VersionOf(disk, copy), format::kPoolVersion);
  Write(pool.get(), "second");
  pool = Open(disk);
  EXPECT_EQ(Log::Open(pool.get(), {}).value()->end().lsn, Lsn{2});
  // What version 2 had, to the bit.
  const auto batch = *Log::Open(pool.get(), {}).value()->Find(Lsn{1});
  EXPECT_EQ(batch.view.header().magic, format::kBatchMagic);
  const auto head = batch.bytes.first(offsetof(format::BatchHeader, checksum));
  const auto payload = batch.bytes.subspan(sizeof(format::BatchHeader), batch.view.header().payload_bytes);
  EXPECT_EQ(batch.view.header().checksum, Checksum(head, payload));
}

TEST(Pool, OneOfVersion2ThatIsLookedAtStaysSo) {
  NodeId node;
  auto disk = NewUnkeyed(node);
  const auto before = disk->written;
  auto pool = Pool::Inspect(std::make_unique<CrashMedia>(disk, 64));
  ASSERT_TRUE(pool.ok()) << pool.status().ToString();
  EXPECT_EQ((*pool)->node(), node);
  EXPECT_TRUE((*pool)->log_key().IsNone());
  EXPECT_TRUE(disk->written == before);
}

TEST(Pool, OneOfVersion2ThatWasInstallingGaveUpNobodyKnowsWhat) {
  NodeId node;
  auto disk = NewUnkeyed(node, true);
  EXPECT_TRUE(Open(disk)->installing());
  EXPECT_EQ(Open(disk)->claim(), kUnknownClaim);
}

TEST(Pool, ACrashAtAnyMomentOfTheChangeOfVersionIsHarmless) {
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    std::mt19937_64 random(seed);
    NodeId node;
    auto disk = NewUnkeyed(node);
    disk->fail_at_drain = disk->drains + 1 + seed % 2;  // of the first copy, or of the second
    EXPECT_FALSE(Pool::Open(std::make_unique<CrashMedia>(disk, 64), kSegment).ok());
    disk->Crash(random, kCrashModes.at(seed / 2 % kCrashModes.size()));
    disk->fail_at_drain = ~0ULL;
    auto pool = Open(disk);
    EXPECT_EQ(pool->node(), node) << "seed " << seed;
    EXPECT_EQ(pool->promised(), Epoch{7}) << "seed " << seed;
    EXPECT_TRUE(pool->log_key().IsNone()) << "seed " << seed;
  }
}

}  // namespace
}  // namespace faha
