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
    membership_.Add(Lsn{1}, {self_});
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
  EXPECT_FALSE(committer_->Advance());
  EXPECT_EQ(committer_->committed(), Lsn{});
  EXPECT_FALSE(committer_->Acknowledged(Lsn{1}));
  AppendDurably(Epoch{3});
  EXPECT_TRUE(committer_->Advance());
  EXPECT_EQ(committer_->committed(), Lsn{3});
}

TEST_F(CommitterTest, WhatIsNotDurableHereIsNotCommitted) {
  committer_->Begin(Epoch{1}, Lsn{1});
  log_->SetEpoch(Epoch{1});
  ASSERT_TRUE(log_->Append({.kind = format::RecordKind::kPut, .key = "k", .value = "v"}).ok());
  ASSERT_TRUE(log_->Seal().ok());
  EXPECT_FALSE(committer_->Advance());
  EXPECT_FALSE(committer_->Acknowledged(Lsn{1}));
  ASSERT_TRUE(log_->Drain().ok());
  EXPECT_TRUE(committer_->Advance());
  EXPECT_TRUE(committer_->Acknowledged(Lsn{1}));
}

TEST_F(CommitterTest, MoreCopiesThanThereAreAreNeverReached) {
  options_.min_acks = 2;
  committer_->Begin(Epoch{1}, Lsn{1});
  AppendDurably(Epoch{1});
  EXPECT_TRUE(committer_->Advance());
  EXPECT_FALSE(committer_->Acknowledged(Lsn{1}));
}

// A cluster of three whose other members have just been admitted.
class CatchingUpTest : public CommitterTest {
 protected:
  void SetUp() override {
    CommitterTest::SetUp();
    const Member near{NodeId{{1}}, "127.0.0.1", 17002, 7002}, far{NodeId{{2}}, "127.0.0.1", 17003, 7003};
    membership_.Add(Lsn{2}, {self_, near, far});
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
                               .freed_through = {},
                               .common = {},
                               .control = LinkId{9}};
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
  SentFabric fabric_;
  Shipper* near_ = nullptr;
  Shipper* far_ = nullptr;
};

TEST_F(CatchingUpTest, WhoeverAMajorityNeedsIsSentAllAtOnce) {
  committer_->Pump(Epoch{1});
  EXPECT_EQ(Sent(), (std::vector<LinkId>{kNear, kFar}));
}

TEST_F(CatchingUpTest, WhomNoCommitNeedsWaitsForItsSlice) {
  committer_->Pump(Epoch{1});
  ASSERT_TRUE(near_->OnAck(near_->posted(), Lsn{}, true));
  ASSERT_TRUE(far_->OnAck(Lsn{1}, Lsn{}, true));
  EXPECT_TRUE(committer_->Advance());
  ASSERT_TRUE(near_->in_sync && !far_->in_sync);
  Sent();
  committer_->Pump(Epoch{1});
  EXPECT_EQ(Sent(), std::vector<LinkId>{kNear});
  committer_->PumpSpared(Epoch{1}, MonoTime{0});
  EXPECT_EQ(Sent(), std::vector<LinkId>{kFar});

  committer_->Drop(kNear);
  ASSERT_TRUE(far_->OnAck(Lsn{2}, Lsn{}, true));
  committer_->PumpSpared(Epoch{1}, MonoTime{0});
  EXPECT_EQ(Sent(), std::vector<LinkId>{});
  committer_->Pump(Epoch{1});
  EXPECT_EQ(Sent(), std::vector<LinkId>{kFar});
}

TEST_F(CatchingUpTest, ACopyThatMinAcksAsksForIsNeeded) {
  committer_->Pump(Epoch{1});
  ASSERT_TRUE(near_->OnAck(near_->posted(), Lsn{}, true));
  ASSERT_TRUE(far_->OnAck(Lsn{1}, Lsn{}, true));
  EXPECT_TRUE(committer_->Advance());
  options_.min_acks = 3;
  Sent();
  committer_->Pump(Epoch{1});
  EXPECT_EQ(Sent(), (std::vector<LinkId>{kNear, kFar}));
}

}  // namespace
}  // namespace faha
