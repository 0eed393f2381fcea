// Replay: which records of a log become keys, and of which database.
#include "store/engine.h"

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "log/record_kinds.h"
#include "log/scan.h"
#include "store/cleaner.h"
#include "store/database_map.h"
#include "tests/fakes/crash_media.h"
#include "tests/fakes/engine_node.h"

namespace faha {
namespace {

constexpr std::uint64_t kSegment = 1ULL << 20;

void Put(Log& log, std::string_view key, std::size_t value_bytes) {
  const std::string value(value_bytes, 'v');
  ASSERT_TRUE(log.Append({.key = key, .value = value}).ok());
}

// The rest of another unit, whose beginning was cleaned away with all that stood between the two, is not its rest.
// A command may write what it has just read, and what it has read may stand in the batch that it writes to.
TEST(Engine, PutsWhatStandsInTheOpenBatch) {
  EngineNode node;
  Engine& engine = *node.engine;
  const CollectionId hash = engine.NewCollection(), list = engine.NewCollection();
  std::string text(3000, 't');
  for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>('a' + i % 26);
  ASSERT_TRUE(engine.Put(0, "key", {text}).ok());
  ASSERT_TRUE(engine.PutElement(hash, ValueType::kHash, "field", text).ok());
  // Far more than a segment holds: the batch grows, and is sealed in the middle of the unit.
  for (int i = 0; i < 1000; ++i) {
    const std::string name = "copy " + std::to_string(i);
    const std::string before = i == 0 ? "key" : "copy " + std::to_string(i - 1);
    ASSERT_TRUE(engine.Put(0, name, *engine.Get(0, before)).ok());
    const auto element = engine.FindElement(hash, "field");
    ASSERT_TRUE(engine.PutElement(hash, ValueType::kHash, "field", element->value).ok());
    ASSERT_TRUE(
        engine.PutElement(list, ValueType::kList, LabelBytes(i), engine.FindElement(hash, "field")->value).ok());
    ASSERT_EQ(engine.Get(0, name)->value, text) << i;
    ASSERT_EQ(engine.FindElement(hash, "field")->value, text) << i;
    ASSERT_EQ(engine.FindElement(list, LabelBytes(i))->value, text) << i;
  }
}

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

// A backup restarts with a tail that was never committed, has applied what was, and is given another tail: what was the
// cold head's segment is not in the log any more, and its generation is that of a hot one.
TEST(Engine, ALogThatWasCutIsReadOnFromWhereItsNextBatchStandsNow) {
  auto disk = std::make_shared<CrashDisk>(format::kDataOffset + 8 * kSegment);
  auto pool = std::move(Pool::Open(std::make_unique<CrashMedia>(disk, 64), kSegment).value());
  auto log = std::move(Log::Open(pool.get(), {}).value());
  const std::string value(1000, 'v');
  Put(*log, "committed", 1000);
  ASSERT_TRUE(log->Seal().ok());
  ASSERT_TRUE(log->Append({.key = "never committed", .value = value}, Head::kCold).ok());
  ASSERT_TRUE(log->Seal().ok());
  Engine engine(log.get());
  engine.ApplyTo(Lsn{1});
  ASSERT_TRUE(log->CutAfter(Lsn{1}).ok());
  engine.LogWasCut();

  Put(*log, "hot", 1'047'000);
  ASSERT_TRUE(log->Seal().ok());
  ASSERT_TRUE(log->Append({.key = "cold", .value = value}, Head::kCold).ok());
  ASSERT_TRUE(log->Seal().ok());
  engine.ApplyTo(log->end().lsn);
  EXPECT_TRUE(engine.Get(0, "hot"));
  EXPECT_TRUE(engine.Get(0, "cold"));
  EXPECT_FALSE(engine.Get(0, "never committed"));
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

// --- Swapped databases.

TEST(DatabaseMap, AgreesWithAPermutation) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    std::mt19937_64 random(seed);
    constexpr DbId kMost = 9;
    std::vector<DbId> model;
    for (DbId db = 0; db < kMost; ++db) model.push_back(db);
    DatabaseMap map;
    for (std::uint64_t swaps = random() % 12; swaps > 0; --swaps) {
      const auto a = static_cast<DbId>(random() % kMost), b = static_cast<DbId>(random() % kMost);
      map.Swap(a, b);
      std::swap(model[a], model[b]);
      if (random() % 3 == 0) map.Restore(DatabaseMap(map).swapped());
      EXPECT_TRUE(IsSwap(map.swapped())) << "seed " << seed;
      for (DbId db = 0; db < kMost; ++db) {
        ASSERT_EQ(map.Stored(db), model[db]) << "seed " << seed;
        ASSERT_EQ(map.Named(model[db]), db) << "seed " << seed;
      }
      EXPECT_EQ(map.Stored(kMost), kMost);
      EXPECT_EQ(map.Named(kMost), kMost);
    }
  }
}

// A node of one, at work on a medium.
struct Worker {
  explicit Worker(std::shared_ptr<CrashDisk> on)
      : disk(std::move(on)),
        pool(std::move(Pool::Open(std::make_unique<CrashMedia>(disk, 64), kSegment, 0, kElementsLevel).value())),
        log(std::move(Log::Open(pool.get(), {}).value())),
        engine(log.get()),
        cleaner(log.get(), &engine) {
    engine.Replay(log->end().lsn);
  }
  void Put(DbId db, std::string_view key, std::size_t bytes = 1) {
    ASSERT_TRUE(engine.Put(db, key, {std::string(bytes, 'v')}).ok());
    Commit();
  }
  void Swap(DbId a, DbId b) {
    ASSERT_TRUE(engine.Swap(a, b).ok());
    Commit();
  }
  // A hash with these fields under a key.
  void PutHash(DbId db, std::string_view key, std::initializer_list<std::string_view> fields) {
    ASSERT_TRUE(pool->RaiseLevel(kElementsLevel).ok());
    const CollectionId id = engine.NewCollection();
    for (const std::string_view field : fields)
      ASSERT_TRUE(engine.PutElement(id, ValueType::kHash, field, "value").ok());
    const CollectionIdBytes name = BytesOf(id);
    ASSERT_TRUE(engine.Put(db, key, {{name.data(), name.size()}, kNoExpiry, ValueType::kHash, true}).ok());
    Commit();
  }
  [[nodiscard]] bool HasField(DbId db, std::string_view key, std::string_view field) {
    const auto entry = engine.Get(db, key);
    return entry && engine.FindElement(ReadCollectionId(entry->value), field).has_value();
  }
  // As the node does it.
  void Config(std::string_view members) {
    ASSERT_TRUE(log->Append({.kind = format::RecordKind::kConfig, .key = {}, .value = members}).ok());
    Commit();
    cleaner.SetConfig(log->end().lsn);
  }
  void Commit() {
    ASSERT_TRUE(log->Seal().ok());
    ASSERT_TRUE(log->Drain().ok());
    log->SetCommitted(log->end().lsn);
    engine.Appended();
    engine.Committed(log->end().lsn);
  }
  void Release() {
    ASSERT_TRUE(log->Release(log->end().lsn,
                             [this](const Segment& segment) {
                               engine.Forget(segment.index);
                               return true;
                             })
                    .ok());
  }
  // Segments are filled with a key that is overwritten, and cleaned, until the one that clients write to now is given
  // back.
  void CleanTail() {
    const std::uint64_t tail = log->segments().Tail(Head::kHot)->generation;
    for (int i = 0; i < 1000 && log->segments().in_order().contains(tail); ++i) {
      Put(9, "filler", 200'000);
      ASSERT_TRUE(cleaner.Step(kSegment, log->end().lsn, log->end().lsn).ok());
      Commit();
      if (cleaner.WantsConfig()) Config(std::string(NewestConfig(*pool)));
      Release();
    }
    ASSERT_FALSE(log->segments().in_order().contains(tail));
  }

  std::shared_ptr<CrashDisk> disk;
  std::unique_ptr<Pool> pool;
  std::unique_ptr<Log> log;
  Engine engine;
  Cleaner cleaner;
};
std::shared_ptr<CrashDisk> NewDisk();

// Commands wait while the cleaner works, so what a flush has left to it is done in pieces.
TEST(Cleaner, TakesDownWhatWasFlushedInPieces) {
  Worker worker(NewDisk());
  worker.Put(0, "k");
  constexpr int kKeys = 50'000;
  for (int i = 0; i < kKeys; ++i) ASSERT_TRUE(worker.engine.Put(3, std::to_string(i), {"v"}).ok());
  worker.Commit();
  ASSERT_TRUE(worker.engine.Flush(DbId{3}).ok());
  worker.Commit();
  const std::uint64_t all = worker.engine.usage().live_bytes();
  const Lsn end = worker.log->end().lsn;
  int pieces = 0;
  for (std::uint64_t before = all; !worker.cleaner.victim(); ++pieces) {
    const auto worked = worker.cleaner.Step(1, end, end);
    ASSERT_TRUE(worked.ok() && *worked);
    EXPECT_LE(before - worker.engine.usage().live_bytes(), all / 4);
    before = worker.engine.usage().live_bytes();
  }
  EXPECT_GT(pieces, 5);
  EXPECT_LT(worker.engine.usage().live_bytes(), all / kKeys * 10);
}

// At the end of a term, or for its age, a segment may be left with hardly anything in it.
TEST(Cleaner, ASegmentThatWasLeftEarlyIsGivenBack) {
  Worker worker(NewDisk());
  for (const std::string_view key : {"a", "b"}) {
    worker.Put(0, key);
    worker.CleanTail();  // the cold head holds it
    worker.log->RetireTail(Head::kCold);
  }
  for (const std::string_view key : {"a", "b", "filler"}) {
    ASSERT_TRUE(worker.engine.Delete(key == "filler" ? 9 : 0, key).ok());
    worker.Commit();
  }
  for (int i = 0; i < 20; ++i) {
    const Lsn end = worker.log->end().lsn;
    ASSERT_TRUE(worker.cleaner.Step(kSegment, end, end, true).ok());
    worker.Commit();
    worker.Release();
  }
  EXPECT_LE(worker.log->segments().in_order().size(), 2U) << "but for the two that are written to nothing is needed";
}

std::shared_ptr<CrashDisk> NewDisk() { return std::make_shared<CrashDisk>(format::kDataOffset + 8 * kSegment); }

// What a record of a kind does, and whether it is so.  A kind that is added needs a case here.
struct Effect {
  std::function<void(Worker&)> write;
  std::function<bool(Worker&)> holds;
};

Effect EffectOf(format::RecordKind kind) {
  // A segment with a key, so much of which lives that it is not cleaned soon, or less; then another one begins.
  const auto older = [](Worker& node, int lives) {
    node.Put(3, "k");
    for (int i = 0; i < 4; ++i) node.Put(i < lives ? 0 : 9, i < lives ? std::to_string(i) : "filler", 250'000);
    node.Put(9, "filler", 200'000);
  };
  const auto key_is_gone = [](Worker& node) { return !node.engine.Get(3, "k") && node.engine.Get(0, "0"); };
  switch (kind) {
    case format::RecordKind::kPut:
      return {[](Worker& node) { node.Put(3, "k"); }, [](Worker& node) { return node.engine.Get(3, "k").has_value(); }};
    case format::RecordKind::kDelete:
      return {[older](Worker& node) {
                older(node, 4);
                EXPECT_TRUE(node.engine.Delete(3, "k").ok());
                node.Commit();
              },
              key_is_gone};
    case format::RecordKind::kFlush:
      return {[older](Worker& node) {
                older(node, 1);
                EXPECT_TRUE(node.engine.Flush(DbId{3}).ok());
                node.Commit();
              },
              key_is_gone};
    case format::RecordKind::kSwap:
      return {[](Worker& node) {
                node.Put(3, "k");
                node.Swap(3, 5);
              },
              [](Worker& node) { return node.engine.Get(5, "k") && !node.engine.Get(3, "k"); }};
    case format::RecordKind::kElement:
      return {[](Worker& node) { node.PutHash(3, "h", {"field"}); },
              [](Worker& node) { return node.HasField(3, "h", "field"); }};
    case format::RecordKind::kElementErased:
      return {[older](Worker& node) {
                node.PutHash(3, "h", {"field", "another"});
                older(node, 4);
                const auto entry = node.engine.Get(3, "h");
                EXPECT_TRUE(node.engine.EraseElement(ReadCollectionId(entry->value), "field").ok());
                node.Commit();
              },
              [](Worker& node) { return !node.HasField(3, "h", "field") && node.HasField(3, "h", "another"); }};
    case format::RecordKind::kConfig:
      return {[](Worker& node) { node.Config("members"); },
              [](Worker& node) { return NewestConfig(*node.pool) == "members"; }};
    case format::RecordKind::kEpochStart:
      return {[](Worker& node) {
                node.log->SetEpoch(Epoch{7});
                EXPECT_TRUE(node.log->Append({.kind = format::RecordKind::kEpochStart, .key = {}, .value = {}}).ok());
                node.Commit();
              },
              [](Worker& node) { return node.log->end().epoch == Epoch{7}; }};
    case format::RecordKind::kFree:
      return {[](Worker& node) {
                node.Put(0, "k");
                node.CleanTail();
              },
              [](Worker& node) { return node.log->segments().in_order().size() < 5; }};
  }
  return {};
}

class EveryKind : public testing::TestWithParam<RecordKindInfo> {};

TEST_P(EveryKind, DoesWhatItDoesAfterItsSegmentWasGivenBack) {
  const Effect effect = EffectOf(GetParam().kind);
  ASSERT_TRUE(effect.write && effect.holds);
  auto disk = NewDisk();
  {
    Worker node(disk);
    effect.write(node);
    node.CleanTail();
    EXPECT_TRUE(effect.holds(node));
  }
  Worker again(disk);
  EXPECT_TRUE(effect.holds(again)) << "after a restart";
}

INSTANTIATE_TEST_SUITE_P(Records, EveryKind, testing::ValuesIn(kRecordKinds),
                         [](const auto& test) { return std::string(test.param.name); });

TEST(Engine, TheNewestSwapOutlivesItsSegment) {
  auto disk = NewDisk();
  {
    Worker node(disk);
    node.Put(0, "k");
    node.Swap(0, 5);
    node.CleanTail();
    EXPECT_TRUE(node.engine.Get(5, "k"));
  }
  Worker again(disk);
  EXPECT_TRUE(again.engine.Get(5, "k"));
  EXPECT_FALSE(again.engine.Get(0, "k"));
}

// The cold head may hold the older one for long.
TEST(Engine, ASwapThatUndoesAnotherOutlivesItsSegmentToo) {
  auto disk = NewDisk();
  {
    Worker node(disk);
    node.Put(0, "k");
    node.Swap(0, 5);
    node.CleanTail();  // now the swap is in the cold head's segment
    node.Swap(5, 0);
    node.CleanTail();
  }
  Worker again(disk);
  EXPECT_TRUE(again.engine.Get(0, "k"));
  EXPECT_FALSE(again.engine.Get(5, "k"));
}

TEST(Engine, ACheckpointKnowsTheSwapAndWhereItStands) {
  auto disk = NewDisk();
  {
    Worker node(disk);
    node.Put(0, "k");
    node.Swap(0, 5);
    std::vector<std::byte> bytes;
    ASSERT_TRUE(node.engine.Save([&](std::span<const std::byte> piece) {
      bytes.insert(bytes.end(), piece.begin(), piece.end());
      return true;
    }));
    node.engine.RollBackTo(Lsn{});
    ASSERT_FALSE(node.engine.Get(5, "k"));
    std::span<const std::byte> rest = bytes;
    ASSERT_TRUE(node.engine.Load(
        [&](std::span<std::byte> piece) {
          std::copy_n(rest.begin(), piece.size(), piece.begin());
          rest = rest.subspan(piece.size());
          return true;
        },
        bytes.size()));
    EXPECT_TRUE(node.engine.Get(5, "k"));
    node.CleanTail();
  }
  Worker again(disk);
  EXPECT_TRUE(again.engine.Get(5, "k"));
}

TEST(Engine, ACheckpointBringsTheSeedOfItsHashes) {
  Worker node(NewDisk());
  for (int i = 0; i < 1000; ++i) node.Put(0, std::to_string(i), 10);
  std::vector<std::byte> bytes;
  ASSERT_TRUE(node.engine.Save([&](std::span<const std::byte> piece) {
    bytes.insert(bytes.end(), piece.begin(), piece.end());
    return true;
  }));
  Engine other(node.log.get());
  std::span<const std::byte> rest = bytes;
  ASSERT_TRUE(other.Load(
      [&](std::span<std::byte> piece) {
        std::copy_n(rest.begin(), piece.size(), piece.begin());
        rest = rest.subspan(piece.size());
        return true;
      },
      bytes.size()));
  other.CheckInvariants();
  for (int i = 0; i < 1000; ++i) EXPECT_TRUE(other.Get(0, std::to_string(i)));
}

TEST(Engine, ARollbackTakesASwapBack) {
  Worker node(NewDisk());
  node.Put(0, "k");
  const Lsn before = node.log->end().lsn;
  ASSERT_TRUE(node.engine.Swap(0, 5).ok());
  ASSERT_TRUE(node.log->Seal().ok());
  node.engine.Appended();
  node.engine.RollBackTo(before);
  EXPECT_TRUE(node.engine.Get(0, "k"));
  EXPECT_FALSE(node.engine.Get(5, "k"));
  node.engine.ApplyTo(node.log->end().lsn);
  EXPECT_TRUE(node.engine.Get(5, "k"));
}

// --- Flushed databases.

std::uint64_t LiveBytes(const Engine& engine) { return engine.usage().live_bytes(); }

TEST(Engine, AFlushOfManyKeysIsDoneAtOnceAndCountedLater) {
  Worker node(NewDisk());
  for (int i = 0; i < 2000; ++i) node.Put(1, std::to_string(i), 100);
  node.Put(0, "stays", 100);
  const std::uint64_t stays = node.engine.usage().live_bytes() / 2001;
  ASSERT_TRUE(node.engine.Flush(DbId{1}).ok());
  node.Commit();
  EXPECT_EQ(node.engine.Size(), 1U);
  EXPECT_FALSE(node.engine.Get(1, "7"));
  EXPECT_GT(LiveBytes(node.engine), 1000 * stays) << "nobody has looked at so many records";
  // The database is there again while its old keys are counted.
  node.Put(1, "7", 100);
  EXPECT_TRUE(node.engine.Tend());
  EXPECT_TRUE(node.engine.Get(1, "7"));
  while (node.engine.Tend()) node.engine.CheckInvariants();
  EXPECT_LE(LiveBytes(node.engine), 2 * stays + 16);
  EXPECT_EQ(node.engine.Size(), 2U);
}

// The segments of flushed records are given back and used again before anybody has looked at the records.
TEST(Engine, WhatWasFlushedMayBeGoneBeforeItIsCounted) {
  Worker node(NewDisk());
  for (int i = 0; i < 900; ++i) i % 3 == 0 ? node.Put(0, "again", 1000) : node.Put(1, std::to_string(i), 1000);
  for (int i = 0; i < 3; ++i) node.Put(0, "filler", 600'000);
  // The cleaner has chosen the first segment when its keys are flushed.
  for (int i = 0; i < 10 && !node.cleaner.victim(); ++i) {
    ASSERT_TRUE(node.cleaner.Step(1, node.log->end().lsn, node.log->end().lsn).ok());
    node.Commit();
  }
  ASSERT_EQ(node.cleaner.victim(), std::optional<std::uint32_t>(0));
  ASSERT_TRUE(node.engine.Flush(DbId{1}).ok());
  node.Commit();
  while (node.cleaner.victim()) {
    ASSERT_TRUE(node.cleaner.Step(1 << 16, node.log->end().lsn, node.log->end().lsn).ok());
    node.Commit();
  }
  node.Release();
  ASSERT_FALSE(node.log->segments().InUse(0));
  // Another one behind it, which is kept for the cleaner.
  node.Put(0, "dead", 1'000'000);
  const std::uint32_t other = node.log->segments().Tail(Head::kHot)->index;
  node.Put(0, "dead", 1'000'000);
  ASSERT_TRUE(node.log->AppendFree(other).ok());
  node.Commit();
  node.Release();
  for (int i = 0; i < 1000 && !node.log->segments().InUse(0); ++i) node.Put(0, std::to_string(i), 9000);
  ASSERT_TRUE(node.log->segments().InUse(0));
  for (int i = 0; i < 5; ++i) node.Put(0, "new" + std::to_string(i), 9000);
  node.engine.SettleUsage();
  node.engine.CheckInvariants();
  std::uint64_t live = 0;
  node.engine.ForEachKey(0, [&](std::string_view key) {
    live += format::RecordBytes(key.size(), node.engine.Get(0, key)->value.size(), false);
  });
  EXPECT_EQ(LiveBytes(node.engine), live);
}

TEST(Engine, NothingIsWrittenForASwapThatNobodyCanTell) {
  Worker node(NewDisk());
  node.Swap(3, 4);
  node.Put(0, "k");
  node.Swap(0, 0);
  EXPECT_EQ(node.log->end().lsn, Lsn{1});
  node.Swap(0, 4);
  EXPECT_EQ(node.log->end().lsn, Lsn{2});
}

}  // namespace
}  // namespace faha
