// A backup that misses its primary, and a primary that serves no more.
#include <gtest/gtest.h>

#include "log/pool.h"
#include "tests/fakes/sim_cluster.h"

namespace faha {
namespace {

const MonoTime kLease = Options{}.lease;
const MonoTime kPatience = Options{}.persist_timeout;

bool Misses(SimNode& node) { return node.store->MissesPrimary(); }

TEST(Loss, APrimaryThatHungUpAndIsNotThereIsMissedAtOnce) {
  Cluster cluster(3);
  EXPECT_FALSE(Misses(cluster[0]) || Misses(cluster[1]) || Misses(cluster[2]));
  cluster[0].Kill();
  EXPECT_TRUE(cluster.world.RunUntil([&] { return Misses(cluster[1]) && Misses(cluster[2]); }, kLease / 2));
  ASSERT_TRUE(cluster.Promote(cluster[1]).ok());
  EXPECT_TRUE(cluster.world.RunUntil([&] { return !Misses(cluster[1]) && !Misses(cluster[2]); }));
}

// The leases that run are its own, so that nobody else can have been elected, and it gave none.
TEST(Loss, APrimaryThatIsStartedAgainWaitsForNoLease) {
  Cluster cluster(3);
  ASSERT_TRUE(cluster[0].Set("k", "v").ok());
  cluster[0].Kill();
  ASSERT_TRUE(cluster[0].Start().ok());
  EXPECT_TRUE(cluster.world.RunUntil([&] { return cluster[0].Serving(); }, kLease / 4));
  EXPECT_EQ(*cluster[0].Get("k"), "v");
}

TEST(Loss, AfterAllWereKilledABackupDoesNotWaitForTheLeaseOfAPrimaryThatIsBack) {
  Cluster cluster(3);
  for (int i = 0; i < 3; ++i) cluster[i].Kill();
  ASSERT_TRUE(cluster[2].Start().ok());
  ASSERT_TRUE(cluster[0].Start().ok());
  EXPECT_TRUE(cluster.world.RunUntil([&] { return cluster[0].Serving(); }, kLease / 4));
}

// Two may vote for themselves in one epoch, and one of them win it and count on the lease of the other.
TEST(Loss, ANodeThatVotedForItselfRemembersWhomItFollowed) {
  Cluster cluster(3);
  cluster.world.Block(1, 2);
  cluster.world.Run(kLease * 2);
  ASSERT_TRUE(cluster[0].Serving());
  cluster[2].Kill();
  {
    auto pool = std::move(Pool::Open(std::make_unique<CrashMedia>(cluster[2].disk, 64), kSegment).value());
    ASSERT_TRUE(pool->SetPromise(pool->promised(), pool->node()).ok());
  }
  cluster.world.CutOff(1);
  ASSERT_TRUE(cluster[2].Start().ok());
  const auto others = [&] { return cluster[1].Serving() || cluster[2].Serving(); };
  EXPECT_FALSE(cluster.world.RunUntil([&] { return cluster[0].Serving() && others(); }, kLease * 4));
  EXPECT_TRUE(others());
}

// It votes as soon as it is asked; those that live wait for the leases that they gave it.
TEST(Loss, APrimaryThatIsStartedAgainHoldsNobodyUp) {
  Cluster cluster(3);
  cluster[0].Kill();
  cluster.world.Run(kLease + kLease / 4);
  cluster[2].Kill();
  cluster.world.Block(1, 3);
  ASSERT_TRUE(cluster[0].Start().ok());
  cluster[0].store->Follow(cluster[1].Redis());
  EXPECT_FALSE(cluster[0].Serving());
  const MonoTime before = cluster.world.Now();
  EXPECT_TRUE(cluster.Promote(cluster[1]).ok());
  EXPECT_LT(cluster.world.Now() - before, kLease / 4);
}

TEST(Loss, APrimaryThatIsSilentIsMissedAfterALease) {
  Cluster cluster(3);
  cluster.world.Stop(1);
  EXPECT_FALSE(cluster.world.RunUntil([&] { return Misses(cluster[1]) || Misses(cluster[2]); }, kLease - kLease / 4));
  EXPECT_TRUE(cluster.world.RunUntil([&] { return Misses(cluster[1]) && Misses(cluster[2]); }, kLease));
  cluster.world.Continue(1);
  EXPECT_TRUE(cluster.world.RunUntil([&] { return !Misses(cluster[1]) && !Misses(cluster[2]); }));
  EXPECT_TRUE(cluster.world.RunUntil([&] { return cluster.AllInSync(cluster[0]); }));
}

// It still waits for a primary that hangs, and the next one has no majority without it.
TEST(Loss, ABackupThatANewPrimaryNeedsFindsItWithinALease) {
  Cluster cluster(5);
  cluster.world.Stop(1);
  cluster.world.CutOff(5);
  cluster.world.Run(kLease + kLease / 4);
  ASSERT_TRUE(cluster.Promote(cluster[1]).ok());
  cluster[3].Kill();
  ASSERT_TRUE(cluster.world.RunUntil([&] { return !cluster[1].Serving(); }, kLease * 2));
  cluster.world.Reconnect(5);
  EXPECT_TRUE(cluster.world.RunUntil([&] { return cluster[1].Serving(); }, kLease / 2));
}

TEST(Loss, APrimaryThatOneBackupAloneDoesNotHearIsNotMissed) {
  Cluster cluster(3);
  cluster.world.Block(1, 3);
  EXPECT_FALSE(cluster.world.RunUntil([&] { return Misses(cluster[1]) || Misses(cluster[2]); }, kLease * 10));
  cluster.world.UnblockAll();
  EXPECT_TRUE(cluster.world.RunUntil([&] { return cluster.AllInSync(cluster[0]); }));
}

TEST(Loss, ABackupThatIsCutOffFromAllMissesNobody) {
  Cluster cluster(3);
  cluster.world.CutOff(3);
  EXPECT_FALSE(cluster.world.RunUntil([&] { return Misses(cluster[2]); }, kLease * 10));
}

// Nobody may have been there to see that the primary died, or whoever was has done all that it knows.
TEST(Loss, BackupsThatFindNoPrimaryAfterTheirStartElectOne) {
  Cluster cluster(3);
  ASSERT_TRUE(cluster[0].Set("k", "v").ok());
  for (int i = 0; i < 3; ++i) cluster[i].Kill();
  ASSERT_TRUE(cluster[1].Start().ok());
  EXPECT_FALSE(cluster.world.RunUntil([&] { return cluster[1].Serving(); }, kLease * 5)) << "it is no majority";
  ASSERT_TRUE(cluster[2].Start().ok());
  ASSERT_TRUE(cluster.world.RunUntil([&] { return cluster[1].Serving() || cluster[2].Serving(); }, kLease * 5));
  SimNode& primary = cluster[1].Serving() ? cluster[1] : cluster[2];
  EXPECT_EQ(*primary.Get("k"), "v");
}

// Who was there when the primary went away leaves it to whoever watches.
TEST(Loss, BackupsThatHadAPrimaryElectNobody) {
  Cluster cluster(3);
  cluster[0].Kill();
  EXPECT_FALSE(cluster.world.RunUntil([&] { return cluster[1].Serving() || cluster[2].Serving(); }, kLease * 10));
}

// The file says whom to follow, and may be older than the log, which says that this node was the primary.
TEST(Loss, AnOldSuggestionDoesNotStopWhoWasThePrimary) {
  Cluster cluster(3);
  for (int i = 0; i < 3; ++i) cluster[i].Kill();
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(cluster[i].Start().ok());
  cluster[0].store->Suggest(cluster[1].Redis());
  EXPECT_TRUE(cluster.world.RunUntil([&] { return cluster[0].Serving(); }, kLease * 3));
}

TEST(Loss, ClientsAreSentAwayOnceByAPrimaryThatIsCutOff) {
  Cluster cluster(3);
  cluster.world.CutOff(1);
  cluster.world.Run(kLease + kPatience / 2);
  EXPECT_FALSE(cluster[0].store->Serving());
  EXPECT_EQ(cluster[0].services_lost, 0) << "a lapse of the lease may be short";
  cluster.world.Run(kPatience * 5);
  EXPECT_EQ(cluster[0].services_lost, 1);
  cluster.world.Reconnect(1);
  EXPECT_TRUE(cluster.world.RunUntil([&] { return cluster.AllInSync(cluster[0]); }));
  EXPECT_EQ(cluster[0].services_lost, 1);
}

TEST(Loss, ClientsAreSentAwayByAPrimaryThatHandsOver) {
  Cluster cluster(3);
  cluster.world.Run(2 * Store::kTickPeriod);  // it has served
  ASSERT_TRUE(cluster.HandOver(cluster[0], cluster[1].Redis()).ok());
  EXPECT_TRUE(cluster.world.RunUntil([&] { return cluster[0].services_lost == 1; }, kLease / 2));
  EXPECT_EQ(cluster[1].services_lost + cluster[2].services_lost, 0) << "each had been a cluster of its own";
}

TEST(Loss, WithoutTheCopiesThatAreAskedForWritesAreRefusedAtOnceAndReadsGoOn) {
  Cluster cluster(3);
  cluster[0].store->Tune([](Options& options) { options.min_acks = 3; });
  ASSERT_TRUE(cluster[0].Set("k", "v").ok());
  cluster[2].Kill();
  EXPECT_TRUE(cluster.world.RunUntil([&] { return !cluster[0].Serving(); }));
  const MonoTime before = cluster.world.Now();
  EXPECT_EQ(cluster[0].Set("k", "w").code(), Code::kNoQuorum);
  EXPECT_EQ(cluster.world.Now(), before) << "it waited";
  EXPECT_EQ(*cluster[0].Get("k"), "v");
  ASSERT_TRUE(cluster[2].Start().ok());
  EXPECT_TRUE(cluster.world.RunUntil([&] { return cluster[0].Serving(); }));
  EXPECT_TRUE(cluster[0].Set("k", "w").ok());
}

}  // namespace
}  // namespace faha
