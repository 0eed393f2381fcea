// Whole nodes in a simulated world: joining, losing, electing, handing over.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "log/format.h"
#include "tests/fakes/sim_cluster.h"

namespace faha {
namespace {

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

TEST(Node, ABackupCatchesUpWhileClientsAreServedAllTheTime) {
  Cluster cluster(3);
  cluster[2].Kill();
  const std::string value(1000, 'v');
  const auto set = [&](int i) { return cluster[0].Set(std::to_string(i % 50), value); };
  for (int i = 0; i < 2500; ++i) ASSERT_TRUE(set(i).ok());
  ASSERT_TRUE(cluster[2].Start().ok());
  int more = 0;
  for (; more < 2500 && !cluster.AllInSync(cluster[0]); ++more) ASSERT_TRUE(set(more).ok());
  EXPECT_TRUE(cluster.AllInSync(cluster[0]));
  EXPECT_EQ(cluster[2].installs, 0);
}

TEST(Node, ABackupServesReadsOnlyWhileItHearsItsPrimary) {
  Cluster cluster(3);
  ASSERT_TRUE(cluster[0].Set("k", "v").ok());
  const auto reads = [&] {
    const auto got = cluster[1].Get("k");
    return got.ok() && *got == "v";
  };
  cluster.world.Run(std::chrono::seconds(1));
  EXPECT_EQ(cluster[1].Get("k").status().code(), Code::kNotPrimary) << "unless told to";
  cluster[1].store->Tune([](Options& options) { options.backup_reads = true; });
  EXPECT_TRUE(cluster.world.RunUntil(reads));
  EXPECT_EQ(cluster[1].Set("k", "w").code(), Code::kReadOnly);
  cluster.world.Stop(1);
  cluster.world.Run(std::chrono::milliseconds(1100));
  EXPECT_EQ(cluster[1].Get("k").status().code(), Code::kNotPrimary) << "it may be as old as a lease, and no older";
  EXPECT_FALSE(cluster[1].store->Info().staleness.has_value());
  cluster.world.Continue(1);
  EXPECT_TRUE(cluster.world.RunUntil(reads));
}

// What a backup answers is as new as it says, however it, and the others, hang and come back.
TEST(Node, ABackupsReadsAreAsNewAsItSays) {
  int reads = 0, refusals = 0;
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    SCOPED_TRACE(seed);
    Cluster cluster(3, seed);
    cluster[1].store->Tune([](Options& options) { options.backup_reads = true; });
    std::mt19937_64 random(seed);
    std::vector<MonoTime> acknowledged;  // when each value was
    const auto write = [&] {
      if (cluster[0].Set("k", std::to_string(acknowledged.size())).ok()) acknowledged.push_back(cluster.world.Now());
    };
    for (int step = 0; step < 300; ++step) {
      write();
      if (random() % 10 == 0) {
        const int stopped = 2 + static_cast<int>(random() % 2);
        cluster.world.Stop(stopped);
        for (int i = 0; i < 100; ++i) write();
        cluster.world.Run(std::chrono::milliseconds(random() % 3000));
        cluster.world.Continue(stopped);
      }
      cluster.world.Run(std::chrono::microseconds(random() % 3 == 0 ? random() % 60'000 : random() % 2000));
      const auto got = cluster[1].Get("k");
      if (!got.ok()) {
        ++refusals;
        continue;
      }
      ++reads;
      const MonoTime since = cluster.world.Now() - *cluster[1].store->Info().staleness;
      const auto newest = std::upper_bound(acknowledged.begin(), acknowledged.end(), since) - acknowledged.begin() - 1;
      const long value = got->has_value() ? std::stol(**got) : -1;
      ASSERT_GE(value, newest) << "step " << step;
    }
  }
  EXPECT_GT(reads, 1000);
  EXPECT_GT(refusals, 10);
}

// A batch and the end of its link are seen in one look, in this order or not: whoever follows again tells what it
// holds, and a primary counts that as durable.
TEST(Node, WhatLandedAsTheLinkBrokeIsDurableBeforeItCounts) {
  for (std::uint64_t seed = 1; seed < 20; ++seed) {
    SCOPED_TRACE(seed);
    Cluster cluster(3, seed);
    ASSERT_TRUE(cluster[0].Set("before", "v").ok());
    cluster.world.Stop(2);
    ASSERT_TRUE(cluster[0].Set("k", "v").ok());
    cluster[0].BreakLinksTo(2);
    cluster.world.Run(std::chrono::milliseconds(100));
    cluster.world.Continue(2);
    const Lsn last = cluster[0].store->Info().last;
    const auto counts = [&] {
      const auto peers = cluster[0].store->Info().peers;
      return std::any_of(peers.begin(), peers.end(), [&](const PeerInfo& peer) {
        return peer.member.Redis() == cluster[1].Redis() && peer.durable == last;
      });
    };
    ASSERT_TRUE(cluster.world.RunUntil(counts));
    cluster[1].Kill();
    cluster[1].disk->Crash(cluster.world.random(), CrashMode::kNothing);
    ASSERT_TRUE(cluster[1].Start().ok());
    EXPECT_EQ(cluster[1].store->Info().last, last) << "the primary has counted it";
  }
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
  const Status status = cluster.HandOver(cluster[0], cluster[1].Redis());
  ASSERT_TRUE(status.ok()) << status.ToString();
  EXPECT_LT(cluster.world.Now() - start, std::chrono::milliseconds(500)) << "it does not wait for the lease";
  EXPECT_TRUE(cluster.world.RunUntil([&] { return cluster.AllInSync(cluster[1]); }));
  for (int i = 0; i < 20; ++i) EXPECT_EQ(*cluster[1].Get(std::to_string(i)), "v");
  EXPECT_EQ(cluster[0].store->CheckWrite(1, 1).code(), Code::kReadOnly);
}

TEST(Node, ABackupThatMayNotLeadIsNotOfferedTheRole) {
  Cluster cluster(3);
  ASSERT_TRUE(cluster[0].store->Put(9, "k", {"v"}).ok());
  cluster[0].store->EndUnit();
  ASSERT_TRUE(cluster[0].store->Commit().ok());
  cluster[1].store->Tune([](Options& options) { options.databases = 9; });
  cluster.world.Run(Options{}.lease);
  ASSERT_TRUE(cluster[1].FollowsInSync(cluster[0]));
  const MonoTime start = cluster.world.Now();
  const Status named = cluster.HandOver(cluster[0], cluster[1].Redis());
  EXPECT_EQ(named.code(), Code::kUnavailable);
  EXPECT_NE(named.message().find("refuses to lead"), std::string::npos) << named.ToString();
  std::optional<Status> chosen;
  cluster[0].store->HandOver(std::nullopt, [&](const Status& status) { chosen = status; });
  EXPECT_TRUE(cluster.world.RunUntil([&] { return chosen && cluster.AllInSync(cluster[2]); }));
  EXPECT_TRUE(chosen && chosen->ok());
  EXPECT_LT(cluster.world.Now() - start, Options{}.lease);
}

// It could be elected, and nobody could follow it.
TEST(Node, ANodeThatCannotBeDialledDoesNotBecomeAMember) {
  Cluster cluster(2);
  SimNode late(&cluster.world, 3);
  ASSERT_TRUE(late.Start().ok());
  auto listener = cluster.world.listeners.extract(static_cast<std::uint16_t>(late.Redis().port + 10000));
  ASSERT_FALSE(listener.empty());
  late.store->Follow(cluster[0].Redis());
  cluster.world.Run(Options{}.lease * 5);
  const auto info = cluster[0].store->Info();
  EXPECT_EQ(info.members.size(), 2U);
  EXPECT_TRUE(info.peers.size() == 2 && info.peers[1].in_sync && !info.peers[1].voting);
  EXPECT_NE(info.last_error.find("nothing that answers at 127.0.0.1:17003 is 127.0.0.1:7003"), std::string::npos)
      << info.last_error;
  // It keeps nobody else out.
  SimNode another(&cluster.world, 4);
  ASSERT_TRUE(another.Start().ok());
  another.store->Follow(cluster[0].Redis());
  EXPECT_TRUE(cluster.world.RunUntil([&] { return another.FollowsInSync(cluster[0]); }));
  ASSERT_TRUE(cluster[0].Set("k", "v").ok());
  cluster.world.listeners.insert(std::move(listener));
  EXPECT_TRUE(cluster.world.RunUntil([&] { return late.FollowsInSync(cluster[0]); }));
  EXPECT_TRUE(cluster[0].store->Info().last_error.empty());
}

// It was a member, and was started again where nobody can dial it: at another address, or with a firewall before it.
class Unreached : public testing::TestWithParam<bool> {
 protected:
  Unreached() : cluster(3) {
    EXPECT_TRUE(cluster[0].Set("k", "v").ok());
    cluster[1].Kill();
    if (GetParam()) cluster[1].moved_by = 100;
    EXPECT_TRUE(cluster[1].Start().ok());
    listener = cluster.world.listeners.extract(static_cast<std::uint16_t>(cluster[1].Redis().port + 10000));
    EXPECT_FALSE(listener.empty());
    cluster[1].store->Follow(cluster[0].Redis());
  }
  bool Streams() { return cluster[1].store->Info().streaming; }
  // Two nodes that reach each other are a majority.
  void ExpectTheOthersServe() {
    ASSERT_TRUE(cluster[0].Start().ok());
    (void)cluster.Promote(cluster[2]);  // unless the other one was faster
    ASSERT_TRUE(cluster.world.RunUntil([&] { return cluster[0].Serving() || cluster[2].Serving(); }));
    EXPECT_TRUE(cluster.Primary()->Set("k", "w").ok());
    cluster.world.Run(3 * Options{}.lease);
    EXPECT_TRUE(cluster[0].Serving() || cluster[2].Serving());
  }

  Cluster cluster;
  decltype(SimWorld::listeners)::node_type listener;
};

TEST_P(Unreached, IsToldSoAndNoRoleIsHandedToIt) {
  ASSERT_TRUE(cluster.world.RunUntil([&] { return Streams() && !cluster[1].store->Promotable(); }));
  EXPECT_NE(cluster[1].store->Info().last_error.find("does not reach this node"), std::string::npos)
      << cluster[1].store->Info().last_error;
  EXPECT_NE(cluster[0].store->Info().last_error.find("nothing that answers"), std::string::npos)
      << cluster[0].store->Info().last_error;
  EXPECT_EQ(cluster.HandOver(cluster[0], cluster[1].Redis()).code(), Code::kUnavailable);
  EXPECT_TRUE(cluster[0].Serving());
  std::optional<Status> chosen;
  cluster[0].store->HandOver(std::nullopt, [&](const Status& status) { chosen = status; });
  ASSERT_TRUE(cluster.world.RunUntil([&] { return chosen && cluster[2].Serving(); }));
  EXPECT_TRUE(chosen->ok());
  // It is reached again.
  cluster.world.listeners.insert(std::move(listener));
  ASSERT_TRUE(cluster.world.RunUntil([&] { return cluster[1].store->Promotable() && cluster.AllInSync(cluster[2]); }));
  EXPECT_EQ(cluster[1].store->Info().last_error.find("does not reach"), std::string::npos);
  EXPECT_TRUE(cluster.HandOver(cluster[2], cluster[1].Redis()).ok());
}

TEST_P(Unreached, IsNotElected) {
  ASSERT_TRUE(cluster.world.RunUntil([&] { return Streams(); }));
  cluster[0].Kill();
  std::optional<Status> answer;
  cluster[1].store->Promote(std::chrono::seconds(5), [&](const Status& status) { answer = status; });
  EXPECT_TRUE(cluster.world.RunUntil([&] { return answer.has_value(); }));
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->code(), Code::kNoPromise);
  EXPECT_NE(answer->message().find("does not reach this node"), std::string::npos) << answer->ToString();
  ExpectTheOthersServe();
}

// Whoever asks for votes gets none, and takes nobody's time: another one that asks is elected at once.
TEST_P(Unreached, KeepsNobodyFromBeingElected) {
  ASSERT_TRUE(cluster.world.RunUntil([&] { return Streams(); }));
  cluster[0].Kill();
  cluster[1].store->Promote(std::chrono::seconds(60), [](const Status&) {});
  cluster.world.Run(Options{}.lease);
  ExpectTheOthersServe();
}

// What a turn has written is committed by the order that comes in it.  When that fails, the turn's replies must not
// leave.
TEST(Node, AnOrderDoesNotHideFromItsTurnThatACommitHasFailed) {
  for (const bool hands_over : {false, true}) {
    Cluster cluster(3);
    ASSERT_TRUE(cluster[0].Set("k", "v").ok());
    cluster.world.Run(3 * Options{}.lease);
    for (const int backup : {2, 3}) cluster.world.Stop(backup);
    Store& store = *cluster[0].store;
    ASSERT_TRUE(store.CheckWrite(2, 1).ok());
    ASSERT_TRUE(store.Put(0, "k", {"later"}).ok());
    store.EndUnit();
    if (hands_over) {
      std::optional<Status> answer;
      store.HandOver(std::nullopt, [&](const Status& status) { answer = status; });
      EXPECT_EQ(answer.value_or(Status::Ok()).code(), Code::kNoQuorum);
    } else {
      EXPECT_EQ(store.Forget(cluster[1].Redis()).code(), Code::kNoQuorum);
    }
    EXPECT_TRUE(store.NeedsCommit());
    EXPECT_EQ(store.CommitInside().code(), Code::kNoQuorum) << "and all others in this turn fail as well";
    EXPECT_EQ(store.Commit().code(), Code::kNoQuorum);
    EXPECT_TRUE(store.Commit().ok()) << "the next turn has written nothing";
  }
}

// It was reached when it came, a while ago.
TEST(Node, ARoleIsNotHandedToWhoIsNotReachedAnyMore) {
  for (const bool chosen : {false, true}) {
    Cluster cluster(3);
    ASSERT_TRUE(cluster[0].Set("k", "v").ok());
    cluster.world.Run(3 * Options{}.lease);
    cluster.world.Hide(2);
    if (chosen) {
      EXPECT_EQ(cluster.HandOver(cluster[0], cluster[1].Redis()).code(), Code::kUnavailable);
      EXPECT_TRUE(cluster[0].Serving());
    }
    std::optional<Status> answer;
    cluster[0].store->HandOver(std::nullopt, [&](const Status& status) { answer = status; });
    ASSERT_TRUE(cluster.world.RunUntil([&] { return answer && cluster[2].Serving(); }));
    EXPECT_TRUE(answer->ok()) << answer->ToString();
  }
}

// What a primary said of its backups does not outlive it for long.
TEST(Node, NobodyStaysUnfitBecauseADeadPrimaryDidNotReachIt) {
  Cluster cluster(3);
  ASSERT_TRUE(cluster[0].Set("k", "v").ok());
  for (const int i : {1, 2}) {
    cluster[i].Kill();
    cluster.world.Hide(i + 1);
    ASSERT_TRUE(cluster[i].Start().ok());
    cluster[i].store->Follow(cluster[0].Redis());
    ASSERT_TRUE(cluster.world.RunUntil([&] { return cluster[0].store->Info().peers.size() == 2; }));
  }
  ASSERT_TRUE(
      cluster.world.RunUntil([&] { return !cluster[1].store->Promotable() && !cluster[2].store->Promotable(); }));
  cluster[0].Kill();
  for (const int i : {1, 2}) cluster.world.Show(i + 1);
  EXPECT_TRUE(cluster.world.RunUntil([&] { return cluster[1].store->Promotable() && cluster[2].store->Promotable(); }));
  EXPECT_TRUE(cluster.Promote(cluster[1]).ok());
}

INSTANTIATE_TEST_SUITE_P(All, Unreached, testing::Values(false, true),
                         [](const auto& test) { return test.param ? "AtAnotherAddress" : "WhereItWas"; });

TEST(Node, TheAddressOfANodeThatLivesIsNotAnotherOnes) {
  Cluster cluster(2);
  cluster.world.Run(Options{}.lease);  // the other one has answered a heartbeat
  SimNode late(&cluster.world, 3);
  late.redis_port = cluster[1].Redis().port;
  ASSERT_TRUE(late.Start().ok());
  late.store->Follow(cluster[0].Redis());
  ASSERT_TRUE(cluster.world.RunUntil([&] { return !late.store->Info().last_error.empty(); }));
  EXPECT_NE(late.store->Info().last_error.find("BADCONFIG 127.0.0.1:7002 is the address of another node"),
            std::string::npos)
      << late.store->Info().last_error;
  cluster.world.Run(Options{}.lease * 3);
  EXPECT_EQ(cluster[0].store->Info().members.size(), 2U);
  // It is the address of whoever comes in the place of the one that is gone.
  cluster[1].Kill();
  EXPECT_TRUE(cluster.world.RunUntil([&] { return late.store->Info().streaming; }));
}

// The way to a member leads to another one: its answers count for nobody.
TEST(Node, WhatAnswersInTheNameOfAMemberIsNamed) {
  Cluster cluster(3);
  auto& listeners = cluster.world.listeners;
  cluster[1].Kill();
  listeners[17002] = listeners.at(17003);
  cluster.world.CutOff(1);
  const auto told = [&] { return cluster[2].store->Info().last_error; };
  EXPECT_TRUE(cluster.world.RunUntil([&] { return told().find("another node answers") != std::string::npos; }))
      << told();
  listeners.erase(17002);
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

TEST(Node, AMemberThatIsGoneCanBeForgotten) {
  Cluster cluster(3);
  SimNode& primary = cluster[0];
  EXPECT_EQ(primary.store->Forget(cluster[2].Redis()).code(), Code::kUnavailable) << "it would join again";
  EXPECT_EQ(primary.store->Forget(primary.Redis()).code(), Code::kUnavailable);
  EXPECT_EQ(primary.store->Forget({"127.0.0.1", 1}).code(), Code::kUnavailable);
  EXPECT_EQ(cluster[1].store->Forget(cluster[2].Redis()).code(), Code::kNotPrimary);
  cluster[2].Kill();
  bool forgotten = false;
  ASSERT_TRUE(cluster.world.RunUntil([&] {
    forgotten = forgotten || primary.store->Forget(cluster[2].Redis()).ok();
    return forgotten;
  }));
  EXPECT_EQ(primary.store->Info().members.size(), 2U);
  EXPECT_TRUE(primary.Set("k", "v").ok());
  // Two of two are needed now; the third one, when it returns, joins anew.
  cluster[1].Kill();
  EXPECT_EQ(primary.Set("k", "w").code(), Code::kNoQuorum);
  ASSERT_TRUE(cluster[1].Start().ok());
  ASSERT_TRUE(cluster[2].Start().ok());
  EXPECT_TRUE(cluster.world.RunUntil([&] { return cluster.AllInSync(primary); }));
  EXPECT_EQ(primary.store->Info().members.size(), 3U);
}

TEST(Node, OfTwoMembersOneCanBeForcedToLeadAlone) {
  Cluster cluster(2);
  SimNode& heir = cluster[1];
  const auto force = [&] {
    std::optional<Status> answer;
    heir.store->Force([&](const Status& status) { answer = status; });
    cluster.world.RunUntil([&] { return answer.has_value(); });
    return *answer;
  };
  ASSERT_TRUE(cluster[0].Set("k", "v").ok());
  EXPECT_EQ(force().code(), Code::kNoPromise) << "the primary lives";
  ASSERT_TRUE(cluster.world.RunUntil([&] { return cluster[0].store->Serving(); }));
  std::optional<Status> of_primary;
  cluster[0].store->Force([&](const Status& status) { of_primary = status; });
  ASSERT_TRUE(of_primary);
  EXPECT_EQ(of_primary->code(), Code::kNoPromise) << "it has not become a cluster of its own";
  EXPECT_EQ(cluster[0].store->Info().members.size(), 2U);
  cluster[0].Kill();
  EXPECT_EQ(cluster.Promote(heir, std::chrono::seconds(3)).code(), Code::kNoPromise);
  ASSERT_TRUE(force().ok());
  EXPECT_EQ(heir.store->Info().members.size(), 1U);
  EXPECT_TRUE(force().ok()) << "it is one already";
  EXPECT_EQ(heir.Get("k").value(), "v");
  EXPECT_TRUE(heir.Set("k", "w").ok());
  // The other one hears of a later epoch, and follows.
  ASSERT_TRUE(cluster[0].Start().ok());
  EXPECT_TRUE(cluster.world.RunUntil([&] { return cluster.AllInSync(heir); }));
  EXPECT_FALSE(cluster[0].Get("k").ok());
  ASSERT_TRUE(cluster.Promote(cluster[0], std::chrono::seconds(3)).code() == Code::kNoPromise);
}

TEST(Node, ABackupAsksALivingPrimaryToHandOver) {
  Cluster cluster(3);
  ASSERT_TRUE(cluster[0].Set("k", "v").ok());
  std::optional<Status> answer;
  cluster[1].store->TakeOver(std::chrono::seconds(10), [&](const Status& status) { answer = status; });
  ASSERT_TRUE(cluster.world.RunUntil([&] { return cluster[0].asked_by == cluster[1].Redis(); }));
  EXPECT_TRUE(cluster.HandOver(cluster[0], cluster[0].asked_by).ok());
  ASSERT_TRUE(cluster.world.RunUntil([&] { return answer.has_value() && cluster.AllInSync(cluster[1]); }));
  EXPECT_TRUE(answer->ok()) << answer->ToString();
  EXPECT_EQ(cluster[1].Get("k").value(), "v");
  // Nobody to ask: a campaign.
  cluster[1].Kill();
  answer.reset();
  cluster[2].store->TakeOver(std::chrono::seconds(10), [&](const Status& status) { answer = status; });
  ASSERT_TRUE(cluster.world.RunUntil([&] { return answer.has_value(); }));
  EXPECT_TRUE(answer->ok()) << answer->ToString();
}

TEST(Node, AnOrderToLeadDuringAHandOverBeginsNoOtherElection) {
  Cluster cluster(3);
  ASSERT_TRUE(cluster[0].Set("k", "v").ok());
  const Epoch before = cluster[0].store->Info().epoch;
  cluster[0].store->HandOver(cluster[1].Redis(), [](const Status&) {});
  std::optional<Status> answer;
  // Also at every moment while it is being elected.
  ASSERT_TRUE(cluster.world.RunUntil([&] {
    if (cluster[1].store->Serving()) return true;
    cluster[1].store->TakeOver(std::chrono::seconds(10), [&](const Status& status) { answer = status; });
    return false;
  }));
  ASSERT_TRUE(cluster.world.RunUntil([&] { return cluster.AllInSync(cluster[1]); }));
  ASSERT_TRUE(answer.has_value());
  EXPECT_TRUE(answer->ok()) << answer->ToString();
  EXPECT_EQ(cluster[1].store->Info().epoch.value, before.value + 1);
}

// Nobody answers where the log says that members are: the backups are told where the old primary is now.
TEST(Node, MembersThatHaveAllMovedFindEachOtherByWhatTheyAreTold) {
  for (const bool primary_has_more : {false, true}) {
    for (const int told : {0, 1}) {
      Cluster cluster(3);
      ASSERT_TRUE(cluster[0].Set("k", "v").ok());
      if (primary_has_more) {
        for (int i : {1, 2}) cluster[i].Kill();
        EXPECT_FALSE(cluster[0].Set("more", "v").ok());
      }
      for (int i : {0, 1, 2}) {
        cluster[i].Kill();
        cluster[i].moved_by = 100;
      }
      for (int i : {0, 1, 2}) ASSERT_TRUE(cluster[i].Start().ok());
      for (int i : {0, 1, 2}) {
        if (i != told) cluster[i].store->Suggest(cluster[told].Redis());
      }
      ASSERT_TRUE(cluster.world.RunUntil([&] {
        SimNode* primary = cluster.Primary();
        return primary != nullptr && cluster.AllInSync(*primary);
      })) << primary_has_more
          << told;
      EXPECT_EQ(cluster.Primary()->Get("k").value(), "v");
    }
  }
}

// It comes back before the new one has heard an answer to its first heartbeat.
TEST(Node, AnOldPrimaryDoesNotReplaceTheOneThatWasJustElected) {
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    Cluster cluster(3, seed);
    ASSERT_TRUE(cluster[0].Set("k", "v").ok());
    cluster[0].Kill();
    ASSERT_TRUE(cluster.Promote(cluster[1]).ok());
    ASSERT_TRUE(cluster[0].Start().ok());
    EXPECT_TRUE(cluster.world.RunUntil([&] { return cluster.AllInSync(cluster[1]); }, std::chrono::seconds(20)))
        << seed;
  }
}

TEST(Node, WhoLeadsAgainDoesNotAcknowledgeWhatItLostMeanwhile) {
  Cluster cluster(3);
  ASSERT_TRUE(cluster[0].store->CheckWrite(2, 1).ok());
  ASSERT_TRUE(cluster[0].store->Put(0, "k", {"v"}).ok());
  cluster[0].store->EndUnit();
  cluster.world.CutOff(1);
  ASSERT_TRUE(cluster.Promote(cluster[1]).ok());
  cluster.world.Reconnect(1);
  ASSERT_TRUE(cluster.world.RunUntil([&] { return cluster[0].FollowsInSync(cluster[1]); }));
  cluster[1].Kill();
  ASSERT_TRUE(cluster.Promote(cluster[0]).ok());
  EXPECT_EQ(cluster[0].store->Commit().code(), Code::kFenced);
  EXPECT_EQ(cluster[0].Get("k").value(), std::nullopt);
  EXPECT_TRUE(cluster[0].Set("k", "w").ok());
}

TEST(Node, AHandOverThatWasNotTakenUpEndsTheTerm) {
  Cluster cluster(3);
  const Epoch before = cluster[0].store->Info().epoch;
  cluster.world.Run(std::chrono::milliseconds(100));  // it knows that it reaches its backups
  cluster.world.Block(1, 2);                          // the offer does not arrive
  const Status status = cluster.HandOver(cluster[0], cluster[1].Redis());
  EXPECT_EQ(status.code(), Code::kUnavailable) << status.ToString();
  ASSERT_TRUE(cluster.world.RunUntil([&] { return cluster[0].Serving(); }));
  EXPECT_GT(cluster[0].store->Info().epoch, before) << "what was offered cannot interrupt this term";
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
    for (int i = 0; i < 12; ++i) ASSERT_TRUE(node.store->Put(0, std::to_string(i), {value}).ok());
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

// Writes until the pool is full; returns how many writes were acknowledged.
int Fill(SimNode& node, const std::string& prefix) {
  for (int count = 0;; ++count) {
    const Status status = node.Set(prefix + std::to_string(count), std::string(100'000, 'v'));
    if (status.ok()) continue;
    EXPECT_EQ(status.code(), Code::kNoSpace) << status.ToString();
    return count;
  }
}

// Does the newest configuration say how large every pool is?
bool KnowsEveryPool(Cluster& cluster) {
  const SimNode* primary = cluster.Primary();
  if (primary == nullptr || !cluster.AllInSync(*primary)) return false;
  const Members members = primary->store->Info().members;
  return std::all_of(cluster.all.begin(), cluster.all.end(), [&](const auto& node) {
    return std::any_of(members.begin(), members.end(), [&](const Member& member) {
      return member.Redis() == node->Redis() && member.pool_bytes == node->disk->written.size();
    });
  });
}

// Whoever is grown first: the log uses what the last one has, and a pool that has not grown is never written beyond.
TEST(Node, PoolsGrowOneAfterTheOtherInAnyOrder) {
  int order[] = {0, 1, 2};
  do {
    SCOPED_TRACE(testing::Message() << order[0] << order[1] << order[2]);
    Cluster cluster(3, 1 + order[0]);
    const int before = Fill(cluster[0], "before");
    ASSERT_GT(before, 0);
    for (const int i : order) {
      EXPECT_EQ(cluster.Primary()->store->Info().pool_usable_bytes, 8 * kSegment);
      EXPECT_EQ(cluster.Primary()->Set("k", std::string(100'000, 'v')).code(), Code::kNoSpace);
      cluster[i].PowerOff();
      cluster[i].pool_bytes = kDisk + (8 + i) * kSegment;
      ASSERT_TRUE(cluster[i].Start().ok());
      ASSERT_TRUE(cluster.world.RunUntil([&] { return KnowsEveryPool(cluster); }));
    }
    ASSERT_TRUE(cluster.world.RunUntil([&] {
      return std::all_of(cluster.all.begin(), cluster.all.end(),
                         [](const auto& node) { return node->store->Info().pool_usable_bytes == 16 * kSegment; });
    }));
    SimNode& primary = *cluster.Primary();
    const int after = Fill(primary, "after");
    EXPECT_GT(after, before / 2);
    primary.PowerOff();
    SimNode& heir = &primary == &cluster[1] ? cluster[2] : cluster[1];
    const Status promoted = cluster.Promote(heir);
    ASSERT_TRUE(promoted.ok()) << promoted.ToString();
    for (int i = 0; i < before; ++i) ASSERT_TRUE((*heir.Get("before" + std::to_string(i))).has_value());
    for (int i = 0; i < after; ++i) ASSERT_TRUE((*heir.Get("after" + std::to_string(i))).has_value());
  } while (std::next_permutation(std::begin(order), std::end(order)));
}

// A member that is away counts: the log does not go where its pool has ended.
TEST(Node, AnAbsentMembersPoolIsNotOutgrown) {
  Cluster cluster(3);
  cluster[2].Kill();
  for (const int i : {1, 0}) {
    cluster[i].Kill();
    cluster[i].pool_bytes = 2 * kDisk;
    ASSERT_TRUE(cluster[i].Start().ok());
    ASSERT_TRUE(cluster.world.RunUntil([&] { return cluster[0].Serving() && cluster[1].FollowsInSync(cluster[0]); }));
  }
  Fill(cluster[0], "k");
  EXPECT_EQ(cluster[0].store->Info().pool_usable_bytes, 8 * kSegment);
  ASSERT_TRUE(cluster[2].Start().ok());
  EXPECT_TRUE(cluster.world.RunUntil([&] { return cluster.AllInSync(cluster[0]); }));
}

// What bound it as a primary does not bind it as a backup.
TEST(Node, ADeposedPrimaryFollowsIntoNewSegments) {
  Cluster cluster(3);
  cluster[0].Kill();
  cluster[0].pool_bytes = 2 * kDisk;
  ASSERT_TRUE(cluster[0].Start().ok());
  ASSERT_TRUE(cluster.world.RunUntil([&] { return cluster.AllInSync(cluster[0]); }));
  ASSERT_TRUE(cluster.HandOver(cluster[0], cluster[1].Redis()).ok());
  for (const int i : {2, 1}) {
    ASSERT_TRUE(cluster.world.RunUntil([&] { return cluster.AllInSync(cluster[1]); }));
    cluster[i].Kill();
    cluster[i].pool_bytes = 2 * kDisk;
    ASSERT_TRUE(cluster[i].Start().ok());
    ASSERT_TRUE(cluster.world.RunUntil([&] { return KnowsEveryPool(cluster); }));
  }
  ASSERT_TRUE(cluster[1].Serving());
  Fill(cluster[1], "k");
  EXPECT_GT(cluster[1].store->Info().pool_used_bytes, 8 * kSegment);
  const Lsn last = cluster[1].store->Info().last;
  EXPECT_TRUE(cluster.world.RunUntil([&] { return cluster[0].store->Info().durable >= last; }));
}

TEST(Node, ANodeWithASmallerPoolIsToldHowLargeItMustBe) {
  Cluster cluster(1);
  ASSERT_TRUE(cluster[0].Set("k", "v").ok());
  SimNode late(&cluster.world, 2);
  late.disk = std::make_shared<CrashDisk>(kDisk - kSegment);
  late.pool_bytes = kDisk - kSegment;
  ASSERT_TRUE(late.Start().ok());
  late.store->Follow(cluster[0].Redis());
  ASSERT_TRUE(cluster.world.RunUntil([&] { return !late.store->Info().last_error.empty(); }));
  const std::string error = late.store->Info().last_error;
  EXPECT_TRUE(error.starts_with("POOLSIZE")) << error;
  EXPECT_NE(error.find("faha.pool-bytes to at least " + std::to_string(kDisk)), std::string::npos) << error;
  EXPECT_EQ(cluster[0].store->Info().members.size(), 1U);
  late.Kill();
  late.pool_bytes = kDisk;
  ASSERT_TRUE(late.Start().ok());
  late.store->Follow(cluster[0].Redis());
  EXPECT_TRUE(cluster.world.RunUntil([&] { return late.FollowsInSync(cluster[0]); }));
}

// --- What was whole and is so no more.

const std::string kFound = "a value that is found on the medium";

// The medium of that node loses what it held of kFound, which is the value of "k", of its record's head, or of the LSN
// of the batch that it is in.
enum class Where { kValue, kKey, kValueBytes, kKeyBytes, kDb, kFlags, kLsn, kGeneration };
void Rot(SimNode& node, Where where = Where::kValue) {
  auto& bytes = node.disk->written;
  const auto* needle = reinterpret_cast<const std::byte*>(kFound.data());
  const auto found = std::search(bytes.begin(), bytes.end(), needle, needle + kFound.size());
  ASSERT_NE(found, bytes.end());
  const auto value = static_cast<std::size_t>(found - bytes.begin());
  const std::size_t record = value - 1 - sizeof(format::RecordHeader);
  const std::size_t batch = record - sizeof(format::BatchHeader);
  const std::size_t at = [&] {
    switch (where) {
      case Where::kValue: break;
      case Where::kKey: return value - 1;
      case Where::kValueBytes: return record + offsetof(format::RecordHeader, value_bytes) + 3;
      case Where::kKeyBytes: return record + offsetof(format::RecordHeader, key_bytes) + 1;
      case Where::kDb: return record + offsetof(format::RecordHeader, db);
      case Where::kFlags: return record + offsetof(format::RecordHeader, flags);
      case Where::kLsn: return batch + offsetof(format::BatchHeader, lsn) + 7;
      case Where::kGeneration: return batch + offsetof(format::BatchHeader, generation);
    }
    return value + kFound.size() / 2;
  }();
  node.disk->written[at] ^= std::byte{1};
  node.disk->drained[at] ^= std::byte{1};
}

// "k" is among what is overwritten until the cleaner, or a node that lacks it, comes to it.
void WriteAround(SimNode& node, int from) {
  for (int i = from; i < from + 400 && node.store->CheckWrite(0, 0).ok(); ++i) {
    if (!node.Set("filler" + std::to_string(i % 40), std::string(20'000, 'f')).ok()) break;
  }
}

// All nodes hold "k".
void HoldFound(Cluster& cluster) {
  ASSERT_TRUE(cluster[0].Set("k", kFound).ok());
  ASSERT_TRUE(cluster.world.RunUntil([&] { return cluster.AllInSync(cluster[0]); }));
}

// The primary that finds it hands over, and takes what the others hold.
void ExpectHealed(Cluster& cluster) {
  ASSERT_TRUE(cluster.world.RunUntil([&] { return cluster[0].installs > 0; }));
  SimNode* primary = nullptr;
  ASSERT_TRUE(cluster.world.RunUntil([&] {
    primary = cluster.Primary();
    return primary != nullptr && cluster.AllInSync(*primary);
  }));
  EXPECT_NE(primary, &cluster[0]);
  EXPECT_EQ(primary->Get("k").value(), kFound);
  ASSERT_TRUE(cluster.HandOver(*primary, cluster[0].Redis()).ok());
  ASSERT_TRUE(cluster.world.RunUntil([&] { return cluster[0].Serving(); }));
  EXPECT_EQ(cluster[0].Get("k").value(), kFound);
}

TEST(Rot, IsNotMovedByTheCleaner) {
  for (const std::uint64_t seed : {1, 2, 3, 4}) {
    SCOPED_TRACE(seed);
    Cluster cluster(3, seed);
    HoldFound(cluster);
    Rot(cluster[0]);
    for (int round = 0; round < 20 && cluster[0].Serving(); ++round) {
      WriteAround(cluster[0], 400 * round);
      cluster.world.Run(std::chrono::milliseconds(50));
    }
    ExpectHealed(cluster);
  }
}

TEST(Rot, IsNotShipped) {
  for (const std::uint64_t seed : {1, 2, 3, 4}) {
    SCOPED_TRACE(seed);
    Cluster cluster(3, seed);
    ASSERT_TRUE(cluster[0].Set("k", kFound).ok());
    ASSERT_TRUE(cluster[0].Set("other", "v").ok());
    ASSERT_TRUE(cluster.world.RunUntil([&] { return cluster.AllInSync(cluster[0]); }));
    cluster[2].Kill();
    Rot(cluster[0]);
    cluster[2].disk = std::make_shared<CrashDisk>(kDisk);  // it has lost its pool
    ASSERT_TRUE(cluster[2].Start().ok());
    cluster[2].store->Follow(cluster[0].Redis());
    ExpectHealed(cluster);
  }
}

// What says where a batch stands in the log can be damaged as well.
TEST(Rot, OfAnLsnIsNotShipped) {
  for (const std::uint64_t seed : {1, 2, 3, 4}) {
    for (const bool hands_over : {false, true}) {
      SCOPED_TRACE(testing::Message() << seed << (hands_over ? ", and the backup is there" : ""));
      Cluster cluster(3, seed);
      if (!hands_over) cluster[2].Kill();
      ASSERT_TRUE(cluster[0].Set("k", kFound).ok());
      Rot(cluster[0], Where::kLsn);
      if (hands_over) {
        // As a snapshot that finds it does.
        ASSERT_TRUE(cluster[0].store->HoldSegments([](const Status&) {}).ok());
        const Status status = cluster[0].store->ReadHeld([](DbId, std::string_view, const Entry&) { return true; });
        EXPECT_EQ(status.code(), Code::kCorrupt) << status.ToString();
        cluster[0].store->ReleaseSegments(status);
      } else {
        ASSERT_TRUE(cluster[2].Start().ok());
      }
      ExpectHealed(cluster);
    }
  }
}

// A command meets a damaged record, and writes what follows from it.
class RotInATurn : public testing::TestWithParam<Where> {};

TEST_P(RotInATurn, IsNotToldAndNothingFollowsFromIt) {
  for (const std::uint64_t seed : {1, 2, 3, 4}) {
    SCOPED_TRACE(seed);
    Cluster cluster(3, seed);
    HoldFound(cluster);
    Rot(cluster[0], GetParam());
    Store& store = *cluster[0].store;
    ASSERT_TRUE(store.CheckWrite(10'000, 10).ok());
    ASSERT_TRUE(store.Put(0, "before", {"in the same unit"}).ok());
    const auto entry = store.Get(0, "k");
    EXPECT_FALSE(entry.has_value()) << entry->value;
    (void)store.Put(0, "copy", {entry ? entry->value : "there was none"});
    (void)store.Put(0, "k", {"set, as it is absent"});
    store.EndUnit();
    EXPECT_EQ(store.Commit().code(), Code::kCorrupt);
    ExpectHealed(cluster);
    for (const auto* key : {"before", "copy"}) EXPECT_FALSE(cluster[0].Get(key).value().has_value()) << key;
  }
}

TEST_P(RotInATurn, IsFoundByAnOverwriteOrLeftBehind) {
  Cluster cluster(3, 1);
  HoldFound(cluster);
  Rot(cluster[0], GetParam());
  const Status status = cluster[0].Set("k", "other");
  if (GetParam() == Where::kValue) {
    ASSERT_TRUE(status.ok()) << "nobody has read it: " << status.ToString();
    EXPECT_EQ(cluster[0].Get("k").value(), "other");
  } else {
    EXPECT_EQ(status.code(), Code::kCorrupt);
    ExpectHealed(cluster);
  }
}

TEST_P(RotInATurn, IsFoundByWhoLooksAtAllKeys) {
  Cluster cluster(3, 1);
  HoldFound(cluster);
  Rot(cluster[0], GetParam());
  const Store& store = *cluster[0].store;
  std::vector<std::string> told;
  const auto tell = [&](std::string_view key) { told.emplace_back(key); };
  store.ForEachKey(0, tell);
  store.Scan(0, 0, [&](std::string_view key, TimeMs, ValueType) { tell(key); });
  store.RandomKey(0, 1, [&](std::string_view key, TimeMs, ValueType) { tell(key); });
  store.ScanExpiring(0, [&](DbId, std::string_view key, TimeMs) { tell(key); });
  if (GetParam() == Where::kValue) {
    EXPECT_EQ(told, (std::vector<std::string>{"k", "k", "k"})) << "keys are not damaged";
  } else {
    EXPECT_TRUE(told.empty()) << told.front();
    EXPECT_TRUE(store.NeedsCommit());
    EXPECT_EQ(cluster[0].store->Commit().code(), Code::kCorrupt);
    ExpectHealed(cluster);
  }
}

INSTANTIATE_TEST_SUITE_P(All, RotInATurn,
                         testing::Values(Where::kValue, Where::kKey, Where::kValueBytes, Where::kKeyBytes, Where::kDb,
                                         Where::kFlags));

// A backup applies a batch a while after it has landed.
TEST_P(RotInATurn, IsNotAppliedByABackup) {
  for (const int how : {0, 1, 2}) {
    const bool fails = how > 0, applies = how > 1;
    for (const bool hot : {false, true}) {
      SCOPED_TRACE(testing::Message() << (fails ? "the primary is gone" : "it hands over")
                                      << (applies ? ", it has applied" : "") << (hot ? ", hot" : ""));
      Cluster cluster(3, 1);
      ASSERT_TRUE(cluster[0].Set("k", "old").ok());
      ASSERT_TRUE(cluster.world.RunUntil([&] { return cluster.AllInSync(cluster[0]); }));
      if (hot) {
        ASSERT_TRUE(cluster.HandOver(cluster[0], cluster[1].Redis()).ok());
        for (int i = 0; i < 4; ++i) ASSERT_TRUE(cluster[1].Get("k").ok());
        ASSERT_TRUE(cluster[1].Set("other", "v").ok());
        ASSERT_TRUE(cluster.world.RunUntil([&] { return cluster.AllInSync(cluster[1]); }));
        ASSERT_TRUE(cluster.HandOver(cluster[1], cluster[0].Redis()).ok());
        ASSERT_TRUE(cluster.world.RunUntil([&] { return cluster.AllInSync(cluster[0]); }));
      }
      ASSERT_TRUE(cluster[0].Set("k", kFound).ok());
      Rot(cluster[1], GetParam());
      if (applies) cluster.world.Run(Options{}.lease);
      if (fails) {
        cluster[0].Kill();
        cluster[1].store->Promote(std::chrono::seconds(5), [](const Status&) {});
        cluster.world.Run(std::chrono::seconds(6));
        if (!cluster[1].Serving()) (void)cluster.Promote(cluster[2]);
      } else {
        cluster[0].store->HandOver(cluster[1].Redis(), [](const Status&) {});
      }
      SimNode* primary = nullptr;
      ASSERT_TRUE(cluster.world.RunUntil([&] { return (primary = cluster.Primary()) != nullptr; }));
      const auto read = primary->Get("k");
      if (read.ok()) {
        EXPECT_EQ(read.value(), kFound);
      }
      if (fails) {
        ASSERT_TRUE(cluster[0].Start().ok());
      }
      ASSERT_TRUE(cluster.world.RunUntil([&] {
        primary = cluster.Primary();
        return primary != nullptr && cluster.AllInSync(*primary);
      }));
      EXPECT_EQ(primary->Get("k").value(), kFound);
    }
  }
}

// A unit of several batches of which one is sealed already.
TEST(Rot, InTheMiddleOfALargeUnitLeavesNothingOfIt) {
  for (const std::uint64_t seed : {1, 2, 3, 4}) {
    SCOPED_TRACE(seed);
    Cluster cluster(3, seed);
    HoldFound(cluster);
    Rot(cluster[0]);
    Store& store = *cluster[0].store;
    ASSERT_TRUE(store.CheckWrite(3 * kSegment / 2, 3).ok());
    const std::string large(kSegment / 2 + 1000, 'x');
    for (const auto* key : {"1", "2"}) ASSERT_TRUE(store.Put(0, key, {large}).ok());
    EXPECT_FALSE(store.Get(0, "k").has_value());
    EXPECT_EQ(store.Put(0, "3", {"v"}).code(), Code::kCorrupt);
    store.EndUnit();
    EXPECT_EQ(store.Commit().code(), Code::kCorrupt);
    // It goes on until it has handed over, and the unit that is not whole ends nowhere.
    ASSERT_TRUE(cluster[0].Set("next", "unit").ok());
    for (const auto* key : {"1", "2", "3"}) EXPECT_FALSE(cluster[0].Get(key).value().has_value()) << key;
    ExpectHealed(cluster);
    for (const auto* key : {"1", "2", "3"}) EXPECT_FALSE(cluster[0].Get(key).value().has_value()) << key;
    EXPECT_EQ(cluster[0].Get("next").value(), "unit");
  }
}

// A snapshot is written by another process.
TEST(Rot, ThatAnotherProcessHasFoundIsTended) {
  Cluster cluster(3, 1);
  HoldFound(cluster);
  ASSERT_TRUE(cluster[0].store->HoldSegments([](const Status&) {}).ok());
  Rot(cluster[0]);
  cluster[0].store->ReleaseSegments({Code::kCorrupt, "the child says so"});
  ExpectHealed(cluster);
}

// It is not taken for a segment that is used again.
TEST(Rot, OfWhatSaysWhereABatchStandsIsTendedWhenASnapshotMeetsIt) {
  for (const Where where : {Where::kGeneration, Where::kLsn}) {
    for (const bool before : {false, true}) {
      SCOPED_TRACE(before);
      Cluster cluster(3, 1);
      HoldFound(cluster);
      if (before) Rot(cluster[0], where);
      ASSERT_TRUE(cluster[0].store->HoldSegments([](const Status&) {}).ok());
      if (!before) Rot(cluster[0], where);
      const Status status = cluster[0].store->ReadHeld([](DbId, std::string_view, const Entry&) { return true; });
      EXPECT_EQ(status.code(), Code::kCorrupt) << status.ToString();
      cluster[0].store->ReleaseSegments(status);
      ExpectHealed(cluster);
    }
  }
}

// The index grows, for which it hashes the keys that it names.  It names one no more, and nothing can be served.
TEST(Rot, OfAKeyThatTheIndexNeedsEndsInAHandOver) {
  Cluster cluster(3, 1);
  HoldFound(cluster);
  Rot(cluster[0], Where::kKey);
  Status status;
  for (int i = 0; i < 40'000 && status.ok(); i += 100) {
    for (int key = i; key < i + 100 && status.ok(); ++key) {
      status = cluster[0].store->CheckWrite(100, 1);
      if (status.ok()) status = cluster[0].store->Put(0, std::to_string(key), {"v"});
    }
    const Status committed = cluster[0].store->Commit();
    if (status.ok()) status = committed;
  }
  EXPECT_EQ(status.code(), Code::kCorrupt) << status.ToString();
  ExpectHealed(cluster);
}

// Of the newest record: the next start would take its batch for a torn one, and serve what stood there before.
TEST(Rot, ThatWasFoundIsNotForgottenByARestart) {
  SimWorld world(1);
  SimNode node(&world, 1);
  ASSERT_TRUE(node.Start().ok());
  ASSERT_TRUE(node.Set("k", "old").ok() && node.Set("k", kFound).ok());
  Rot(node);
  EXPECT_FALSE(node.Get("k").ok());
  node.Kill();
  EXPECT_EQ(node.Start().code(), Code::kCorrupt);
}

// It goes on until it can hand over.
TEST(Rot, WaitsForABackupThatIsInSync) {
  Cluster cluster(3, 1);
  ASSERT_TRUE(cluster[0].Set("k", kFound).ok());
  cluster[2].Kill();
  cluster.world.Stop(2);
  ASSERT_TRUE(cluster[0].store->HoldSegments([](const Status&) {}).ok());
  Rot(cluster[0]);
  cluster[0].store->ReleaseSegments({Code::kCorrupt, "the child says so"});
  cluster.world.Run(std::chrono::seconds(8));
  EXPECT_NE(cluster[0].store->Info().state, "failed");
  cluster.world.Continue(2);
  ASSERT_TRUE(cluster[2].Start().ok());
  ExpectHealed(cluster);
}

// The heir goes away when it is offered the role.
TEST(Rot, DoesNotKeepThePrimaryWhenItsHeirIsLost) {
  for (const bool stops : {false, true}) {
    SCOPED_TRACE(stops);
    Cluster cluster(3, 1);
    HoldFound(cluster);
    cluster.world.Run(std::chrono::milliseconds(100));
    Rot(cluster[0]);
    for (const int heir : {2, 3}) cluster.world.Block(1, heir);  // the offer does not arrive
    EXPECT_FALSE(cluster[0].store->Get(0, "k").has_value());
    EXPECT_EQ(cluster[0].store->Commit().code(), Code::kCorrupt);
    cluster.world.Run(std::chrono::milliseconds(20));
    stops ? cluster.world.Stop(2) : cluster[1].Kill();
    cluster.world.UnblockAll();
    cluster.world.Run(std::chrono::seconds(8));
    if (!cluster[0].Serving() && !cluster[2].Serving()) (void)cluster.Promote(cluster[2]);
    if (stops) cluster.world.Continue(2);
    if (!stops) {
      ASSERT_TRUE(cluster[1].Start().ok());
    }
    SimNode* primary = nullptr;
    ASSERT_TRUE(cluster.world.RunUntil(
        [&] {
          primary = cluster.Primary();
          return primary != nullptr && primary != &cluster[0] && cluster.AllInSync(*primary);
        },
        std::chrono::seconds(30)));
    EXPECT_EQ(primary->Get("k").value(), kFound);
  }
}

TEST(Rot, IsInNoSnapshot) {
  Cluster cluster(1);
  ASSERT_TRUE(cluster[0].Set("k", kFound).ok());
  ASSERT_TRUE(cluster[0].store->HoldSegments([](const Status&) {}).ok());
  Rot(cluster[0]);
  bool told = false;
  const Status status = cluster[0].store->ReadHeld([&](DbId, std::string_view key, const Entry&) {
    told = told || key == "k";
    return true;
  });
  EXPECT_EQ(status.code(), Code::kCorrupt) << status.ToString();
  EXPECT_FALSE(told);
}

TEST(Rot, EndsTheServiceOfANodeThatIsAlone) {
  Cluster cluster(1);
  ASSERT_TRUE(cluster[0].Set("k", kFound).ok());
  Rot(cluster[0]);
  for (int round = 0; round < 20 && cluster[0].Serving(); ++round) {
    WriteAround(cluster[0], 400 * round);
    cluster.world.Run(std::chrono::milliseconds(50));
  }
  EXPECT_EQ(cluster[0].store->Info().state, "failed");
  EXPECT_NE(cluster[0].store->Info().last_error.find("CORRUPT"), std::string::npos)
      << cluster[0].store->Info().last_error;
}

// --- Feature levels.

// Of this release, and of two that come after it.
constexpr FeatureLevel kNow = kHighestLevel, kNext = kNow + 1, kLater = kNow + 2;

void Restart(SimNode& node, FeatureLevel level) {
  node.Kill();
  node.feature_level = level;
  ASSERT_TRUE(node.Start().ok());
}

TEST(Levels, AreRaisedWhenTheLastMemberIsUpgradedAndNotBefore) {
  for (const std::uint64_t seed : {1, 2, 4}) {
    SCOPED_TRACE(seed);
    Cluster cluster(3, seed);
    const auto in_sync = [&](SimNode& primary) {
      return cluster.world.RunUntil([&] { return cluster.AllInSync(primary); });
    };
    const auto levels = [&] {
      std::vector<FeatureLevel> found;
      for (const auto& node : cluster.all) found.push_back(node->store->Info().feature_level);
      return found;
    };
    ASSERT_TRUE(cluster[0].Set("k", "v").ok());
    Restart(cluster[1], kNext);
    Restart(cluster[2], kNext);
    ASSERT_TRUE(in_sync(cluster[0]));
    EXPECT_EQ(levels(), (std::vector<FeatureLevel>{kNow, kNow, kNow}));
    Restart(cluster[2], kNow);  // the way back is open
    ASSERT_TRUE(in_sync(cluster[0]));
    Restart(cluster[2], kNext);
    ASSERT_TRUE(in_sync(cluster[0]));
    cluster[0].Kill();
    ASSERT_TRUE(cluster.Promote(cluster[1]).ok());
    ASSERT_TRUE(cluster[1].Set("without", "one").ok());
    EXPECT_EQ(cluster[1].store->Info().feature_level, kNow) << "a member that is away may come back as it was";
    Restart(cluster[0], kNow);
    ASSERT_TRUE(in_sync(cluster[1]));
    Restart(cluster[0], kNext);
    ASSERT_TRUE(cluster.world.RunUntil([&] { return levels() == std::vector<FeatureLevel>{kNext, kNext, kNext}; }));
    ASSERT_TRUE(in_sync(cluster[1]));
    ASSERT_TRUE(cluster[1].Set("k", "w").ok());
    // No way back.
    cluster[2].Kill();
    cluster[2].feature_level = kNow;
    EXPECT_EQ(cluster[2].Start().code(), Code::kPoolVersion);
    cluster[2].feature_level = kLater;
    ASSERT_TRUE(cluster[2].Start().ok());
    ASSERT_TRUE(in_sync(cluster[1]));
    cluster[1].Kill();
    ASSERT_TRUE(cluster.Promote(cluster[2]).ok());
    Restart(cluster[1], kNext);
    ASSERT_TRUE(in_sync(cluster[2]));
    EXPECT_EQ(levels(), (std::vector<FeatureLevel>{kNext, kNext, kNext})) << "one of three offers more";
    EXPECT_EQ(cluster[2].Get("k").value(), "w");
    EXPECT_EQ(cluster[2].Get("without").value(), "one");
  }
}

TEST(Levels, ValuesOfOtherTypesAreStoredWhenAllMembersKnowThem) {
  Cluster cluster(3);
  const Entry hash{"packed", kNoExpiry, ValueType::kHash};
  ASSERT_GE(cluster[0].store->Info().feature_level, kValueTypesLevel);
  ASSERT_TRUE(cluster[0].store->Put(0, "h", hash).ok());
  ASSERT_TRUE(cluster[0].store->Commit().ok());
  ASSERT_TRUE(cluster.world.RunUntil([&] { return cluster.AllInSync(cluster[0]); }));
  cluster[0].Kill();
  ASSERT_TRUE(cluster.Promote(cluster[1]).ok());
  const auto found = cluster[1].store->Get(0, "h");
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->type, ValueType::kHash);
  EXPECT_EQ(found->value, "packed");
}

TEST(Levels, AnEarlierLevelHasOnlyStrings) {
  Cluster cluster(3, 1);
  SimNode node(&cluster.world, 9);
  node.feature_level = kValueTypesLevel - 1;
  ASSERT_TRUE(node.Start().ok());
  EXPECT_EQ(node.store->Put(0, "h", {"packed", kNoExpiry, ValueType::kHash}).code(), Code::kPeerVersion);
  EXPECT_TRUE(node.store->Put(0, "s", {"text"}).ok());
  EXPECT_FALSE(node.store->Get(0, "h").has_value());
}

TEST(Levels, WhoOffersLessThanTheClusterIsNotAdmitted) {
  Cluster cluster(3);
  for (const auto& node : cluster.all) Restart(*node, kNext);
  ASSERT_TRUE(cluster.world.RunUntil([&] { return cluster.Primary() != nullptr; }));
  ASSERT_TRUE(cluster.world.RunUntil([&] { return cluster.Primary()->store->Info().feature_level == kNext; }));
  SimNode old(&cluster.world, 4);
  old.feature_level = kNow;
  ASSERT_TRUE(old.Start().ok());
  SimNode* primary = cluster.Primary();
  ASSERT_NE(primary, nullptr);
  old.store->Follow(primary->Redis());
  ASSERT_TRUE(cluster.world.RunUntil([&] { return old.store->Info().last_error.starts_with("PEERVERSION"); }));
  EXPECT_EQ(primary->store->Info().members.size(), 3U);
  Restart(old, kNext);
  old.store->Follow(primary->Redis());
  EXPECT_TRUE(cluster.world.RunUntil([&] { return old.FollowsInSync(*primary); }));
  EXPECT_EQ(old.store->Info().feature_level, kNext);
}

TEST(Levels, ANodeAloneOffersItsOwnAndMayJoinAClusterOfALowerOne) {
  Cluster cluster(3);
  SimNode later(&cluster.world, 4);
  later.feature_level = kNext;
  ASSERT_TRUE(later.Start().ok());
  ASSERT_TRUE(cluster.world.RunUntil([&] { return later.Serving(); }));
  EXPECT_EQ(later.store->Info().feature_level, kNext);
  later.store->Follow(cluster[0].Redis());
  ASSERT_TRUE(cluster.world.RunUntil([&] { return later.FollowsInSync(cluster[0]); }));
  EXPECT_EQ(later.store->Info().feature_level, kNow);
  Restart(later, kNow);
  EXPECT_TRUE(cluster.world.RunUntil([&] { return later.FollowsInSync(cluster[0]); }));
}

}  // namespace
}  // namespace faha
