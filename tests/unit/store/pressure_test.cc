// What must hold when peers hang, pools are nearly full, and logs are given away while they are cleaned.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "tests/fakes/sim_cluster.h"

namespace faha {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Keys of 40 KB, overwritten in turn: `keys` of them are live in a pool of 8 MB.
class Overwriter {
 public:
  Overwriter(Cluster* cluster, int keys) : cluster_(cluster), keys_(keys) {}
  // The longest time that one write took; fails the test if one is refused.
  MonoTime Write(SimNode& node, int count) {
    MonoTime longest{0};
    for (int i = 0; i < count; ++i) {
      const MonoTime start = cluster_->world.Now();
      const Status status = node.Set(Key(next_), Value(next_));
      longest = std::max(longest, cluster_->world.Now() - start);
      ++next_;
      if (!status.ok()) {
        ADD_FAILURE() << "write " << next_ << ": " << status.ToString();
        break;
      }
      cluster_->world.Run(milliseconds(1));
    }
    return longest;
  }
  void ExpectAll(SimNode& node) {
    for (int i = std::max(0, next_ - keys_); i < next_; ++i) {
      const auto value = node.Get(Key(i));
      ASSERT_TRUE(value.ok()) << value.status().ToString();
      EXPECT_EQ(*value, Value(i)) << "write " << i;
    }
  }

 private:
  std::string Key(int i) const { return "key" + std::to_string(i % keys_); }
  std::string Value(int i) const { return std::to_string(i) + std::string(40'000, static_cast<char>('a' + i % 26)); }

  Cluster* cluster_;
  int keys_;
  int next_ = 0;
};

class Pressure : public testing::TestWithParam<std::uint64_t> {};

TEST_P(Pressure, AHungBackupDoesNotStopTheOthers) {
  Cluster cluster(3, GetParam());
  Overwriter writer(&cluster, 60);  // 2.4 of 8 MB
  writer.Write(cluster[0], 200);
  cluster.world.Stop(3);
  EXPECT_LE(writer.Write(cluster[0], 600), milliseconds(1300)) << "persist-timeout, once";
  cluster.world.Continue(3);
  EXPECT_LE(writer.Write(cluster[0], 300), milliseconds(1300));
  EXPECT_TRUE(cluster.world.RunUntil([&] { return cluster.AllInSync(cluster[0]); }));
  writer.ExpectAll(cluster[0]);
}

TEST_P(Pressure, ABackupThatIsGivenTheLogWhileItIsCleanedNeitherDiesNorStartsAnew) {
  Cluster cluster(3, GetParam());
  Overwriter writer(&cluster, 100);  // 4 of 8 MB: with the reserve about all that fits
  writer.Write(cluster[0], 150);
  for (int round = 0; round < 3; ++round) {
    cluster[2].Kill();
    writer.Write(cluster[0], 300);
    const int before = cluster[2].installs;
    ASSERT_TRUE(cluster[2].Start().ok());
    for (int i = 0; i < 400 && !cluster.AllInSync(cluster[0]); ++i) writer.Write(cluster[0], 2);
    EXPECT_TRUE(cluster.world.RunUntil([&] { return cluster.AllInSync(cluster[0]); }));
    EXPECT_LE(cluster[2].installs - before, 3);
  }
  cluster[0].Kill();
  ASSERT_TRUE(cluster.Promote(cluster[2]).ok());
  writer.ExpectAll(cluster[2]);
}

// It would have to give its log up for that of the other one, and neither could lead if the link broke meanwhile.
TEST_P(Pressure, WhoIsFarBehindLetsTheBestLogLead) {
  Cluster cluster(3, GetParam());
  Overwriter writer(&cluster, 60);
  writer.Write(cluster[0], 100);
  cluster[2].Kill();
  writer.Write(cluster[0], 600);
  cluster[0].Kill();
  ASSERT_TRUE(cluster[2].Start().ok());
  std::optional<Status> answer;
  cluster[2].store->Promote(seconds(20), [&](const Status& status) { answer = status; });
  ASSERT_TRUE(cluster.world.RunUntil([&] { return cluster[1].Serving() || cluster[2].Serving(); }, seconds(20)));
  EXPECT_TRUE(cluster[1].Serving()) << "the one that has everything";
  ASSERT_TRUE(cluster.world.RunUntil([&] { return answer.has_value(); }, seconds(20)));
  EXPECT_EQ(answer->code(), Code::kNoPromise) << answer->ToString();
  EXPECT_EQ(cluster[2].installs, 1) << "as a backup";
  writer.ExpectAll(cluster[1]);
}

// The others have all that it had when it began to take a new log, so its promise is worth as much as before.
TEST_P(Pressure, WhoIsBeingGivenALogStillVotes) {
  Cluster cluster(3, GetParam());
  Overwriter writer(&cluster, 60);
  writer.Write(cluster[0], 100);
  cluster[2].Kill();
  writer.Write(cluster[0], 600);
  ASSERT_TRUE(cluster[2].Start().ok());
  ASSERT_TRUE(cluster.world.RunUntil([&] { return cluster[2].installs == 1; }));
  EXPECT_FALSE(cluster[2].store->Info().whole);
  cluster[0].Kill();
  EXPECT_TRUE(cluster.Promote(cluster[1]).ok());
  writer.ExpectAll(cluster[1]);
  EXPECT_TRUE(cluster.world.RunUntil([&] { return cluster[2].FollowsInSync(cluster[1]); }));
}

TEST_P(Pressure, AVoterThatHangsAfterItsFirstAnswerIsNotWaitedFor) {
  Cluster cluster(5, GetParam());
  ASSERT_TRUE(cluster[0].Set("k", "v").ok());
  cluster.world.Stop(1);
  std::optional<Status> answer;
  cluster[1].store->Promote(seconds(30), [&](const Status& status) { answer = status; });
  cluster.world.Run(milliseconds(5));
  cluster.world.Stop(5);  // it has said that the primary's lease may run
  ASSERT_TRUE(cluster.world.RunUntil([&] { return answer.has_value(); }, seconds(5)));
  EXPECT_TRUE(answer->ok()) << answer->ToString();
}

TEST_P(Pressure, WhatWroteNothingProvesNothing) {
  for (const bool swaps : {false, true}) {
    Cluster cluster(3, GetParam());
    ASSERT_TRUE(cluster[0].Set("k", "old").ok());
    Store& old = *cluster[0].store;
    ASSERT_TRUE((swaps ? old.Swap(5, 6) : old.Flush(DbId{5})).ok());
    cluster.world.Stop(1);
    ASSERT_TRUE(cluster.Promote(cluster[1]).ok());
    ASSERT_TRUE(cluster[1].Set("k", "new").ok());
    cluster.world.Continue(1);
    const bool read = old.CheckRead().ok() && old.Get(0, "k").has_value();
    EXPECT_FALSE(read && old.Commit().ok()) << "it would tell of a value that was overwritten";
  }
}

TEST_P(Pressure, AUnitIsNotCutByAChangeOfMembers) {
  Cluster cluster(3, GetParam());
  ASSERT_TRUE(cluster[0].Set("k", "v").ok());
  SimNode joining(&cluster.world, 4);
  ASSERT_TRUE(joining.Start().ok());
  Store& store = *cluster[0].store;
  ASSERT_TRUE(store.CheckWrite(100, 2).ok());
  ASSERT_TRUE(store.Put(0, "first", {"half"}).ok());
  joining.store->Follow(cluster[0].Redis());
  cluster.world.Run(seconds(2));  // a script that goes on lets peers speak
  ASSERT_TRUE(store.Put(0, "second", {"half"}).ok());
  EXPECT_EQ(store.Info().members.size(), 3U);
  cluster[0].PowerOff();
  ASSERT_TRUE(cluster.Promote(cluster[1]).ok());
  EXPECT_EQ(cluster[1].Get("first").value(), std::nullopt);
  EXPECT_EQ(cluster[1].Get("k").value(), "v");
  ASSERT_TRUE(cluster[0].Start().ok());
  EXPECT_TRUE(
      cluster.world.RunUntil([&] { return cluster.AllInSync(cluster[1]) && joining.FollowsInSync(cluster[1]); }));
  EXPECT_EQ(cluster[1].store->Info().members.size(), 4U);
}

TEST_P(Pressure, AnHeirThatHangsDoesNotKeepTheOthersFromWriting) {
  Cluster cluster(3, GetParam());
  ASSERT_TRUE(cluster[0].Set("k", "v").ok());
  cluster.world.Run(milliseconds(100));  // it knows that it reaches its backups
  cluster.world.Stop(2);
  std::optional<Status> answer;
  cluster[0].store->HandOver(cluster[1].Redis(), [&](const Status& status) { answer = status; });
  EXPECT_FALSE(answer.has_value()) << "it is only offered";
  const MonoTime start = cluster.world.Now();
  EXPECT_TRUE(cluster[0].Set("k", "w").ok());
  EXPECT_EQ(cluster[0].Get("k").value(), "w");
  EXPECT_LE(cluster.world.Now() - start, milliseconds(1300));
  ASSERT_TRUE(cluster.world.RunUntil([&] { return answer.has_value(); }, seconds(10)));
  EXPECT_EQ(answer->code(), Code::kUnavailable) << answer->ToString();
  ASSERT_TRUE(cluster.world.RunUntil([&] { return cluster[0].Serving(); }, seconds(2)));
  cluster.world.Continue(2);
  EXPECT_TRUE(cluster.world.RunUntil([&] { return cluster.AllInSync(cluster[0]); }));
  EXPECT_EQ(cluster[0].Get("k").value(), "w");
}

// The heir may be elected against the lease, so that proves nothing any more.
TEST_P(Pressure, WhileTheRoleIsOfferedReadsAskAMajority) {
  Cluster cluster(3, GetParam());
  ASSERT_TRUE(cluster[0].Set("k", "old").ok());
  ASSERT_TRUE(cluster.world.RunUntil([&] { return cluster.AllInSync(cluster[0]); }));
  cluster[0].store->HandOver(cluster[1].Redis(), [](const Status&) {});
  cluster.world.Stop(1);  // in the middle of its turn
  Store& old = *cluster[0].store;
  ASSERT_TRUE(cluster.world.RunUntil([&] { return cluster[1].Serving(); }, milliseconds(500))) << "within the lease";
  ASSERT_TRUE(cluster[1].Set("k", "new").ok());
  const bool read = old.CheckRead().ok() && old.Get(0, "k").has_value();
  EXPECT_FALSE(read && old.Commit().ok());
}

// The primary has the segments freed that clients fill: the others follow that, and lead afterwards.
TEST_P(Pressure, WhatIsDeletedInAFullClusterCanBeWrittenAgainAndOthersHaveIt) {
  Cluster cluster(3, GetParam());
  const auto fill = [&](const std::string& name) {
    int written = 0;
    while (cluster[0].Set(name + std::to_string(written), std::string(900, 'v')).ok()) ++written;
    return written;
  };
  const int keys = fill("key");
  for (int key = 0; key < keys; key += 2) {
    ASSERT_TRUE(cluster[0].Delete("key" + std::to_string(key)).ok());
    if (key % 64 == 0) cluster.world.Run(milliseconds(1));
  }
  EXPECT_GE(fill("again"), keys * 2 / 5);
  ASSERT_TRUE(cluster.world.RunUntil([&] { return cluster.AllInSync(cluster[0]); }));
  const std::uint64_t held = cluster[0].store->Info().keys;
  cluster[0].Kill();
  ASSERT_TRUE(cluster.Promote(cluster[1]).ok());
  EXPECT_EQ(cluster[1].store->Info().keys, held);
  ASSERT_TRUE(cluster[0].Start().ok());
  ASSERT_TRUE(cluster.world.RunUntil([&] { return cluster.AllInSync(cluster[1]); }));
  EXPECT_EQ(cluster[0].installs, 0);
}

TEST_P(Pressure, APrimaryWithoutAMajorityIsNotPromoted) {
  Cluster cluster(3, GetParam());
  cluster.world.CutOff(1);
  cluster.world.Run(seconds(3));
  const Status status = cluster.Promote(cluster[0], seconds(1));
  EXPECT_EQ(status.code(), Code::kNoQuorum) << status.ToString();
}

// A node alone, whose pool has so many segments, serves.
void StartWith(int segments, SimWorld& world, SimNode& node) {
  node.pool_bytes = (2ULL << 20) + static_cast<std::uint64_t>(segments) * kSegment;
  node.disk = std::make_shared<CrashDisk>(node.pool_bytes);
  ASSERT_TRUE(node.Start().ok());
  ASSERT_TRUE(world.RunUntil([&] { return node.Serving(); }));
}

// A pool is filled, a part of the keys is deleted, and others are written in their place.
struct Refill {
  int segments;
  std::size_t value_bytes;
  int deleted_percent;
};

class SmallPool : public testing::TestWithParam<Refill> {};

TEST_P(SmallPool, WhatItSaysCanBeWrittenCanBeWritten) {
  const auto [segments, value_bytes, deleted_percent] = GetParam();
  SimWorld world(1);
  SimNode node(&world, 1);
  ASSERT_NO_FATAL_FAILURE(StartWith(segments, world, node));
  const auto fill = [&](const std::string& name) {
    int written = 0;
    while (node.Set(name + std::to_string(written), std::string(value_bytes, 'v')).ok()) ++written;
    return written;
  };
  const int keys = fill("key");
  const StoreInfo full = node.store->Info();
  std::mt19937_64 random(1);
  for (int key = 0; key < keys; ++key) {
    if (static_cast<int>(random() % 100) >= deleted_percent) continue;
    ASSERT_TRUE(node.Delete("key" + std::to_string(key)).ok());
    world.Run(milliseconds(1));
  }
  const StoreInfo deleted = node.store->Info();
  // What is deleted makes room at a price: not a segment moved for each key.
  EXPECT_LE(deleted.moved_bytes - full.moved_bytes, 64 * (full.live_bytes - deleted.live_bytes));
  const std::uint64_t writable = node.store->Info().pool_writable_bytes;
  const std::uint64_t live = node.store->Info().live_bytes;
  fill("again");
  EXPECT_GE(node.store->Info().live_bytes - live, writable / 10 * 8)
      << keys << " keys filled it; live bytes are now " << node.store->Info().live_bytes;
  const std::uint64_t held = node.store->Info().keys;
  node.Kill();
  ASSERT_TRUE(node.Start().ok());
  ASSERT_TRUE(world.RunUntil([&] { return node.Serving(); }));
  EXPECT_EQ(node.store->Info().keys, held);
}

INSTANTIATE_TEST_SUITE_P(Refills, SmallPool,
                         testing::Values(Refill{6, 100, 50}, Refill{6, 5000, 30}, Refill{6, 100'000, 60},
                                         Refill{10, 100, 40}, Refill{14, 100, 10}, Refill{14, 5000, 15},
                                         Refill{14, 100'000, 40}),
                         [](const auto& test) {
                           return std::to_string(test.param.segments) + "Segments" +
                                  std::to_string(test.param.value_bytes) + "Bytes";
                         });

// A pool is filled with values of many sizes, and then to the brim with small ones; a part of them is deleted.
struct Brim {
  int segments;
  int deleted_percent;
  char order;  // of the deletes: 'r' in any, 'f' the oldest, 'b' the newest
};

class FullPool : public testing::TestWithParam<Brim> {};

TEST_P(FullPool, WhatIsDeletedCanBeWrittenAgain) {
  const auto [segments, deleted_percent, order] = GetParam();
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    SCOPED_TRACE(seed);
    SimWorld world(seed);
    SimNode node(&world, 1);
    ASSERT_NO_FATAL_FAILURE(StartWith(segments, world, node));
    std::mt19937_64 random(seed);
    std::vector<std::string> keys;
    constexpr std::array<std::size_t, 4> kSizes{16, 300, 4000, 16'000};
    for (int refused = 0; refused < 30;) {
      const std::size_t size = refused < 15 ? kSizes[random() % kSizes.size()] : 16;
      const std::string key = "key" + std::to_string(keys.size());
      if (node.Set(key, std::string(size, 'v')).ok()) {
        keys.push_back(key);
      } else {
        ++refused;
      }
    }
    const std::uint64_t full = node.store->Info().live_bytes;
    if (order == 'r') std::shuffle(keys.begin(), keys.end(), random);
    if (order == 'b') std::reverse(keys.begin(), keys.end());
    keys.resize(keys.size() * static_cast<std::size_t>(deleted_percent) / 100);
    for (const std::string& key : keys) ASSERT_TRUE(node.Delete(key).ok());
    const StoreInfo deleted = node.store->Info();
    int again = 0;
    while (node.Set("again" + std::to_string(again), std::string(16, 'v')).ok()) ++again;
    const std::uint64_t filled = node.store->Info().live_bytes;
    EXPECT_GE(filled + kSegment / 10, full) << "deleted down to " << deleted.live_bytes;
    const std::uint64_t written = filled - deleted.live_bytes;
    EXPECT_NEAR(static_cast<double>(deleted.pool_writable_bytes), static_cast<double>(written),
                static_cast<double>(full) / 40);
  }
}

TEST(FullPool, ALargeValueTakesTheRoomOfOneThatWasDeleted) {
  for (const std::size_t size : {700'000, 900'000}) {
    SCOPED_TRACE(size);
    SimWorld world(1);
    SimNode node(&world, 1);
    ASSERT_NO_FATAL_FAILURE(StartWith(6, world, node));
    int keys = 0;
    while (node.Set(std::to_string(keys), std::string(size, 'v')).ok()) ++keys;
    for (int i = 0; i < 25; ++i) {
      const std::string key = std::to_string(i * 7 % keys);
      ASSERT_TRUE(node.Delete(key).ok());
      const Status again = node.Set(key, std::string(size, 'w'));
      ASSERT_TRUE(again.ok()) << "cycle " << i << " of " << keys << " keys: " << again.ToString();
      world.Run(milliseconds(i % 3));
    }
  }
}

// The smallest pool that there is has two segments for what is live, and the record of a flush stands in the one that
// clients fill.
TEST(SmallestPool, IsWrittenAgainAfterEachFlush) {
  for (const std::size_t size : {10, 100, 5000}) {
    for (std::uint64_t seed = 1; seed <= 2; ++seed) {
      SCOPED_TRACE(testing::Message() << size << " bytes, seed " << seed);
      SimWorld world(seed);
      SimNode node(&world, 1);
      ASSERT_NO_FATAL_FAILURE(StartWith(5, world, node));
      std::mt19937_64 random(seed);
      const auto fill = [&] {
        std::uint64_t written = 0;
        while (node.Set("key" + std::to_string(written), std::string(size, 'v')).ok()) ++written;
        return written;
      };
      const auto flush = [&] {
        if (Status status = node.store->CheckErase(0, 1); !status.ok()) return status;
        if (Status status = node.store->Flush(std::nullopt); !status.ok()) return status;
        node.store->EndUnit();
        return node.store->Commit();
      };
      const std::uint64_t first = fill();
      for (int round = 0; round < 6; ++round) {
        for (std::uint64_t i = random() % 3 + 1; i > 0; --i) {
          ASSERT_TRUE(flush().ok());
          const Status again = node.Set("q", "v");
          ASSERT_TRUE(again.ok()) << "round " << round << ", an empty pool: " << again.ToString();
          const bool deletes = random() % 2 == 0;
          ASSERT_TRUE(!deletes || node.Delete("q").ok());
        }
        EXPECT_GE(fill(), first / 100 * 95) << "round " << round;
      }
    }
  }
}

// A client that pipelines: many units in one turn, and one commit at its end.
struct Turns {
  int segments;
  std::size_t value_bytes;
  int writes;        // in a turn
  int live_percent;  // of what the pool can hold
};

class LongTurns : public testing::TestWithParam<Turns> {};

TEST_P(LongTurns, OverwritesAreNotRefused) {
  const auto [segments, value_bytes, writes, live_percent] = GetParam();
  SimWorld world(1);
  SimNode node(&world, 1);
  ASSERT_NO_FATAL_FAILURE(StartWith(segments, world, node));
  const std::uint64_t most = (static_cast<std::uint64_t>(segments) - 3) * kSegment;
  int keys = 0;
  while (node.store->Info().live_bytes < most / 100 * static_cast<std::uint64_t>(live_percent))
    ASSERT_TRUE(node.Set("key" + std::to_string(keys++), std::string(value_bytes, 'v')).ok());
  std::mt19937_64 random(1);
  const int turns = static_cast<int>(4 * most / (value_bytes * static_cast<std::size_t>(writes))) + 4;
  Store& store = *node.store;
  for (int turn = 0; turn < turns; ++turn) {
    for (int i = 0; i < writes; ++i) {
      const std::string key = "key" + std::to_string(random() % static_cast<std::uint64_t>(keys));
      const Status room = store.CheckWrite(key.size() + value_bytes, 1);
      ASSERT_TRUE(room.ok()) << "turn " << turn << ", write " << i << ": " << room.ToString();
      ASSERT_TRUE(store.Put(0, key, {std::string(value_bytes, 'w')}).ok());
      store.EndUnit();
    }
    ASSERT_TRUE(store.Commit().ok());
    world.Run(milliseconds(1));
  }
}

INSTANTIATE_TEST_SUITE_P(Pipelines, LongTurns,
                         testing::Values(Turns{6, 200, 500, 60}, Turns{6, 200, 10, 75}, Turns{6, 10'000, 50, 61},
                                         Turns{7, 200, 500, 85}, Turns{10, 200, 500, 90}, Turns{10, 1000, 2000, 80}),
                         [](const auto& test) {
                           return std::to_string(test.param.segments) + "Segments" +
                                  std::to_string(test.param.value_bytes) + "Bytes" + std::to_string(test.param.writes);
                         });

INSTANTIATE_TEST_SUITE_P(Brims, FullPool,
                         testing::Values(Brim{6, 10, 'r'}, Brim{6, 25, 'r'}, Brim{6, 25, 'f'}, Brim{6, 25, 'b'},
                                         Brim{10, 10, 'r'}, Brim{10, 25, 'r'}, Brim{10, 10, 'f'}, Brim{10, 10, 'b'},
                                         Brim{24, 5, 'r'}),
                         [](const auto& test) {
                           return std::to_string(test.param.segments) + "Segments" +
                                  std::to_string(test.param.deleted_percent) + "Percent" + test.param.order;
                         });

INSTANTIATE_TEST_SUITE_P(Seeds, Pressure, testing::Values(1, 2, 3, 4));

}  // namespace
}  // namespace faha
