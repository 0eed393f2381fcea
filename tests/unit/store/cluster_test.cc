// Whole nodes in a simulated world: joining, losing, electing, handing over.
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <string>

#include "faha/store.h"
#include "tests/fakes/crash_media.h"
#include "tests/fakes/sim_world.h"

namespace faha {
namespace {

constexpr std::uint64_t kSegment = 1ULL << 20;
constexpr std::size_t kDisk = (2ULL << 20) + 8 * kSegment;

class SimNode : public StoreObserver {
 public:
  SimNode(SimWorld* world, int number) : world_(world), number_(number) {}
  ~SimNode() override { Kill(); }

  Status Start() {
    fabric_ = std::make_unique<SimFabric>(world_, number_);
    fabric_->on_landed = [disk = disk](std::span<const std::byte> bytes, bool flushed) {
      const auto offset = static_cast<std::uint64_t>(bytes.data() - disk->written.data());
      disk->dirty.emplace_back(offset, bytes.size());
      if (flushed) std::memcpy(&disk->drained[offset], bytes.data(), bytes.size());
    };
    Options options;
    options.segment_bytes = kSegment;
    options.batch_bytes = 4096;
    options.redis_port = static_cast<std::uint16_t>(7000 + number_);
    options.port = static_cast<std::uint16_t>(options.redis_port + options.port_offset);
    if (std::getenv("FAHA_SIM_LOG") != nullptr) {
      options.log = [this](LogLevel, std::string_view line) {
        fprintf(stderr, "%8.3f node %d: %.*s\n", static_cast<double>(world_->Now().count()) / 1e6, number_,
                static_cast<int>(line.size()), line.data());
      };
    }
    Env env{std::make_unique<CrashMedia>(disk, 64), fabric_.get(), world_};
    auto opened = Store::Open(options, this, std::move(env));
    if (!opened.ok()) return opened.status();
    store = std::move(opened.value());
    world_->AddRunner(number_, [this] {
      store->Poll();
      if (store && world_->Now() >= next_tick_) {
        next_tick_ = world_->Now() + Store::kTickPeriod;
        store->Tick();
      }
    });
    return Status::Ok();
  }
  void Kill() {
    world_->RemoveRunner(number_);
    store.reset();
    fabric_.reset();
  }
  // Power fails: undrained words may be lost.
  void PowerOff() {
    Kill();
    disk->Crash(world_->random());
  }

  Status Set(const std::string& key, const std::string& value) {
    if (Status status = store->CheckWrite(key.size() + value.size(), 1); !status.ok()) return status;
    if (Status status = store->Put(0, key, value, kNoExpiry); !status.ok()) return status;
    store->EndUnit();
    return store->Commit();
  }
  // Nothing, or the status that refuses.
  Result<std::optional<std::string>> Get(const std::string& key) {
    if (Status status = store->CheckRead(); !status.ok()) return status;
    const auto entry = store->Get(0, key);
    std::optional<std::string> value;
    if (entry) value = std::string(entry->value);
    if (Status status = store->Commit(); !status.ok()) return status;
    return value;
  }
  [[nodiscard]] bool Serving() const { return store && store->Info().state == "serving"; }
  [[nodiscard]] bool FollowsInSync(const SimNode& primary) const {
    if (!store || !primary.store) return false;
    const auto info = primary.store->Info();
    return std::any_of(info.peers.begin(), info.peers.end(), [&](const PeerInfo& peer) {
      return peer.in_sync && peer.voting && peer.member.redis_port == 7000 + number_;
    });
  }
  [[nodiscard]] Endpoint Redis() const { return {"127.0.0.1", static_cast<std::uint16_t>(7000 + number_)}; }

  void OnPrimary() override { ++elections; }
  void OnFollowing(const Member&) override {}
  int elections = 0;
  std::shared_ptr<CrashDisk> disk = std::make_shared<CrashDisk>(kDisk);
  std::unique_ptr<Store> store;

 private:
  SimWorld* world_;
  int number_;
  MonoTime next_tick_{0};
  std::unique_ptr<SimFabric> fabric_;
};

class Cluster {
 public:
  explicit Cluster(int nodes, std::uint64_t seed = 1) : world(seed) {
    world.rdma = seed % 2 == 0;
    world.flush = seed % 4 == 0;
    for (int i = 1; i <= nodes; ++i) {
      all.push_back(std::make_unique<SimNode>(&world, i));
      EXPECT_TRUE(all.back()->Start().ok());
    }
    for (int i = 1; i < nodes; ++i) all[i]->store->Follow(all[0]->Redis());
    EXPECT_TRUE(world.RunUntil([&] { return AllInSync(*all[0]); })) << "seed " << seed;
  }
  [[nodiscard]] bool AllInSync(const SimNode& primary) const {
    return primary.Serving() && std::all_of(all.begin(), all.end(), [&](const auto& node) {
             return node.get() == &primary || node->FollowsInSync(primary);
           });
  }
  SimNode& operator[](int i) { return *all[i]; }
  SimNode* Primary() {
    SimNode* found = nullptr;
    for (const auto& node : all) {
      if (node->Serving()) found = node.get();
    }
    return found;
  }
  // Asks `node` to become primary and waits for its answer.
  Status Promote(SimNode& node, std::chrono::milliseconds patience = std::chrono::seconds(10)) {
    std::optional<Status> answer;
    node.store->Promote(patience, [&](const Status& status) { answer = status; });
    world.RunUntil([&] { return answer.has_value(); });
    return answer.value_or(Status{Code::kUnavailable, "no answer"});
  }

  SimWorld world;
  std::vector<std::unique_ptr<SimNode>> all;
};

TEST(Node, ANewNodeServesAlone) {
  SimWorld world(1);
  SimNode node(&world, 1);
  ASSERT_TRUE(node.Start().ok());
  ASSERT_TRUE(node.Serving());
  EXPECT_TRUE(node.Set("k", "v").ok());
  EXPECT_EQ(*node.Get("k"), "v");
  node.PowerOff();
  ASSERT_TRUE(node.Start().ok());
  EXPECT_EQ(*node.Get("k"), "v");
  EXPECT_EQ(node.store->Info().epoch, Epoch{2});
}

TEST(Node, ThreeNodesHoldEveryAcknowledgedWrite) {
  Cluster cluster(3);
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(cluster[0].Set(std::to_string(i), "v").ok());
  const Lsn last = cluster[0].store->Info().last;
  for (int i = 1; i < 3; ++i) EXPECT_GE(cluster[i].store->Info().durable, last);
  EXPECT_TRUE(cluster.world.RunUntil([&] { return cluster[1].store->Info().keys == 100; }));
  EXPECT_EQ(cluster[1].store->CheckWrite(1, 1).code(), Code::kReadOnly);
  EXPECT_EQ(cluster[1].store->CheckRead().code(), Code::kNotPrimary);
  EXPECT_EQ(cluster[0].store->Info().members.size(), 3U);
}

TEST(Node, AKilledPrimaryIsReplacedByHandAndReturnsAsABackup) {
  Cluster cluster(3);
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(cluster[0].Set(std::to_string(i), "v").ok());
  cluster[0].PowerOff();
  const Status promoted = cluster.Promote(cluster[2]);
  ASSERT_TRUE(promoted.ok()) << promoted.ToString();
  for (int i = 0; i < 50; ++i) EXPECT_EQ(*cluster[2].Get(std::to_string(i)), "v");
  ASSERT_TRUE(cluster[2].Set("more", "v").ok());
  ASSERT_TRUE(cluster[0].Start().ok());
  EXPECT_TRUE(cluster.world.RunUntil([&] { return cluster.AllInSync(cluster[2]); }));
  EXPECT_EQ(cluster[0].store->Info().role, Role::kBackup);
}

TEST(Node, APromotionWhileThePrimaryLivesIsRefused) {
  Cluster cluster(3);
  const Status refused = cluster.Promote(cluster[1], std::chrono::seconds(3));
  EXPECT_EQ(refused.code(), Code::kNoPromise) << refused.ToString();
  EXPECT_TRUE(cluster.world.RunUntil([&] { return cluster.AllInSync(cluster[0]); }));
  EXPECT_TRUE(cluster[0].Set("k", "v").ok());
}

TEST(Node, WithoutAMajorityNothingIsAcknowledgedAndServiceResumesByItself) {
  Cluster cluster(3);
  ASSERT_TRUE(cluster[0].Set("before", "v").ok());
  cluster[1].Kill();
  cluster.world.Stop(3);
  EXPECT_EQ(cluster[0].Set("lost?", "v").code(), Code::kNoQuorum);
  EXPECT_EQ(cluster[0].store->CheckWrite(1, 1).code(), Code::kNoQuorum);
  cluster.world.Run(std::chrono::seconds(3));
  EXPECT_EQ(cluster[0].Get("before").status().code(), Code::kNoQuorum);
  cluster.world.Continue(3);
  EXPECT_TRUE(cluster.world.RunUntil([&] { return cluster[0].Serving(); }));
  EXPECT_EQ(*cluster[0].Get("lost?"), "v") << "it was in the log, and now a majority has it";
}

TEST(Node, ASlowBackupStallsOneCommitAndReturnsByItself) {
  Cluster cluster(3);
  cluster.world.Stop(2);
  const MonoTime start = cluster.world.Now();
  ASSERT_TRUE(cluster[0].Set("a", "v").ok());
  EXPECT_GE(cluster.world.Now() - start, std::chrono::milliseconds(1000));
  const MonoTime second = cluster.world.Now();
  ASSERT_TRUE(cluster[0].Set("b", "v").ok());
  EXPECT_LT(cluster.world.Now() - second, std::chrono::milliseconds(100));
  cluster.world.Continue(2);
  EXPECT_TRUE(cluster.world.RunUntil([&] { return cluster.AllInSync(cluster[0]); }));
}

TEST(Node, ACutOffPrimaryStopsReadingBeforeAnotherCanBeElected) {
  Cluster cluster(3);
  ASSERT_TRUE(cluster[0].Set("k", "old").ok());
  cluster.world.CutOff(1);
  std::optional<Status> answer;
  cluster[1].store->Promote(std::chrono::seconds(20), [&](const Status& status) { answer = status; });
  ASSERT_TRUE(cluster.world.RunUntil([&] {
    EXPECT_FALSE(cluster[0].Serving() && cluster[1].Serving());
    return answer.has_value();
  }));
  ASSERT_TRUE(answer->ok()) << answer->ToString();
  EXPECT_EQ(cluster[0].Get("k").status().code(), Code::kNoQuorum)
      << "it has written nothing since: the lease alone says no";
  ASSERT_TRUE(cluster[1].Set("k", "new").ok());
  EXPECT_FALSE(cluster[0].Get("k").ok());
  EXPECT_FALSE(cluster[0].Set("k", "stale").ok());
  cluster.world.Reconnect(1);
  EXPECT_TRUE(cluster.world.RunUntil([&] { return cluster.AllInSync(cluster[1]); }));
  EXPECT_EQ(*cluster[1].Get("k"), "new");
}

TEST(Node, AHandOverKeepsEverythingAndTheOldPrimaryFollows) {
  Cluster cluster(3);
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(cluster[0].Set(std::to_string(i), "v").ok());
  const MonoTime start = cluster.world.Now();
  const Status status = cluster[0].store->HandOver(cluster[1].Redis());
  ASSERT_TRUE(status.ok()) << status.ToString();
  EXPECT_LT(cluster.world.Now() - start, std::chrono::milliseconds(500)) << "it does not wait for the lease";
  EXPECT_TRUE(cluster.world.RunUntil([&] { return cluster.AllInSync(cluster[1]); }));
  for (int i = 0; i < 20; ++i) EXPECT_EQ(*cluster[1].Get(std::to_string(i)), "v");
  EXPECT_EQ(cluster[0].store->CheckWrite(1, 1).code(), Code::kReadOnly);
}

TEST(Node, ANodeWithDataOfItsOwnIsNotAdopted) {
  SimWorld world(1);
  SimNode first(&world, 1), second(&world, 2);
  ASSERT_TRUE(first.Start().ok());
  ASSERT_TRUE(second.Start().ok());
  ASSERT_TRUE(second.Set("mine", "v").ok());
  second.store->Follow(first.Redis());
  EXPECT_TRUE(world.RunUntil([&] { return second.store->Info().last_error.starts_with("CLUSTERID"); }));
  std::optional<Status> answer;
  second.store->Promote(std::chrono::seconds(5), [&](const Status& status) { answer = status; });
  EXPECT_TRUE(world.RunUntil([&] { return second.Serving(); }));
  EXPECT_EQ(*second.Get("mine"), "v");
}

TEST(Node, AFailedDeviceFencesTheNode) {
  Cluster cluster(3);
  ASSERT_TRUE(cluster[0].Set("a", "v").ok());
  cluster[0].disk->fail_at_drain = cluster[0].disk->drains + 1;
  EXPECT_FALSE(cluster[0].Set("b", "v").ok());
  EXPECT_EQ(cluster[0].Get("a").status().code(), Code::kFenced);
  EXPECT_EQ(cluster[0].store->Info().state, "failed");
  EXPECT_TRUE(cluster.Promote(cluster[1]).ok());
  EXPECT_EQ(*cluster[1].Get("a"), "v");
}

TEST(Node, AUnitLargerThanABatchRecoversWholeOrNotAtAll) {
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    SimWorld world(seed);
    SimNode node(&world, 1);
    ASSERT_TRUE(node.Start().ok());
    const std::string value(200'000, 'v');
    for (int i = 0; i < 12; ++i) ASSERT_TRUE(node.store->Put(0, std::to_string(i), value, kNoExpiry).ok());
    const bool committed = seed % 2 == 0;
    if (committed) {
      ASSERT_TRUE(node.store->Commit().ok());
    }
    node.PowerOff();
    ASSERT_TRUE(node.Start().ok());
    EXPECT_EQ(node.store->Info().keys, committed ? 12U : 0U) << "seed " << seed;
  }
}

// --- Native flush: the backups' devices alone make batches persistent.

constexpr std::uint64_t kFlushSeed = 4;

TEST(NativeFlush, AWriteIsAcknowledgedWhileNoBackupRuns) {
  Cluster cluster(3, kFlushSeed);
  ASSERT_TRUE(cluster[0].Set("before", "v").ok());
  cluster.world.Stop(2);
  cluster.world.Stop(3);
  const MonoTime start = cluster.world.Now();
  ASSERT_TRUE(cluster[0].Set("k", "v").ok());
  EXPECT_LT(cluster.world.Now() - start, std::chrono::milliseconds(100)) << "nobody was given up on";
  EXPECT_TRUE(cluster[0].store->Info().peers[0].flushed);
  for (int i = 0; i < 3; ++i) cluster[i].PowerOff();
  cluster.world.Continue(2);
  cluster.world.Continue(3);
  for (int i = 1; i < 3; ++i) ASSERT_TRUE(cluster[i].Start().ok());
  ASSERT_TRUE(cluster.Promote(cluster[1]).ok());
  EXPECT_EQ(*cluster[1].Get("k"), "v");
}

TEST(NativeFlush, WhatABackupHasNotSeenIsInItsLogBeforeItPromises) {
  Cluster cluster(3, kFlushSeed);
  ASSERT_TRUE(cluster[0].Set("before", "v").ok());
  cluster.world.Blind(2);
  cluster.world.Blind(3);
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(cluster[0].Set(std::to_string(i), "v").ok());
  const Lsn last = cluster[0].store->Info().last;
  ASSERT_LT(cluster[1].store->Info().last, last) << "it has not seen them";
  cluster[0].PowerOff();
  ASSERT_TRUE(cluster.Promote(cluster[1]).ok());
  for (int i = 0; i < 10; ++i) EXPECT_EQ(*cluster[1].Get(std::to_string(i)), "v");
}

TEST(NativeFlush, ABatchThatOpensASegmentCountsOnlyOnceTheBackupHasSeenIt) {
  Cluster cluster(3, kFlushSeed);
  ASSERT_TRUE(cluster[0].Set("before", "v").ok());
  cluster.world.Blind(2);
  cluster.world.Blind(3);
  const std::string value(kSegment / 4, 'v');
  int acknowledged = 0;
  Status status;
  while (acknowledged < 8 && (status = cluster[0].Set(std::to_string(acknowledged), value)).ok()) ++acknowledged;
  EXPECT_EQ(acknowledged, 3) << "as many as the first segment holds";
  EXPECT_EQ(status.code(), Code::kNoQuorum) << status.ToString();
  cluster.world.See(3);
  ASSERT_TRUE(cluster.world.RunUntil([&] { return cluster[0].Serving(); })) << "the second segment is open there";
  ASSERT_TRUE(cluster[0].Set("after", "v").ok());
  cluster[0].PowerOff();
  cluster[1].PowerOff();
  cluster.world.See(2);
  ASSERT_TRUE(cluster[1].Start().ok());
  ASSERT_TRUE(cluster.Promote(cluster[2]).ok());
  for (int i = 0; i < acknowledged; ++i) EXPECT_EQ(*cluster[2].Get(std::to_string(i)), value);
  EXPECT_EQ(*cluster[2].Get("after"), "v");
}

// Crashes, cuts and promotions at random: what was acknowledged is there, and what is there was issued.
TEST(Node, NothingAcknowledgedIsLostUnderFaults) {
  const char* seeds = std::getenv("FAHA_SEEDS");
  for (std::uint64_t seed = 1; seed <= (seeds != nullptr ? std::stoull(seeds) : 400); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Cluster cluster(3, seed);
    auto& random = cluster.world.random();
    std::map<std::string, int> acknowledged, issued;
    int version = 0;
    for (int step = 0; step < 40; ++step) {
      SimNode* primary = cluster.Primary();
      for (int i = 0; primary != nullptr && i < 5; ++i) {
        const std::string key = std::to_string(random() % 10);
        issued[key] = ++version;
        // Where flushes count, segments must come to their end.
        const std::string padding(cluster.world.flush ? random() % 40'000 : 0, ' ');
        if (primary->Set(key, std::to_string(version) + padding).ok()) acknowledged[key] = version;
        if (!primary->Serving()) break;
      }
      const int victim = static_cast<int>(random() % 3);
      switch (random() % 8) {
        case 0:
          if (cluster[victim].store) cluster[victim].PowerOff();
          break;
        case 1: cluster.world.CutOff(victim + 1); break;
        case 2: cluster.world.Reconnect(victim + 1); break;
        case 3:
          if (cluster[victim].store) {
            cluster[victim].store->Promote(std::chrono::seconds(4), [](const Status&) {});
          }
          break;
        case 4:
          // Elsewhere the commits do not count what is not seen, and what a blind node's cache loses may have gaps.
          if (cluster.world.flush) cluster.world.Blind(victim + 1);
          break;
        case 5: cluster.world.See(victim + 1); break;
        default: break;
      }
      for (int i = 0; i < 3; ++i) {
        if (!cluster[i].store && random() % 2 == 0) {
          const Status started = cluster[i].Start();
          ASSERT_TRUE(started.ok()) << started.ToString();
        }
      }
      cluster.world.Run(MonoTime{static_cast<MonoTime::rep>(random() % 800'000)});
    }
    for (int i = 0; i < 3; ++i) {
      cluster.world.Reconnect(i + 1);
      cluster.world.See(i + 1);
      if (!cluster[i].store) {
        ASSERT_TRUE(cluster[i].Start().ok());
      }
    }
    if (!cluster.world.RunUntil([&] { return cluster.Primary() != nullptr; }, std::chrono::seconds(5))) {
      ASSERT_TRUE(cluster.Promote(cluster[0], std::chrono::seconds(20)).ok());
    }
    ASSERT_TRUE(cluster.world.RunUntil([&] { return cluster.Primary() && cluster.AllInSync(*cluster.Primary()); }));
    for (const auto& [key, least] : acknowledged) {
      const auto got = cluster.Primary()->Get(key);
      ASSERT_TRUE(got.ok() && got->has_value()) << "key " << key << " lost";
      const int value = std::stoi(**got);
      EXPECT_GE(value, least) << "key " << key;
      EXPECT_LE(value, issued[key]) << "key " << key;
    }
    const auto info = cluster.Primary()->store->Info();
    ASSERT_TRUE(cluster.world.RunUntil([&] {
      return std::all_of(cluster.all.begin(), cluster.all.end(),
                         [&](const auto& node) { return node->store->Info().applied >= info.last; });
    }));
    for (int i = 1; i < 3; ++i) EXPECT_EQ(cluster[i].store->Info().keys, cluster[0].store->Info().keys);
  }
}

}  // namespace
}  // namespace faha
