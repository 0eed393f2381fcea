// What is under way to a receiver, and what counts as arrived.
#include "replication/shipper.h"

#include <gtest/gtest.h>

#include <limits>

#include "tests/fakes/sent_fabric.h"

namespace faha {
namespace {

constexpr std::size_t kNoLimit = std::numeric_limits<std::size_t>::max();

class ShipperTest : public testing::Test {
 protected:
  Shipper Shipping(std::size_t batch_bytes, std::uint64_t opens_every = 0) {
    Shipper shipper(&fabric_, std::make_unique<EndlessLog>(batch_bytes, opens_every),
                    {.receiver = {}, .released_through = {}, .common = {}, .control = LinkId{1}});
    shipper.OpenData(LinkId{2});
    return shipper;
  }
  SentFabric fabric_;
};

TEST_F(ShipperTest, NoMoreBatchesAreUnderWayThanTheDepthAllows) {
  Shipper shipper = Shipping(64);
  shipper.Pump(Epoch{1}, Lsn{}, 3);
  EXPECT_EQ(shipper.posted(), Lsn{3});
  shipper.Pump(Epoch{1}, Lsn{}, 3);
  EXPECT_EQ(shipper.posted(), Lsn{3});
  EXPECT_TRUE(shipper.OnAck(Lsn{2}, Lsn{}));
  shipper.Pump(Epoch{1}, Lsn{}, 3);
  EXPECT_EQ(shipper.posted(), Lsn{5});
  shipper.Pump(Epoch{1}, Lsn{}, 1);  // it was lowered meanwhile
  EXPECT_EQ(shipper.posted(), Lsn{5});
  EXPECT_EQ(fabric_.bodies.size(), 5U);
}

TEST_F(ShipperTest, NoMoreBytesAreUnderWayThanTheWindowHolds) {
  Shipper shipper = Shipping(Shipper::kWindowBytes / 4);
  shipper.Pump(Epoch{1}, Lsn{}, kNoLimit);
  EXPECT_EQ(shipper.posted(), Lsn{4});
  EXPECT_TRUE(shipper.OnAck(Lsn{1}, Lsn{}));
  shipper.Pump(Epoch{1}, Lsn{}, kNoLimit);
  EXPECT_EQ(shipper.posted(), Lsn{5});
}

TEST_F(ShipperTest, AnAcknowledgementOfWhatWasNeverSentIsALie) {
  Shipper shipper = Shipping(64);
  shipper.Pump(Epoch{1}, Lsn{}, 3);
  EXPECT_FALSE(shipper.OnAck(Lsn{4}, Lsn{}));
  EXPECT_EQ(shipper.acked(), Lsn{});
}

TEST_F(ShipperTest, AcknowledgementsNeverGoBack) {
  Shipper shipper = Shipping(64);
  shipper.Pump(Epoch{1}, Lsn{}, 4);
  EXPECT_TRUE(shipper.OnAck(Lsn{3}, Lsn{}));
  EXPECT_TRUE(shipper.OnAck(Lsn{1}, Lsn{}));
  EXPECT_EQ(shipper.acked(), Lsn{3});
}

// The segment's table entry is the receiver's to write: what the device has flushed cannot be found without it.
TEST_F(ShipperTest, WhatTheDeviceFlushesCountsUpToABatchThatNeedsTheReceiver) {
  fabric_.places = true;
  Shipper shipper = Shipping(64, 3);
  shipper.Pump(Epoch{1}, Lsn{}, 5);
  shipper.OnFlushed(5);
  EXPECT_EQ(shipper.acked(), Lsn{2});
  EXPECT_TRUE(shipper.OnAck(Lsn{3}, Lsn{}));
  EXPECT_EQ(shipper.acked(), Lsn{5});
}

// What one that nobody waits for is sent at a time must not keep the main loop from clients.
TEST_F(ShipperTest, WhoCatchesUpIsSentASlice) {
  constexpr std::size_t kBatch = 1 << 16;
  Shipper shipper = Shipping(kBatch);
  shipper.PumpSlice(Epoch{1}, Lsn{}, kNoLimit, MonoTime{0}, false, 0);
  EXPECT_EQ(fabric_.bodies.size() * kBatch, Shipper::kSliceBytes);
  shipper.PumpSlice(Epoch{1}, Lsn{}, kNoLimit, MonoTime{0}, true, 0);
  EXPECT_EQ(fabric_.bodies.size() * kBatch, Shipper::kSliceBytes + Shipper::kBusySliceBytes);
}

// A turn of many clients with deep pipelines seals more than a slice, and has few looks at the network.
TEST_F(ShipperTest, ALogThatGrowsByMoreThanASliceInATurnDoesNotRunAway) {
  constexpr std::uint64_t kGrowth = 4 * Shipper::kBusySliceBytes;
  Shipper shipper = Shipping(1 << 14);
  std::uint64_t grown = 0;
  MonoTime now{0};
  for (int turn = 0; turn < 20; ++turn, grown += kGrowth, now += std::chrono::milliseconds(1)) {
    shipper.PumpSlice(Epoch{1}, Lsn{}, kNoLimit, now, true, grown);
    EXPECT_TRUE(shipper.OnAck(shipper.posted(), Lsn{}));
  }
  EXPECT_GE(fabric_.bodies.size() << 14, 2 * (grown - kGrowth));
}

TEST_F(ShipperTest, WhoCatchesUpIsSentNothingWhileItsWayIsFull) {
  Shipper shipper = Shipping(64);
  fabric_.queued = 1;
  shipper.PumpSlice(Epoch{1}, Lsn{}, 3, MonoTime{0}, false, 0);
  EXPECT_EQ(shipper.posted(), Lsn{});
  fabric_.queued = 0;
  shipper.PumpSlice(Epoch{1}, Lsn{}, 3, MonoTime{0}, false, 0);
  EXPECT_EQ(shipper.posted(), Lsn{3});
}

// Cleaning goes on while a log is given, and may overtake a receiver whose log was whole: it is told what is left, and
// goes on, and its log is whole again later.
TEST_F(ShipperTest, AGapIsAnnouncedToWhoeverMissesWhatComesNext) {
  fabric_.places = true;
  for (const bool install : {true, false}) {
    auto log = std::make_unique<EndlessLog>(64);
    EndlessLog* reader = log.get();
    reader->whole_at = Lsn{9};
    Shipper shipper(&fabric_, std::move(log),
                    {.receiver = {}, .install = install, .released_through = {}, .common = {}, .control = LinkId{1}});
    shipper.OpenData(LinkId{2});
    shipper.Pump(Epoch{1}, Lsn{}, 2);
    EXPECT_TRUE(shipper.OnAck(Lsn{2}, Lsn{}));
    EXPECT_NE(shipper.whole(), install);
    shipper.in_sync = !install;
    reader->Skip(5);
    fabric_.bodies.clear();
    fabric_.links.clear();
    shipper.Pump(Epoch{1}, Lsn{}, 1);
    EXPECT_FALSE(shipper.whole() || shipper.in_sync);
    EXPECT_EQ(shipper.whole_through(), install ? Lsn{} : Lsn{2});
    // The generations, and the batch, which is not placed: the receiver's processor must give up first what is gone.
    EXPECT_EQ(fabric_.bodies, (std::vector<std::size_t>{2 * sizeof(std::uint64_t), 64}));
    EXPECT_EQ(fabric_.links.size(), 2U);
    EXPECT_EQ(shipper.posted(), Lsn{8});
    // An acknowledgement that was on its way when the gap was announced says nothing of it.
    EXPECT_TRUE(shipper.OnAck(Lsn{2}, Lsn{}));
    EXPECT_FALSE(shipper.whole());
    shipper.Pump(Epoch{1}, Lsn{}, 8);
    EXPECT_TRUE(shipper.OnAck(Lsn{9}, Lsn{}));
    EXPECT_TRUE(shipper.whole());
    EXPECT_EQ(shipper.whole_through(), Lsn{9});
  }
}

// A large batch on a slow way, or for a slow medium, takes what it takes: sent again from its start it would never end.
TEST_F(ShipperTest, WhoseMachineStillTakesBytesIsNotStalled) {
  constexpr std::size_t kBytes = 80'000'000;
  const MonoTime second = std::chrono::seconds(1), patience = second;
  Shipper shipper = Shipping(kBytes);
  fabric_.on_the_way = kBytes;
  shipper.NoteProgress(MonoTime{0});
  shipper.Pump(Epoch{1}, Lsn{}, 1);
  MonoTime now{0};
  for (; now < 30 * second; now += second / 10) {
    *fabric_.on_the_way -= kBytes / 400;
    EXPECT_FALSE(shipper.Stalled(now, patience));
  }
  // From here on nothing moves: patience, and two seconds for the bytes.
  const MonoTime stopped = now;
  while (!shipper.Stalled(now, patience)) now += second / 10;
  EXPECT_GT(now - stopped, second);
  EXPECT_LT(now - stopped, 2 * (patience + Shipper::TimeOf(kBytes)));
}

// A process that hangs, on a machine that lives: what clients write meanwhile goes into that machine's buffers.
TEST_F(ShipperTest, WhoseMachineTakesWhatIsSentLaterIsStalled) {
  Shipper shipper = Shipping(64);
  const MonoTime patience = std::chrono::seconds(1);
  fabric_.on_the_way = 0;
  shipper.NoteProgress(MonoTime{0});
  shipper.Pump(Epoch{1}, Lsn{}, 1);
  MonoTime now{0};
  for (; now < patience; now += patience / 10) {
    if (now == patience / 2) {
      shipper.Pump(Epoch{1}, Lsn{}, 3);
      fabric_.on_the_way = 128;
    }
    if (now > patience / 2) fabric_.on_the_way = 128 - 128 * (now - patience / 2) / patience;
    EXPECT_FALSE(shipper.Stalled(now, patience));
    shipper.NoteProgress(now);
  }
  EXPECT_TRUE(shipper.Stalled(now + Shipper::TimeOf(3 * 64) + MonoTime{1}, patience));
}

TEST_F(ShipperTest, WhoAcknowledgesNothingForTooLongIsStalled) {
  Shipper shipper = Shipping(64);
  const MonoTime patience = std::chrono::seconds(1);
  shipper.NoteProgress(MonoTime{0});
  EXPECT_FALSE(shipper.Stalled(10 * patience, patience)) << "nothing is on its way";
  shipper.NoteProgress(10 * patience);
  shipper.Pump(Epoch{1}, Lsn{}, 3);
  shipper.NoteProgress(10 * patience + patience / 2);
  const MonoTime end = 11 * patience + Shipper::TimeOf(3 * 64);
  EXPECT_FALSE(shipper.Stalled(end, patience));
  EXPECT_TRUE(shipper.Stalled(end + MonoTime{1}, patience));
  EXPECT_TRUE(shipper.OnAck(Lsn{1}, Lsn{}));
  shipper.NoteProgress(11 * patience);
  EXPECT_FALSE(shipper.Stalled(12 * patience, patience));
}

}  // namespace
}  // namespace faha
