// Frames over real loopback connections: whole, once, in order, whatever their size.
#include <gtest/gtest.h>
#include <poll.h>

#include <algorithm>
#include <deque>

#include "certificates.h"
#include "peer.h"

namespace faha::fabric_test {
namespace {

FAHA_EITHER_WAY(Traffic);

bool Readable(int fd) {
  pollfd set{fd, POLLIN, 0};
  return ::poll(&set, 1, 0) == 1;
}

TEST_P(Traffic, RandomFramesBothWaysArriveWholeOnceAndInOrder) {
  Peer a, b;
  a.max_body = b.max_body = 1 << 20;
  b.Listen();
  const LinkPair link = Connect(a, b);
  std::mt19937_64 random(20240501);
  // What is on its way to each.
  std::deque<std::pair<std::string, std::string>> to_a, to_b;
  const auto expect_from = [](auto& model) {
    return [&model](LinkId, std::span<const std::byte> head, std::span<const std::byte> body) {
      ASSERT_FALSE(model.empty());
      ASSERT_TRUE(Text(head) == model.front().first && Text(body) == model.front().second);
      model.pop_front();
    };
  };
  a.on_frame = expect_from(to_a);
  b.on_frame = expect_from(to_b);
  // Most frames are small, some are large, a few empty, some as long as a head can be.
  const auto size = [&random](std::size_t most) -> std::size_t {
    switch (random() % 8) {
      case 0: return 0;
      case 1: return random() % (most + 1);
      case 2: return random() % 50 == 0 ? most : 1;
      default: return random() % 300;
    }
  };
  for (int i = 0; i < 4000; ++i) {
    const bool forth = random() % 2 == 0;
    auto frame = std::pair(RandomText(random, std::min(size(kMaxFrameHeadBytes), size(kMaxFrameHeadBytes))),
                           RandomText(random, size(1 << 18)));
    auto& model = forth ? to_b : to_a;
    model.push_back(frame);
    Peer& sender = forth ? a : b;
    sender.fabric.Send(forth ? link.from : link.to, Bytes(frame.first), Bytes(frame.second));
    if (random() % 4 == 0) a.Poll(0us);
    if (random() % 4 == 0) b.Poll(0us);
  }
  EXPECT_TRUE(PollUntil({&a, &b}, [&] { return to_a.empty() && to_b.empty(); }));
  EXPECT_EQ(a.frames + b.frames, 4000U);
  EXPECT_TRUE(a.closed.empty() && b.closed.empty());
}

TEST_P(Traffic, TensOfMegabytesPassAndTheirBuffersAreGivenBack) {
  Peer a, b({.trim_period = 0ms});
  a.max_body = 0;
  b.max_body = 48 << 20;
  b.Listen();
  const LinkPair link = Connect(a, b);
  std::mt19937_64 random(1);
  const std::string body = RandomText(random, 48 << 20);
  // Nobody reads yet: most of it must wait in the sender's queue, and the frames keep their order.
  a.fabric.Send(link.from, Bytes("before"), Bytes("x"));
  a.fabric.Send(link.from, Bytes("large"), Bytes(body));
  a.fabric.Send(link.from, Bytes("after"), Bytes("y"));
  auto& got = b.got[link.to];
  ASSERT_TRUE(PollUntil({&a, &b}, [&] { return got.size() == 3; }));
  EXPECT_EQ(got[0], std::pair(std::string("before"), std::string("x")));
  EXPECT_EQ(got[1].first, "large");
  EXPECT_TRUE(got[1].second == body);
  EXPECT_EQ(got[2], std::pair(std::string("after"), std::string("y")));
  b.Poll(0us);
  b.Poll(0us);
  EXPECT_LE(b.fabric.BufferBytes(), Inbox::kKeptBytes);
  EXPECT_LE(a.fabric.BufferBytes(), Inbox::kKeptBytes);
}

TEST_P(Traffic, FramesSentBeforeTheLinkIsThereFollowIt) {
  Peer a, b;
  b.Listen();
  const LinkId link = a.fabric.Dial(b.at());
  a.fabric.Send(link, Bytes("1"));
  a.fabric.Send(link, Bytes("2"));
  a.on_connect = [&](LinkId id) { a.fabric.Send(id, Bytes("3")); };
  ASSERT_TRUE(PollUntil({&a, &b}, [&] { return b.frames == 3; }));
  const auto& got = b.got[b.accepted.front()];
  EXPECT_EQ(got[0].first + got[1].first + got[2].first, "123");
}

TEST_P(Traffic, ASmallFrameLeavesWithinSend) {
  Peer a, b;
  b.Listen();
  const LinkPair link = Connect(a, b);
  a.fabric.Send(link.from, Bytes("now"));
  // The sender is not polled again.
  ASSERT_TRUE(PollUntil({&b}, [&] { return b.frames == 1; }));
  EXPECT_EQ(b.got[link.to].front().first, "now");
}

TEST_P(Traffic, AHandlerMayEchoWhatItLooksAt) {
  Peer a, b;
  a.max_body = b.max_body = 8 << 20;
  b.Listen();
  const LinkPair link = Connect(a, b);
  b.on_frame = [&](LinkId id, auto head, auto body) { b.fabric.Send(id, head, body); };
  std::mt19937_64 random(7);
  std::vector<std::pair<std::string, std::string>> sent;
  for (int i = 0; i < 6; ++i) {
    sent.emplace_back(RandomText(random, 100), RandomText(random, random() % (8 << 20)));
    a.fabric.Send(link.from, Bytes(sent.back().first), Bytes(sent.back().second));
  }
  auto& got = a.got[link.from];
  ASSERT_TRUE(PollUntil({&a, &b}, [&] { return got.size() == sent.size(); }));
  EXPECT_TRUE(got == sent);
}

TEST_P(Traffic, AFloodDoesNotStarveAQuietLink) {
  Peer flooder, quiet, target;
  target.max_body = 1 << 20;
  target.Listen();
  const LinkPair flood = Connect(flooder, target);
  const LinkPair calm = Connect(quiet, target);
  std::uint64_t flooded = 0, heard = 0;
  target.on_frame = [&](LinkId id, auto head, auto body) {
    (id == flood.to ? flooded : heard) += head.size() + body.size();
  };
  const std::string body(64 << 10, 'x');
  for (int round = 0; round < 50; ++round) {
    // More than sockets hold, so there is always more to read from the flooder.
    while (flooder.fabric.BufferBytes() < (32 << 20)) flooder.fabric.Send(flood.from, Bytes("f"), Bytes(body));
    flooder.Poll(0us);
    heard = flooded = 0;
    quiet.fabric.Send(calm.from, Bytes("q"));
    int polls = 0;
    for (; heard == 0 && polls < 1000; ++polls) target.Poll(1ms);
    EXPECT_EQ(heard, 1U);
    // One read each per Poll; one frame may have been completed by it.
    EXPECT_LE(flooded, static_cast<std::uint64_t>(polls) * Inbox::kMaxReadBytes + body.size());
    EXPECT_LE(polls, 3);
  }
}

TEST_P(Traffic, PollWaitsForLessThanAMillisecond) {
  Peer a;
  auto shortest = std::chrono::nanoseconds::max();
  for (int i = 0; i < 100; ++i) {
    const auto start = std::chrono::steady_clock::now();
    a.Poll(200us);
    const auto took = std::chrono::steady_clock::now() - start;
    EXPECT_GE(took, 200us);
    shortest = std::min<std::chrono::nanoseconds>(shortest, took);
  }
  EXPECT_LT(shortest, 1ms);
  EXPECT_EQ(a.poll_ends, 0U);
}

TEST_P(Traffic, TheDescriptorIsReadableWhenThereIsSomethingToTell) {
  Peer a, b;
  b.Listen();
  EXPECT_FALSE(Readable(b.fabric.descriptor()));
  const LinkPair link = Connect(a, b);
  EXPECT_FALSE(Readable(b.fabric.descriptor()));
  a.fabric.Send(link.from, Bytes("x"));
  EXPECT_TRUE(Readable(b.fabric.descriptor()));
  b.Poll(0us);
  EXPECT_FALSE(Readable(b.fabric.descriptor()));
  EXPECT_EQ(b.frames, 1U);
}

TEST_P(Traffic, IPv6AndLocalhostAreAddresses) {
  Peer a, b;
  ASSERT_TRUE(b.fabric.Listen({"localhost", 0}).ok());
  a.fabric.Dial({"localhost", b.fabric.port()});
  ASSERT_TRUE(PollUntil({&a, &b}, [&] { return a.connected.size() == 1 && b.accepted.size() == 1; }));
  if (!b.fabric.Listen({"::1", 0}).ok()) GTEST_SKIP() << "no IPv6 here";
  a.fabric.Dial({"::1", b.fabric.port()});
  ASSERT_TRUE(PollUntil({&a, &b}, [&] { return a.connected.size() == 2 && b.accepted.size() == 2; }));
}

}  // namespace
}  // namespace faha::fabric_test
