// What a forked process reads while the store goes on: the keyspace as it was, or the word that it was lost.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "faha/store.h"
#include "tests/fakes/sim_cluster.h"

namespace faha {
namespace {

using Contents = std::map<std::string, std::string>;

// Whatever ReadHeld visits; nothing, and no database twice, may be missing.
Result<Contents> ReadAll(const Store& store) {
  Contents contents;
  const Status status = store.ReadHeld([&](DbId db, std::string_view key, const Entry& entry) {
    const bool added = contents.emplace(std::to_string(db) + ":" + std::string(key), entry.value).second;
    EXPECT_TRUE(added) << key << " is visited twice";
    return true;
  });
  if (!status.ok()) return status;
  return contents;
}

// A node alone, whose pool is a file: a forked process sees what is written to it.
class Hold : public testing::Test, private StoreObserver {
 protected:
  Hold() {
    std::string name = testing::TempDir() + "faha-hold-XXXXXX";
    folder_ = mkdtemp(name.data());
    Options options;
    options.pool_path = folder_ + "/pool";
    options.segment_bytes = kSegment;
    options.persistence_domain = "volatile";  // what a crash would take is not the matter here
    options.pool_bytes = kDisk + 8 * kSegment;
    Env env;
    env.fabric = &fabric_;
    env.clock = &world_;
    auto opened = Store::Open(options, this, std::move(env));
    if (opened.ok()) store_ = std::move(opened.value());
    EXPECT_TRUE(opened.ok()) << opened.status().ToString();
  }
  ~Hold() override {
    store_.reset();
    std::filesystem::remove_all(folder_);
  }
  void OnPrimary() override {}
  void OnFollowing(const Member&) override {}

  void Set(int key, DbId db = 0) {
    const std::string name = "key" + std::to_string(key), value = std::to_string(++writes_) + std::string(10'000, 'v');
    Status status = store_->CheckWrite(name.size() + value.size(), 1);
    if (status.ok()) status = store_->Put(db, name, {value});
    store_->EndUnit();
    if (status.ok()) status = store_->Commit();
    ASSERT_TRUE(status.ok()) << status.ToString();
    contents_[std::to_string(db) + ":" + name] = value;
  }
  // Segments are used again and again; some 7 of 16 MB are live.
  void Fill() {
    for (int i = 0; i < 2000; ++i) Set(static_cast<int>(random_() % 350), static_cast<DbId>(random_() % 2));
    ASSERT_GT(store_->Info().cleaned_segments, 5U);
  }
  void Begin() {
    lost_.reset();
    const auto lsn = store_->HoldSegments([this](const Status& why) {
      EXPECT_FALSE(lost_) << "is told once";
      lost_ = why;
    });
    ASSERT_TRUE(lsn.ok()) << lsn.status().ToString();
    EXPECT_EQ(*lsn, store_->Info().committed);
  }

  enum Read { kSame = 10, kOther, kLost };  // what the other process exits with
  // It begins to read when it is told to.
  void Fork() {
    ASSERT_EQ(pipe(go_), 0);
    child_ = fork();
    if (child_ != 0) return;
    char byte = 0;
    close(go_[1]);
    (void)!read(go_[0], &byte, 1);
    const auto found = ReadAll(*store_);
    _exit(!found.ok() ? kLost : *found == contents_ ? kSame : kOther);
  }
  void Go() {
    close(go_[0]);
    close(go_[1]);
  }
  int Join() {
    int status = 0;
    waitpid(child_, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  std::string folder_;
  SimWorld world_{1};
  SimFabric fabric_{&world_, 1};
  std::unique_ptr<Store> store_;
  std::mt19937_64 random_{1};
  int writes_ = 0;
  Contents contents_;
  std::optional<Status> lost_;
  int go_[2] = {};
  pid_t child_ = 0;
};

TEST_F(Hold, IsReadByTheProcessItself) {
  Fill();
  ASSERT_TRUE(store_->Swap(0, 3).ok());
  ASSERT_TRUE(store_->Commit().ok());
  Contents swapped;
  for (const auto& [key, value] : contents_) swapped[(key[0] == '0' ? "3" : key.substr(0, 1)) + key.substr(1)] = value;
  Begin();
  const auto found = ReadAll(*store_);
  ASSERT_TRUE(found.ok()) << found.status().ToString();
  EXPECT_EQ(*found, swapped);
  store_->ReleaseSegments(Status::Ok());
  // What was read needs nothing more.
  Set(0);
  EXPECT_FALSE(lost_);
}

TEST_F(Hold, IsOfWhatIsCommitted) {
  Set(0);
  ASSERT_TRUE(store_->Put(0, "pending", {"v"}).ok());
  EXPECT_EQ(store_->HoldSegments([](const Status&) {}).status().code(), Code::kUnavailable);
  store_->EndUnit();
  EXPECT_EQ(store_->HoldSegments([](const Status&) {}).status().code(), Code::kUnavailable);
  ASSERT_TRUE(store_->Commit().ok());
  EXPECT_TRUE(store_->HoldSegments([](const Status&) {}).ok());
}

TEST_F(Hold, WhatWentWrongIsToldWithItsAge) {
  world_.Run(std::chrono::hours(1));
  store_->ReleaseSegments({Code::kUnavailable, "the disk is full"});
  world_.Run(std::chrono::seconds(1));
  const StoreInfo info = store_->Info();
  EXPECT_NE(info.last_error.find("the disk is full"), std::string::npos);
  EXPECT_GE(info.last_error_age, std::chrono::seconds(1));
  EXPECT_LT(info.last_error_age, std::chrono::seconds(2));
}

TEST_F(Hold, OutlastsOverwritesWhileThereIsSpace) {
  Fill();
  for (int round = 0; round < 5; ++round) {
    Begin();
    Fork();
    const Contents held = contents_;
    for (int i = 0; i < 80; ++i) Set(static_cast<int>(random_() % 350));  // less than a segment
    Go();
    EXPECT_EQ(Join(), kSame);
    EXPECT_FALSE(lost_);
    store_->ReleaseSegments(Status::Ok());
    Fill();
  }
}

// Of two at the same time the reader is mostly ahead of the cleaner; it never reads what was not there.
TEST_F(Hold, GivesSegmentsFreeAsTheyAreRead) {
  Fill();
  int same = 0, lost = 0;
  for (int round = 0; round < 8; ++round) {
    Begin();
    Fork();
    Go();
    for (int i = 0; i < 2000; ++i) Set(static_cast<int>(random_() % 350), static_cast<DbId>(random_() % 2));
    const int read = Join();
    EXPECT_NE(read, kOther);
    EXPECT_EQ(read == kLost, lost_.has_value());
    (read == kSame ? same : lost) += 1;
    store_->ReleaseSegments(Status::Ok());
  }
  EXPECT_GT(same, 0) << "and " << lost << " were lost";
}

TEST_F(Hold, IsLostWhereSpaceIsNeeded) {
  Fill();
  Begin();
  Fork();
  for (int i = 0; !lost_ && i < 10'000; ++i) Set(static_cast<int>(random_() % 350));
  ASSERT_TRUE(lost_) << "what was not read is written over";
  EXPECT_EQ(lost_->code(), Code::kNoSpace);
  for (int i = 0; i < 2000; ++i) Set(static_cast<int>(random_() % 350));
  Go();
  EXPECT_EQ(Join(), kLost);
  store_->ReleaseSegments({Code::kNoSpace, "no snapshot"});
  EXPECT_EQ(store_->Info().last_error, "NOSPACE no snapshot");
}

// --- Clusters.

TEST(HoldOfABackup, IsLostWhenTheLogIsGivenUp) {
  Cluster cluster(3);
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(cluster[0].Set("key" + std::to_string(i), std::string(40'000, 'a')).ok());
  cluster.world.Run(std::chrono::seconds(1));
  std::optional<Status> lost;
  ASSERT_TRUE(cluster[2].store->HoldSegments([&](const Status& why) { lost = why; }).ok());
  cluster.world.Stop(3);
  for (int i = 0; i < 600; ++i) {
    ASSERT_TRUE(cluster[0].Set("key" + std::to_string(i % 50), std::string(40'000, 'b')).ok());
    cluster.world.Run(std::chrono::milliseconds(5));
  }
  EXPECT_FALSE(lost);
  cluster.world.Continue(3);
  ASSERT_TRUE(cluster.world.RunUntil([&] { return cluster.AllInSync(cluster[0]); }));
  ASSERT_EQ(cluster[2].installs, 1);
  EXPECT_TRUE(lost);
}

TEST(HoldOfABackup, CostsItNothingToReceive) {
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {  // over TCP and RDMA
    Cluster cluster(3, seed);
    for (int i = 0; i < 60; ++i) ASSERT_TRUE(cluster[0].Set("key" + std::to_string(i), std::string(40'000, 'a')).ok());
    cluster.world.Run(std::chrono::seconds(1));
    std::optional<Status> lost;
    ASSERT_TRUE(cluster[1].store->HoldSegments([&](const Status& why) { lost = why; }).ok());
    for (int i = 0; i < 600; ++i) {
      const MonoTime start = cluster.world.Now();
      ASSERT_TRUE(cluster[0].Set("key" + std::to_string(i % 60), std::string(40'000, 'b')).ok());
      EXPECT_LT(cluster.world.Now() - start, std::chrono::milliseconds(100));
      cluster.world.Run(std::chrono::milliseconds(1));
    }
    EXPECT_TRUE(lost) << "nobody read anything";
    EXPECT_TRUE(cluster.AllInSync(cluster[0])) << "seed " << seed;
    EXPECT_EQ(cluster[1].installs, 0);
  }
}

}  // namespace
}  // namespace faha
