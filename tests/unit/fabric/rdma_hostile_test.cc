// Peers with a device of their own, raw verbs and a good memory: what they reach of a node.  Where the machine has no
// device, every test here is skipped: scripts/vm has one.
#include <algorithm>

#include "tests/unit/fabric/rdma_peer.h"

namespace faha::fabric_test {
namespace {

class RdmaHostile : public testing::Test {
 protected:
  static constexpr std::size_t kBytes = 1U << 20;

  void SetUp() override {
    if (RdmaHost().empty()) GTEST_SKIP() << "no RDMA device: scripts/vm --rdma has one";
    std::memset(shared.bytes().data(), 0, kBytes);
  }
  void Listen(rdma_cm_id*& listener) {
    sockaddr_in address = AddressOf({RdmaHost(), 0});
    ASSERT_EQ(rdma_create_id(nullptr, &listener, nullptr, RDMA_PS_TCP), 0);
    ASSERT_EQ(rdma_bind_addr(listener, reinterpret_cast<sockaddr*>(&address)), 0);
    ASSERT_EQ(rdma_listen(listener, 4), 0);
  }
  [[nodiscard]] bool Untouched() const {
    return std::ranges::all_of(shared.bytes(), [](std::byte byte) { return byte == std::byte{0}; });
  }
  // A stranger that `node` has accepted.
  static std::unique_ptr<RawLink> Stranger(RdmaPeer& node) {
    auto link = std::make_unique<RawLink>(node.at(), RingOffer{});
    EXPECT_TRUE(Meanwhile([&] { return link->Connect(); }, [&] { node.Poll(1ms); }));
    return link;
  }
  // Whom `node` has dialled.
  static std::unique_ptr<RawLink> Dialled(RdmaPeer& node, rdma_cm_id* listener, LinkId& link) {
    link = node.seam->Dial({node.host, ntohs(rdma_get_src_port(listener))}, Lane::kData);
    auto raw = Meanwhile([&] { return std::make_unique<RawLink>(listener); }, [&] { node.Poll(1ms); });
    EXPECT_TRUE(PollUntil({&node}, [&] { return std::ranges::count(node.connected, link) == 1; }));
    return raw;
  }

  Memory shared{kBytes};
};

// Whoever was told an address and a key can write with them on that connection, while it lives, and in no other way.
TEST_F(RdmaHostile, AKeyDiesWithItsLink) {
  rdma_cm_id* listener = nullptr;
  ASSERT_NO_FATAL_FAILURE(Listen(listener));
  {
    RdmaPeer node;
    node.Listen();
    ASSERT_TRUE(node.seam->ShareMemory(shared.bytes(), 0, false).ok());
    LinkId first = LinkId::kNone, second = LinkId::kNone, third = LinkId::kNone;
    auto peer = Dialled(node, listener, first);
    const RingOffer told = peer->answer;
    ASSERT_EQ(told.shared_bytes, kBytes);
    ASSERT_TRUE(peer->Writes(Bytes("the primary"), told.shared, told.shared_rkey));
    ASSERT_EQ(std::memcmp(shared.bytes().data(), "the primary", 11), 0);
    std::memset(shared.bytes().data(), 0, kBytes);

    // While it lives: not by another connection of the same peer.
    auto other = Dialled(node, listener, second);
    EXPECT_FALSE(other->Writes(Bytes("by another link"), told.shared, told.shared_rkey));
    EXPECT_TRUE(Untouched());
    node.seam->Close(first);
    EXPECT_FALSE(peer->Writes(Bytes("after the end"), told.shared, told.shared_rkey));
    EXPECT_TRUE(Untouched());

    // It dials, as anybody may.
    auto stranger = Stranger(node);
    EXPECT_FALSE(stranger->Writes(Bytes("by a new link"), told.shared, told.shared_rkey));
    EXPECT_TRUE(Untouched());
    // It is dialled again.
    auto again = Dialled(node, listener, third);
    EXPECT_FALSE(again->Writes(Bytes("by a later link"), told.shared, told.shared_rkey));
    EXPECT_TRUE(Untouched());
  }
  rdma_destroy_id(listener);
}

// Of those that dialled none can write, whatever it knows of another one's memory: not even nothing.
TEST_F(RdmaHostile, WhoDialsWritesNothing) {
  RdmaPeer node;
  node.Listen();
  ASSERT_TRUE(node.seam->ShareMemory(shared.bytes(), 0, false).ok());
  auto first = Stranger(node), second = Stranger(node);
  for (const RingOffer& offer : {first->answer, second->answer}) {
    EXPECT_EQ(offer.ring, 0U);
    EXPECT_EQ(offer.ring_rkey, 0U);
    EXPECT_EQ(offer.shared, 0U);
    EXPECT_EQ(offer.shared_rkey, 0U);
  }
  EXPECT_FALSE(first->Writes({}, 0, 0));
  const auto at = reinterpret_cast<std::uint64_t>(shared.bytes().data());
  // The keys of a device are few: an index and eight bits, counted up.
  for (const std::uint32_t key : {0x100U, 0x200U}) EXPECT_FALSE(Stranger(node)->Writes(Bytes("a guess"), at, key));
  EXPECT_TRUE(Untouched());
}

// A link whose peer has not proved who it is: it is heard once, is told nothing, and does not stay.
TEST_F(RdmaHostile, AStrangerIsToldNothing) {
  Memory source(kBytes);
  RdmaPeer node;
  node.trusts = false;
  node.Listen();
  ASSERT_TRUE(node.seam->ShareMemory(source.bytes(), 0, false).ok());
  bool placed = false;
  node.on_frame = [&](LinkId link, std::span<const std::byte>, std::span<const std::byte>) {
    node.seam->Send(link, Bytes("an answer"));
    placed = placed || node.seam->Place(link, source.bytes().first(100), 0);
  };
  auto stranger = Stranger(node);
  stranger->SayFrame(Bytes("who leads?"));
  stranger->SayFrame(Bytes("who follows?"));
  ASSERT_TRUE(PollUntil({&node}, [&] { return node.closed.size() == 1; }));
  EXPECT_EQ(node.closed.begin()->second.code(), Code::kDenied);
  EXPECT_EQ(node.frames, 1U);
  EXPECT_FALSE(placed);
  EXPECT_TRUE(stranger->IsClosed());
  EXPECT_EQ(stranger->Received(), 0U);
}

// However many they are, and for however long they would stay: others do not suffer from them.
TEST_F(RdmaHostile, StrangersAreFewAndShortLived) {
  RdmaLimits limits;
  limits.strangers = 3;
  limits.stranger_time = 2000ms;
  RdmaPeer node(limits), friendly;
  node.Listen();
  const LinkPair link = Connect(friendly, node, Lane::kData);
  node.trusts = false;
  std::vector<std::unique_ptr<RawLink>> strangers;
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < 5; ++i) strangers.push_back(Stranger(node));
  // The oldest went, each time.
  EXPECT_TRUE(strangers[0]->IsClosed());
  EXPECT_TRUE(strangers[1]->IsClosed());
  const bool early = std::chrono::steady_clock::now() - start < limits.stranger_time;
  EXPECT_TRUE(!early || !strangers[4]->IsClosed(0ms));
  // And the others when their time was over: the descriptor says so, nobody has to look.
  const auto others_gone = [&] {
    return std::ranges::all_of(strangers, [](auto& each) { return each->IsClosed(0ms); });
  };
  ASSERT_TRUE(PollUntil({&node}, others_gone));
  friendly.seam->Send(link.from, Bytes("still here"));
  ASSERT_TRUE(PollUntil({&node, &friendly}, [&] { return node.frames == 1; }));
  EXPECT_FALSE(node.closed.contains(link.to));
}

// Each link has its own, and the next one is made meanwhile: a link waits for it.
TEST_F(RdmaHostile, EveryLinkWaitsForAGrantOfItsOwn) {
  RdmaLimits limits;
  limits.grant_time = 20'000ms;
  rdma_cm_id* listener = nullptr;
  ASSERT_NO_FATAL_FAILURE(Listen(listener));
  {
    RdmaPeer node(limits);
    ASSERT_TRUE(node.seam->ShareMemory(shared.bytes(), 0, false).ok());
    std::vector<std::unique_ptr<RawLink>> peers;
    std::vector<std::uint32_t> keys;
    for (int i = 0; i < 4; ++i) {
      LinkId link = LinkId::kNone;
      peers.push_back(Dialled(node, listener, link));
      const RingOffer& told = peers.back()->answer;
      EXPECT_EQ(told.shared_bytes, kBytes);
      EXPECT_FALSE(std::ranges::count(keys, told.shared_rkey) != 0);
      EXPECT_TRUE(peers.back()->Writes(Bytes("mine"), told.shared, told.shared_rkey));
      keys.push_back(told.shared_rkey);
    }
  }
  rdma_destroy_id(listener);
}

}  // namespace
}  // namespace faha::fabric_test
