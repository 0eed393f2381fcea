// What is under way to a receiver, and what counts as arrived.
#include "replication/shipper.h"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

namespace faha {
namespace {

constexpr std::size_t kNoLimit = std::numeric_limits<std::size_t>::max();
constexpr LinkId kControl{1}, kData{2};

// Remembers what it was to send.
class SentFabric final : public Fabric {
 public:
  std::vector<std::size_t> bodies;
  bool places = false;

  using Fabric::Send;
  Status Listen(const Endpoint&) override { return Status::Ok(); }
  LinkId Dial(const Endpoint&, Lane) override { return LinkId::kNone; }
  void Send(LinkId link, std::span<const std::byte>, std::span<const std::byte> body) override {
    if (link == kData) bodies.push_back(body.size());
  }
  bool Place(LinkId, std::span<const std::byte> body, std::uint64_t) override {
    if (places) bodies.push_back(body.size());
    return places;
  }
  void AllowBody(LinkId, std::uint32_t) override {}
  void Close(LinkId) override {}
  void Poll(std::chrono::microseconds, FabricHandler&) override {}
  Status ShareMemory(std::span<std::byte>, std::uint64_t, bool) override { return Status::Ok(); }
  [[nodiscard]] int descriptor() const override { return -1; }
};

// An endless log of batches of one size.
class EndlessLog final : public BatchReader {
 public:
  explicit EndlessLog(std::size_t batch_bytes, std::uint64_t opens_every = 0)
      : bytes_(batch_bytes), opens_every_(opens_every) {}
  std::optional<Shippable> Peek() override {
    Shippable batch{.lsn = Lsn{taken_ + 1}, .at = LogAddress{1}, .bytes = bytes_, .reused_after = {}};
    batch.opens_segment = opens_every_ != 0 && batch.lsn.value % opens_every_ == 0;
    return batch;
  }
  void Take() override { ++taken_; }
  [[nodiscard]] Lsn Committed() const override { return Lsn{}; }

 private:
  std::vector<std::byte> bytes_;
  std::uint64_t opens_every_, taken_ = 0;
};

class ShipperTest : public testing::Test {
 protected:
  Shipper Shipping(std::size_t batch_bytes, std::uint64_t opens_every = 0) {
    Shipper shipper(&fabric_, std::make_unique<EndlessLog>(batch_bytes, opens_every),
                    {.receiver = {}, .released_through = {}, .freed_through = {}, .common = {}, .control = kControl});
    shipper.OpenData(kData);
    return shipper;
  }
  SentFabric fabric_;
};

TEST_F(ShipperTest, NoMoreBatchesAreUnderWayThanTheDepthAllows) {
  Shipper shipper = Shipping(64);
  EXPECT_TRUE(shipper.Pump(Epoch{1}, Lsn{}, 3));
  EXPECT_EQ(shipper.posted(), Lsn{3});
  EXPECT_TRUE(shipper.Pump(Epoch{1}, Lsn{}, 3));
  EXPECT_EQ(shipper.posted(), Lsn{3});
  EXPECT_TRUE(shipper.OnAck(Lsn{2}, Lsn{}, true));
  EXPECT_TRUE(shipper.Pump(Epoch{1}, Lsn{}, 3));
  EXPECT_EQ(shipper.posted(), Lsn{5});
  EXPECT_TRUE(shipper.Pump(Epoch{1}, Lsn{}, 1));  // it was lowered meanwhile
  EXPECT_EQ(shipper.posted(), Lsn{5});
  EXPECT_EQ(fabric_.bodies.size(), 5U);
}

TEST_F(ShipperTest, NoMoreBytesAreUnderWayThanTheWindowHolds) {
  Shipper shipper = Shipping(Shipper::kWindowBytes / 4);
  EXPECT_TRUE(shipper.Pump(Epoch{1}, Lsn{}, kNoLimit));
  EXPECT_EQ(shipper.posted(), Lsn{4});
  EXPECT_TRUE(shipper.OnAck(Lsn{1}, Lsn{}, true));
  EXPECT_TRUE(shipper.Pump(Epoch{1}, Lsn{}, kNoLimit));
  EXPECT_EQ(shipper.posted(), Lsn{5});
}

TEST_F(ShipperTest, AnAcknowledgementOfWhatWasNeverSentIsALie) {
  Shipper shipper = Shipping(64);
  EXPECT_TRUE(shipper.Pump(Epoch{1}, Lsn{}, 3));
  EXPECT_FALSE(shipper.OnAck(Lsn{4}, Lsn{}, true));
  EXPECT_EQ(shipper.acked(), Lsn{});
}

TEST_F(ShipperTest, AcknowledgementsNeverGoBack) {
  Shipper shipper = Shipping(64);
  EXPECT_TRUE(shipper.Pump(Epoch{1}, Lsn{}, 4));
  EXPECT_TRUE(shipper.OnAck(Lsn{3}, Lsn{}, true));
  EXPECT_TRUE(shipper.OnAck(Lsn{1}, Lsn{}, true));
  EXPECT_EQ(shipper.acked(), Lsn{3});
}

// The segment's table entry is the receiver's to write: what the device has flushed cannot be found without it.
TEST_F(ShipperTest, WhatTheDeviceFlushesCountsUpToABatchThatNeedsTheReceiver) {
  fabric_.places = true;
  Shipper shipper = Shipping(64, 3);
  EXPECT_TRUE(shipper.Pump(Epoch{1}, Lsn{}, 5));
  shipper.OnFlushed(5);
  EXPECT_EQ(shipper.acked(), Lsn{2});
  EXPECT_TRUE(shipper.OnAck(Lsn{3}, Lsn{}, true));
  EXPECT_EQ(shipper.acked(), Lsn{5});
}

}  // namespace
}  // namespace faha
