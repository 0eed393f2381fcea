// What counts as committed.
#include "store/committer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "tests/fakes/crash_media.h"
#include "tests/fakes/sent_fabric.h"

namespace faha {
namespace {

constexpr std::uint64_t kSegment = 1ULL << 20;

// A cluster of one, so that what is durable here is on a majority.
class CommitterTest : public testing::Test {
 protected:
  void SetUp() override {
    auto disk = std::make_shared<CrashDisk>((2ULL << 20) + 8 * kSegment);
    pool_ = std::move(Pool::Open(std::make_unique<CrashMedia>(disk, 64), kSegment).value());
    log_ = std::move(Log::Open(pool_.get(), {}).value());
    self_ = {pool_->node(), "127.0.0.1", 17001, 7001};
    membership_.Add(Lsn{1}, {{self_}});
    committer_ = std::make_unique<Committer>(log_.get(), &membership_, &options_, self_);
  }
  void AppendDurably(Epoch epoch) {
    log_->SetEpoch(epoch);
    ASSERT_TRUE(log_->Append({.kind = format::RecordKind::kPut, .key = "k", .value = "v"}).ok());
    ASSERT_TRUE(log_->Seal().ok());
    ASSERT_TRUE(log_->Drain().ok());
  }

  Options options_;
  std::unique_ptr<Pool> pool_;
  std::unique_ptr<Log> log_;
  Member self_;
  Membership membership_;
  std::unique_ptr<Committer> committer_;
};

// Raft, figure 8: a batch of an earlier epoch on a majority may still be replaced by a node that was not asked.
TEST_F(CommitterTest, ABatchOfAnEarlierEpochIsNotCommittedByCountingItsCopies) {
  AppendDurably(Epoch{1});
  AppendDurably(Epoch{1});
  committer_->Begin(Epoch{3}, Lsn{3});
  EXPECT_FALSE(committer_->Advance(MonoTime{0}));
  EXPECT_EQ(committer_->committed(), Lsn{});
  EXPECT_FALSE(committer_->Acknowledged(Lsn{1}));
  AppendDurably(Epoch{3});
  EXPECT_TRUE(committer_->Advance(MonoTime{0}));
  EXPECT_EQ(committer_->committed(), Lsn{3});
}

TEST_F(CommitterTest, WhatIsNotDurableHereIsNotCommitted) {
  committer_->Begin(Epoch{1}, Lsn{1});
  log_->SetEpoch(Epoch{1});
  ASSERT_TRUE(log_->Append({.kind = format::RecordKind::kPut, .key = "k", .value = "v"}).ok());
  ASSERT_TRUE(log_->Seal().ok());
  EXPECT_FALSE(committer_->Advance(MonoTime{0}));
  EXPECT_FALSE(committer_->Acknowledged(Lsn{1}));
  ASSERT_TRUE(log_->Drain().ok());
  EXPECT_TRUE(committer_->Advance(MonoTime{0}));
  EXPECT_TRUE(committer_->Acknowledged(Lsn{1}));
}

TEST_F(CommitterTest, MoreCopiesThanThereAreAreNeverReached) {
  options_.min_acks = 2;
  committer_->Begin(Epoch{1}, Lsn{1});
  AppendDurably(Epoch{1});
  EXPECT_TRUE(committer_->Advance(MonoTime{0}));
  EXPECT_FALSE(committer_->Acknowledged(Lsn{1}));
}

// A cluster of three whose other members have just been admitted.
class CatchingUpTest : public CommitterTest {
 protected:
  void SetUp() override {
    CommitterTest::SetUp();
    const Member near{NodeId{{1}}, "127.0.0.1", 17002, 7002}, far{NodeId{{2}}, "127.0.0.1", 17003, 7003};
    membership_.Add(Lsn{2}, {{self_, near, far}});
    near_ = Admit(near, kNear);
    far_ = Admit(far, kFar);
    far_->owed = Lsn{100};
    committer_->Begin(Epoch{1}, Lsn{1});
    AppendDurably(Epoch{1});
  }
  Shipper* Admit(const Member& member, LinkId data) {
    const Shipper::Terms terms{.receiver = member,
                               .domain = PersistenceDomain::kCacheLine,
                               .released_through = {},
                               .common = {},
                               .control = LinkId{static_cast<std::uint64_t>(data) + 10}};
    Shipper* shipper = committer_->Admit(std::make_unique<Shipper>(&fabric_, std::make_unique<EndlessLog>(64), terms));
    shipper->OpenData(data);
    return shipper;
  }
  // Whom batches were sent to since the last call.
  std::vector<LinkId> Sent() {
    std::vector<LinkId> links = std::exchange(fabric_.links, {});
    links.erase(std::unique(links.begin(), links.end()), links.end());
    return links;
  }

  static constexpr LinkId kNear{1}, kFar{2};
  const Endpoint far_endpoint_{"127.0.0.1", 7003};
  SentFabric fabric_;
  Shipper* near_ = nullptr;
  Shipper* far_ = nullptr;
};

TEST_F(CatchingUpTest, ATokenOpensOneDataLink) {
  constexpr std::uint64_t kToken = 42;
  EXPECT_EQ(committer_->FindToken(0), nullptr) << "those that are open have none any more";
  Shipper* shipper = committer_->Admit(std::make_unique<Shipper>(
      &fabric_, std::make_unique<EndlessLog>(64),
      Shipper::Terms{.receiver = near_->receiver(), .released_through = {}, .common = {}, .token = kToken}));
  EXPECT_EQ(committer_->FindToken(kToken - 1), nullptr);
  ASSERT_EQ(committer_->FindToken(kToken), shipper);
  shipper->OpenData(kNear);
  EXPECT_EQ(committer_->FindToken(kToken), nullptr);
  EXPECT_EQ(committer_->FindToken(0), nullptr);
}

TEST_F(CatchingUpTest, WhoeverAMajorityNeedsIsSentAllAtOnce) {
  committer_->Pump(Epoch{1});
  EXPECT_EQ(Sent(), (std::vector<LinkId>{kNear, kFar}));
}

TEST_F(CatchingUpTest, WhomNoCommitNeedsWaitsForItsSlice) {
  committer_->Pump(Epoch{1});
  ASSERT_TRUE(near_->OnAck(near_->posted(), Lsn{}));
  ASSERT_TRUE(far_->OnAck(Lsn{1}, Lsn{}));
  EXPECT_TRUE(committer_->Advance(MonoTime{0}));
  ASSERT_TRUE(near_->in_sync && !far_->in_sync);
  Sent();
  committer_->Pump(Epoch{1});
  EXPECT_EQ(Sent(), std::vector<LinkId>{kNear});
  committer_->PumpSpared(Epoch{1}, MonoTime{0});
  EXPECT_EQ(Sent(), std::vector<LinkId>{kFar});

  committer_->Drop(kNear);
  ASSERT_TRUE(far_->OnAck(Lsn{2}, Lsn{}));
  committer_->PumpSpared(Epoch{1}, MonoTime{0});
  EXPECT_EQ(Sent(), std::vector<LinkId>{});
  committer_->Pump(Epoch{1});
  EXPECT_EQ(Sent(), std::vector<LinkId>{kFar});
}

TEST_F(CatchingUpTest, WhoIsGivenUpOnAgainAndAgainReturnsLaterEachTime) {
  MonoTime now{1'000'000};
  const auto fails_and_returns = [&] {
    committer_->Pump(Epoch{1});
    EXPECT_TRUE(near_->OnAck(near_->posted(), Lsn{}));
    EXPECT_TRUE(near_->in_sync || (committer_->Advance(now), near_->in_sync));
    const std::size_t slow = committer_->GiveUpOn(near_->posted().Next(), now).size();
    EXPECT_EQ(slow, 1U);
    near_->owed = Lsn{};  // it has caught up at once
    const MonoTime since = now;
    while (!near_->in_sync && now - since < std::chrono::minutes(5)) {
      now += std::chrono::milliseconds(100);
      committer_->Advance(now);
    }
    return now - since;
  };
  EXPECT_LE(fails_and_returns(), std::chrono::milliseconds(100));
  MonoTime before{0};
  for (int i = 0; i < 4; ++i) {
    const MonoTime took = fails_and_returns();
    EXPECT_GE(took, std::max<MonoTime>(std::chrono::seconds(2), 2 * before - std::chrono::milliseconds(200)));
    before = took;
  }
  // Where faha.min-acks asks for its copy nobody goes on without it.
  options_.min_acks = 2;
  EXPECT_LE(fails_and_returns(), std::chrono::milliseconds(100));
  options_.min_acks = 0;
  now += std::chrono::minutes(2);
  EXPECT_LE(fails_and_returns(), std::chrono::milliseconds(100)) << "old failures are forgotten";
}

TEST_F(CatchingUpTest, WhoAcknowledgesNothingLosesItsClaimOnTheLog) {
  constexpr MonoTime kPatience = std::chrono::seconds(1);
  fabric_.places = true;  // a device reads what is placed until the receiver has it
  committer_->Pump(Epoch{1});
  committer_->Advance(MonoTime{0});
  EXPECT_TRUE(committer_->Claimed(Lsn{1}, Lsn{1}));
  EXPECT_TRUE(near_->OnAck(near_->posted(), Lsn{}));
  committer_->Advance(MonoTime{1});
  EXPECT_TRUE(committer_->Claimed(Lsn{1}, Lsn{1})) << "the other one";
  EXPECT_TRUE(committer_->DropStalled(kPatience, kPatience).empty());
  const MonoTime late = kPatience + Shipper::TimeOf(far_->posted().value * 64) + MonoTime{2};
  EXPECT_EQ(committer_->DropStalled(late, kPatience), std::vector<Endpoint>{far_endpoint_});
  EXPECT_FALSE(committer_->Claimed(Lsn{1}, Lsn{1}));
  EXPECT_EQ(committer_->shippers().size(), 1U);
}

TEST_F(CatchingUpTest, ACopyThatMinAcksAsksForIsNeeded) {
  committer_->Pump(Epoch{1});
  ASSERT_TRUE(near_->OnAck(near_->posted(), Lsn{}));
  ASSERT_TRUE(far_->OnAck(Lsn{1}, Lsn{}));
  EXPECT_TRUE(committer_->Advance(MonoTime{0}));
  options_.min_acks = 3;
  Sent();
  committer_->Pump(Epoch{1});
  EXPECT_EQ(Sent(), (std::vector<LinkId>{kNear, kFar}));
}

}  // namespace
}  // namespace faha
