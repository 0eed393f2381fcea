// Whoever reaches the data lane, which asks nobody for the secret: nothing but a token is heard there.
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "replication/wire.h"
#include "tests/fakes/sim_cluster.h"
#include "tests/unit/fabric/rdma_peer.h"

namespace faha {
namespace {

struct Request {
  std::string name;
  std::vector<std::byte> head;
  bool answered = true;  // on the control lane
};

// What a node that knows the cluster's name could ask, as it should be.
std::vector<Request> Requests(const ClusterId& cluster, Epoch epoch) {
  const Member self{NodeId{{9}}, "127.0.0.1", 17099, 7099, kDisk};
  wire::FollowRequest follow;
  follow.cluster = cluster;
  follow.self = self;
  follow.empty = true;
  follow.domain = static_cast<std::uint8_t>(PersistenceDomain::kCacheLine);
  return {{"state", wire::Encode(wire::StateRequest{cluster})},
          {"promise",
           wire::Encode(wire::PromiseRequest{.cluster = cluster, .epoch = Epoch{epoch.value + 5}, .candidate = self})},
          {"follow", wire::Encode(follow)},
          {"a guess", wire::Encode(wire::DataHello{12345}), false},
          {"no token", wire::Encode(wire::DataHello{0}), false},
          {"an acknowledgement", wire::Encode(wire::Ack{epoch, Lsn{1000}, Lsn{1000}}), false},
          {"garbage", std::vector<std::byte>(40, std::byte{0x5a}), false}};
}

struct Heard final : FabricHandler {
  void OnAccept(LinkId, const Endpoint&, Lane) override {}
  void OnConnect(LinkId link) override { connected = link; }
  void OnFrame(LinkId, std::span<const std::byte>, std::span<const std::byte>) override { ++frames; }
  void OnPlaced(LinkId, std::uint64_t, std::span<const std::byte>) override { ++frames; }
  void OnFlushed(LinkId, std::uint64_t) override {}
  void OnClose(LinkId link, const Status&) override { closed = link; }
  void OnPollEnd() override {}
  int frames = 0;
  LinkId connected = LinkId::kNone, closed = LinkId::kNone;
};

TEST(Stranger, OnTheDataLaneNothingButATokenIsHeard) {
  Cluster cluster(3, 2);
  ASSERT_TRUE(cluster[0].Set("k", "v").ok());
  SimFabric fabric(&cluster.world, 9);
  Heard heard;
  cluster.world.AddRunner(9, [&] { fabric.Poll(std::chrono::microseconds{0}, heard); });
  const StoreInfo before = cluster[0].store->Info();
  for (const Request& request : Requests(before.cluster, before.epoch)) {
    for (const Lane lane : {Lane::kData, Lane::kControl}) {
      if (lane == Lane::kControl && !request.answered) continue;
      heard = {};
      const LinkId link = fabric.Dial({"sim", 17001}, lane);
      ASSERT_TRUE(cluster.world.RunUntil([&] { return heard.connected == link; })) << request.name;
      fabric.Send(link, request.head);
      // The same question is answered where the secret is asked for: it is a right one.
      const bool answered =
          cluster.world.RunUntil([&] { return heard.closed == link || heard.frames > 0; }) && heard.frames > 0;
      EXPECT_EQ(answered, lane == Lane::kControl) << request.name;
      fabric.Close(link);
      if (lane == Lane::kControl) continue;
      const StoreInfo after = cluster[0].store->Info();
      EXPECT_NE(after.last_error.find("over RDMA without a token"), std::string::npos) << after.last_error;
      EXPECT_EQ(after.epoch, before.epoch) << request.name;
      EXPECT_EQ(after.peers.size(), 2U) << request.name;
      EXPECT_EQ(after.members.size(), 3U) << request.name;
      EXPECT_TRUE(cluster[0].Set("k", "v").ok()) << request.name;
    }
  }
  cluster.world.RemoveRunner(9);
}

// The same with a device, as a stranger in the network of it would.
TEST(RdmaStranger, HearsNothingOfANode) {
  using namespace fabric_test;
  if (RdmaHost().empty()) GTEST_SKIP() << "no RDMA device: scripts/vm --rdma has one";
  auto fabric = RdmaFabric::Create(true, {}, {.secret = "of the tests"});
  ASSERT_TRUE(fabric.ok());
  Options options;
  options.segment_bytes = kSegment;
  options.pool_bytes = kDisk;
  options.bind = options.announce_host = RdmaHost();
  options.redis_port = 7011;
  options.port = 17011;
  struct Observer final : StoreObserver {
    void OnPrimary() override {}
    void OnFollowing(const Member&) override {}
  } observer;
  auto opened = Store::Open(options, &observer,
                            {std::make_unique<CrashMedia>(std::make_shared<CrashDisk>(kDisk), 64), fabric->get()});
  ASSERT_TRUE(opened.ok()) << opened.status().ToString();
  Store& store = **opened;
  const auto poll = [&] { store.Poll(), store.Tick(); };
  const StoreInfo before = store.Info();
  for (const Request& request : Requests(before.cluster, before.epoch)) {
    RawLink stranger({RdmaHost(), options.port}, RingOffer{});
    ASSERT_TRUE(Meanwhile([&] { return stranger.Connect(); }, poll)) << request.name;
    stranger.SayFrame(request.head);
    EXPECT_TRUE(Meanwhile([&] { return stranger.IsClosed(); }, poll)) << request.name;
    EXPECT_EQ(stranger.Received(), 0U) << request.name;
    const StoreInfo after = store.Info();
    EXPECT_NE(after.last_error.find("over RDMA without a token"), std::string::npos) << after.last_error;
    EXPECT_EQ(after.epoch, before.epoch) << request.name;
    EXPECT_TRUE(after.peers.empty()) << request.name;
    EXPECT_EQ(after.state, "serving") << request.name;
  }
}

}  // namespace
}  // namespace faha
