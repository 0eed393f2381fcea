// A rollback leaves what a replay of the same log makes: for histories of everything that a primary does, cut at
// random.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "store/cleaner.h"
#include "store/engine.h"
#include "tests/fakes/crash_media.h"

namespace faha {
namespace {

constexpr std::uint64_t kSegment = 1ULL << 20;
constexpr std::uint64_t kSegments = 16;
constexpr DbId kDatabases = 4;

// All that can be told of an engine.
struct Picture {
  std::map<std::pair<DbId, std::string>, std::pair<std::string, TimeMs>> keys;
  std::vector<std::uint64_t> numbers;
  bool operator==(const Picture&) const = default;
};

Picture PictureOf(Engine& engine) {
  Picture picture;
  const auto add = [&](std::uint64_t number) { picture.numbers.push_back(number); };
  for (DbId db = 0; db < kDatabases; ++db) {
    add(engine.Size(db));
    add(engine.Expiring(db));
    add(engine.Named(db));
    engine.ForEachKey(db, [&](std::string_view key) {
      const auto entry = engine.Get(db, key);
      EXPECT_TRUE(entry);
      if (entry) picture.keys[{db, std::string(key)}] = {std::string(entry->value), entry->expire_at};
    });
  }
  for (const SegmentUsage& usage : engine.usage().segments()) {
    add(usage.live_bytes);
    add(usage.tombstone_bytes);
    add(usage.flushes);
    add(usage.packed);
  }
  add(engine.usage().live_bytes());
  add(engine.usage().tombstone_bytes());
  add(engine.usage().flushes());
  add(engine.usage().packed());
  add(engine.SwapBytes());
  add(engine.touched() ? 1 : 0);
  add(engine.settled() ? 1 : 0);
  add(engine.applied().value);
  return picture;
}

class Primary {
 public:
  explicit Primary(std::uint64_t seed) : random_(seed) {
    log_->SetEpoch(Epoch{1});
    engine_->SetHotBytes(random_() % 2 * 2 * kSegment);
  }

  void Step() {
    switch (random_() % 40) {
      case 0: return Flush(std::nullopt);
      case 1:
      case 2: return Flush(AnyDb());
      case 3: return Do([&] { return engine_->Swap(AnyDb(), AnyDb()); });
      case 4:
      case 5: return PutMany();
      case 6: return Large();
      case 7:
      case 8: return Clean();
      case 9:
      case 10: return Commit();
      case 11:
      case 12: return RollBack();
      case 13: return Tend();
      default: return Few();
    }
  }
  [[nodiscard]] int rollbacks() const { return rollbacks_; }
  [[nodiscard]] std::uint64_t replays() const { return engine_->replays(); }
  [[nodiscard]] int halves() const { return halves_; }
  [[nodiscard]] int moves() const { return moves_; }

 private:
  DbId AnyDb() { return static_cast<DbId>(random_() % kDatabases); }
  std::string AnyKey() { return std::to_string(random_() % (random_() % 4 == 0 ? 3000 : 20)); }
  TimeMs AnyExpiry() { return random_() % 3 == 0 ? static_cast<TimeMs>(1 + random_() % 1000) : kNoExpiry; }

  template <typename Function>
  void Do(Function write) {
    if (Room(100)) {
      ASSERT_TRUE(write().ok());
    }
    End();
  }
  void Put(std::size_t bytes) {
    const std::string value(bytes, static_cast<char>('a' + random_() % 26));
    ASSERT_TRUE(engine_->Put(AnyDb(), AnyKey(), {value, AnyExpiry()}).ok());
  }
  bool Room(std::uint64_t bytes) { return log_->HasRoom(bytes, Log::kReservedSegments + 2); }
  void Few() {
    for (std::uint64_t i = random_() % 6; i > 0 && Room(4000); --i) {
      const std::uint64_t dice = random_() % 10;
      if (dice < 5) {
        Put(random_() % 1000);
      } else if (dice < 7) {
        ASSERT_TRUE(engine_->Delete(AnyDb(), AnyKey()).ok());
      } else {
        (void)engine_->Get(AnyDb(), AnyKey());
      }
    }
    End();
  }
  void PutMany() {
    const DbId db = AnyDb();
    for (int i = 0; i < 700 && Room(300); ++i) {
      ASSERT_TRUE(engine_->Put(db, std::to_string(i), {std::string(random_() % 100, 'm'), AnyExpiry()}).ok());
    }
    End();
  }
  // A unit that does not fit into one segment.
  void Large() {
    if (!Room(6 * kSegment / 2)) return;
    for (int i = 0; i < 5; ++i) Put(kSegment / 2 - random_() % 1000);
    End();
  }
  void Flush(std::optional<DbId> db) {
    Do([&] { return engine_->Flush(db); });
  }
  // Most units end at once; one in some goes on with what comes next.
  void End() {
    if (random_() % 8 == 0) return;
    log_->EndUnit();
    engine_->SettleHot();
    if (random_() % 3 == 0) Seal();
  }
  void Seal() {
    ASSERT_TRUE(log_->Seal().ok());
    engine_->Appended();
  }
  void Tend() {
    for (std::uint64_t i = random_() % 5; i > 0; --i) engine_->Tend();
  }
  // Some of what was sealed is committed, and what that frees is given back.
  void Commit() {
    ASSERT_TRUE(log_->Drain().ok());
    const std::uint64_t pending = log_->end().lsn.value - committed_.value;
    committed_ = Lsn{committed_.value + (random_() % 2 == 0 ? pending : random_() % (pending + 1))};
    log_->SetCommitted(committed_);
    engine_->Committed(committed_);
    ASSERT_TRUE(log_->Release(committed_,
                              [&](const Segment& segment) {
                                engine_->Forget(segment.index);
                                return true;
                              })
                    .ok());
  }
  void Clean() {
    Seal();
    for (int i = 0; i < 3; ++i) {
      ASSERT_TRUE(cleaner_.Step(1U << (10 + random_() % 10), committed_, committed_).ok());
      engine_->Appended();
    }
    if (cleaner_.stats().moved_bytes > 0) ++moves_;
  }
  // To any batch that may be cut, with a batch open or not.
  void RollBack() {
    const Lsn floor = std::max({committed_, log_->known_committed(), log_->freed_through()});
    const Lsn end = log_->end().lsn;
    Lsn keep{floor.value + random_() % (end.value - floor.value + 1)};
    if (random_() % 3 == 0) keep = end;
    engine_->Appended();
    const auto last = log_->Find(keep);
    if (last && (last->view.header().flags & format::kUnitContinues) != 0) ++halves_;
    engine_->RollBackTo(keep);
    ASSERT_TRUE(log_->CutAfter(keep).ok());
    cleaner_.Abandon();
    ++rollbacks_;
    Compare();
  }
  void Compare() {
    engine_->CheckInvariants();
    Engine replayed(log_.get());
    replayed.ApplyTo(log_->end().lsn);
    // A copy as a checkpoint makes it counts exactly, whatever was flushed and is not taken down yet.
    Engine copy(log_.get());
    std::vector<std::byte> bytes;
    ASSERT_TRUE(engine_->Save([&](std::span<const std::byte> piece) {
      bytes.insert(bytes.end(), piece.begin(), piece.end());
      return true;
    }));
    std::span<const std::byte> rest = bytes;
    ASSERT_TRUE(copy.Load(
        [&](std::span<std::byte> piece) {
          std::copy_n(rest.begin(), piece.size(), piece.begin());
          rest = rest.subspan(piece.size());
          return true;
        },
        bytes.size()));
    copy.CheckInvariants();
    replayed.SettleUsage();
    Picture is = PictureOf(*engine_), should = PictureOf(replayed), saved = PictureOf(copy);
    EXPECT_EQ(is.keys.size(), should.keys.size());
    ASSERT_TRUE(is.keys == should.keys) << "keys or values differ";
    ASSERT_TRUE(saved.keys == should.keys) << "keys or values of the copy differ";
    // Of the engine itself, what does not depend on what is still to be taken down.
    for (DbId db = 0; db < kDatabases; ++db) {
      for (std::size_t i = 0; i < 3; ++i) ASSERT_EQ(is.numbers[db * 3U + i], should.numbers[db * 3U + i]) << db;
    }
    ASSERT_EQ(engine_->touched(), replayed.touched());
    ASSERT_EQ(engine_->settled(), replayed.settled());
    ASSERT_EQ(engine_->applied(), replayed.applied());
    ASSERT_EQ(engine_->SwapBytes(), replayed.SwapBytes());
    for (std::uint32_t i = 0; i < kSegments; ++i) {
      ASSERT_EQ(copy.usage().of(i).live_bytes, replayed.usage().of(i).live_bytes) << "segment " << i;
      ASSERT_EQ(copy.usage().of(i).tombstone_bytes, replayed.usage().of(i).tombstone_bytes) << "segment " << i;
      ASSERT_EQ(copy.usage().of(i).flushes, replayed.usage().of(i).flushes) << "segment " << i;
    }
  }

  std::mt19937_64 random_;
  std::shared_ptr<CrashDisk> disk_ = std::make_shared<CrashDisk>(format::kDataOffset + kSegments * kSegment);
  std::unique_ptr<Pool> pool_ = std::move(Pool::Open(std::make_unique<CrashMedia>(disk_, 64), kSegment).value());
  std::unique_ptr<Log> log_ = std::move(Log::Open(pool_.get(), {}).value());
  std::unique_ptr<Engine> engine_ = std::make_unique<Engine>(log_.get());
  Cleaner cleaner_{log_.get(), engine_.get()};
  Lsn committed_;
  int rollbacks_ = 0, halves_ = 0, moves_ = 0;
};

TEST(Rollback, LeavesWhatAReplayMakes) {
  int rollbacks = 0, halves = 0, moves = 0;
  std::uint64_t replays = 0;
  for (std::uint64_t seed = 1; seed <= 200 && !testing::Test::HasFatalFailure(); ++seed) {
    SCOPED_TRACE(seed);
    Primary primary(seed);
    for (int i = 0; i < 150 && !testing::Test::HasFatalFailure(); ++i) primary.Step();
    rollbacks += primary.rollbacks();
    halves += primary.halves();
    replays += primary.replays();
    moves += primary.moves();
  }
  EXPECT_GT(rollbacks, 1000);
  EXPECT_LT(replays, 200U) << "only what nobody has noted, and a rollback to nothing, are replayed";
  EXPECT_GT(halves, 10) << "no unit was cut in two";
  EXPECT_GT(moves, 10) << "the cleaner moved nothing";
}

}  // namespace
}  // namespace faha
