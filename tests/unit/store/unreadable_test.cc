// Nodes whose disk cannot be read any more, or not all of it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "log/format.h"
#include "tests/fakes/sim_cluster.h"

namespace faha {
namespace {

void LoseLog(SimNode& node) {
  for (std::uint64_t offset = format::kDataOffset; offset < node.disk->written.size(); offset += 4096)
    node.disk->MakeUnreadable(offset);
}

TEST(Unreadable, APrimaryThatMisreadsTellsNobodyAndIsReplaced) {
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    Cluster cluster(3, seed);
    ASSERT_TRUE(cluster[0].Set("k", "v").ok());
    LoseLog(cluster[0]);
    EXPECT_EQ(cluster[0].Get("k").status().code(), Code::kFenced);
    EXPECT_EQ(cluster[0].Set("l", "w").code(), Code::kFenced);
    cluster.world.Run(std::chrono::seconds(3));
    ASSERT_TRUE(cluster.Promote(cluster[1]).ok());
    EXPECT_EQ(cluster[1].Get("k").value(), "v");
    EXPECT_EQ(cluster[1].Get("l").value(), std::nullopt);
  }
}

// As a script does: it writes what depends on what it has read, more than a batch.
TEST(Unreadable, WhatWasMadeOfAMisreadValueReachesNobody) {
  Cluster cluster(3);
  ASSERT_TRUE(cluster[0].Set("k", "v").ok());
  LoseLog(cluster[0]);
  Store& store = *cluster[0].store;
  ASSERT_TRUE(store.CheckWrite(10'000, 2).ok());
  const bool there = store.Get(0, "k").has_value();
  EXPECT_FALSE(there);
  (void)store.Put(0, "derived", {std::string(10'000, 'x')});
  store.EndUnit();
  cluster.world.Run(std::chrono::seconds(3));
  ASSERT_TRUE(cluster.Promote(cluster[1]).ok());
  EXPECT_EQ(cluster[1].Get("derived").value(), std::nullopt);
  EXPECT_EQ(cluster[1].Get("k").value(), "v");
}

TEST(Unreadable, ANodeThatStartsSoIsGivenEverythingByItsPeers) {
  Cluster cluster(3);
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(cluster[0].Set("k" + std::to_string(i), std::to_string(i)).ok());
  cluster[2].Kill();
  cluster[2].disk->MakeUnreadable(format::kDataOffset + 4096);
  const int installs = cluster[2].installs;
  ASSERT_TRUE(cluster[2].Start().ok());
  ASSERT_TRUE(cluster.world.RunUntil([&] { return cluster[2].installs == installs + 1; })) << "it asks for everything";
  ASSERT_TRUE(cluster.world.RunUntil([&] { return cluster.AllInSync(cluster[0]); }));
  EXPECT_TRUE(cluster[2].disk->Unreadable().empty()) << "it was written anew";
  cluster[0].Kill();
  ASSERT_TRUE(cluster.Promote(cluster[2]).ok());
  for (int i = 0; i < 50; ++i) EXPECT_EQ(cluster[2].Get("k" + std::to_string(i)).value(), std::to_string(i));
}

TEST(Unreadable, ANodeAloneDoesNotStartAndSaysWhy) {
  SimWorld world(1);
  SimNode node(&world, 1);
  ASSERT_TRUE(node.Start().ok());
  ASSERT_TRUE(node.Set("k", "v").ok());
  node.Kill();
  node.disk->MakeUnreadable(format::kDataOffset);
  const Status status = node.Start();
  EXPECT_EQ(status.code(), Code::kCorrupt);
  EXPECT_THAT(status.message(), testing::HasSubstr("cannot be read"));
}

}  // namespace
}  // namespace faha
