// Links that fail: bad bytes, lost peers, slow peers, refused dials, closing in the middle of it, forks.
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <thread>

#include "certificates.h"
#include "fabric/frame.h"
#include "peer.h"
#include "raw_peer.h"

namespace faha::fabric_test {
namespace {

FAHA_EITHER_WAY(SlowPeer);
FAHA_EITHER_WAY(Dialling);
FAHA_EITHER_WAY(Listening);
FAHA_EITHER_WAY(Links);
FAHA_EITHER_WAY(Forking);

// What `node` says of a raw peer that sends `text`; the frames before are in node.got.
Status ReasonAfter(Peer& node, const std::string& text) {
  node.Listen();
  RawPeer raw(node.fabric.port());
  raw.Say(text);
  EXPECT_TRUE(PollUntil({&node}, [&] { return node.closed.size() == 1; }));
  return node.closed.empty() ? Status::Ok() : node.closed.begin()->second;
}

TEST(BadBytes, GarbageIsAProtocolError) {
  Peer node;
  const Status reason = ReasonAfter(node, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(reason.code(), Code::kProtocol) << reason.ToString();
  EXPECT_EQ(node.frames, 0U);
}

TEST(BadBytes, AnotherWireVersionIsToldApart) {
  Peer node;
  FrameHeader header = MakeFrameHeader(Bytes("hi"), 0);
  header.version = 9;
  const Status reason = ReasonAfter(node, FrameText(header, "hi"));
  EXPECT_EQ(reason.code(), Code::kPeerVersion);
  const std::string expected =
      "speaks FaHA wire version 9, this node speaks " + std::to_string(kWireVersion) + ": run the same release on both";
  EXPECT_NE(reason.message().find(expected), std::string::npos) << reason.message();
}

TEST(BadBytes, ABodyNeedsLeave) {
  Peer none, some;
  EXPECT_EQ(ReasonAfter(none, GoodFrame("hello", "body")).code(), Code::kProtocol);
  EXPECT_EQ(none.frames, 0U);
  some.max_body = 4;
  EXPECT_EQ(ReasonAfter(some, GoodFrame("hello", "body") + GoodFrame("hello", "body5")).code(), Code::kProtocol);
  EXPECT_EQ(some.frames, 1U);
}

TEST(BadBytes, LeaveGivenByOneFrameCountsForTheNext) {
  Peer node;
  node.Listen();
  node.on_frame = [&](LinkId link, auto, auto) { node.fabric.AllowBody(link, 10); };
  RawPeer raw(node.fabric.port());
  raw.Say(GoodFrame("hello") + GoodFrame("batch", "0123456789"));
  EXPECT_TRUE(PollUntil({&node}, [&] { return node.frames == 2; }));
}

TEST(BadBytes, AHeadHasALimit) {
  Peer longest, longer;
  const std::string most(kMaxFrameHeadBytes, 'x');
  EXPECT_EQ(ReasonAfter(longest, GoodFrame(most) + "0123456789abcdef").code(), Code::kProtocol);
  EXPECT_EQ(longest.frames, 1U);
  EXPECT_EQ(ReasonAfter(longer, GoodFrame(most + "y")).code(), Code::kProtocol);
  EXPECT_EQ(longer.frames, 0U);
}

TEST(BadBytes, EveryFlippedBitOfHeaderAndHeadIsSeen) {
  const std::string good = GoodFrame("head", "body");
  for (std::size_t bit = 0; bit < 8 * (good.size() - 4); ++bit) {
    std::string bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
    Inbox inbox;
    const auto space = inbox.Space();
    // Enough bytes for any head, so that a larger length does not just wait.
    bad.resize(sizeof(FrameHeader) + kMaxFrameHeadBytes, 'z');
    std::memcpy(space.data(), bad.data(), bad.size());
    inbox.Filled(bad.size());
    Inbox::Frame frame;
    const auto next = inbox.Take(UINT32_MAX, frame);
    EXPECT_TRUE(next != FrameState::kFrame && next != FrameState::kIncomplete) << bit;
  }
}

TEST(BadBytes, FramesComeOutOfAnyDivisionOfTheStream) {
  std::mt19937_64 random(3);
  std::string stream;
  std::vector<std::pair<std::string, std::string>> sent;
  for (int i = 0; i < 60; ++i) {
    sent.emplace_back(RandomText(random, random() % 200), RandomText(random, i % 20 == 7 ? 400000 : random() % 500));
    stream += GoodFrame(sent.back().first, sent.back().second);
  }
  for (const std::size_t most : {1U, 7U, 1000U, 300000U}) {
    Inbox inbox;
    std::vector<std::pair<std::string, std::string>> got;
    for (std::size_t at = 0; at < stream.size();) {
      const auto space = inbox.Space();
      ASSERT_FALSE(space.empty());
      const std::size_t size = std::min({space.size(), stream.size() - at, 1 + random() % most});
      std::memcpy(space.data(), stream.data() + at, size);
      inbox.Filled(size);
      at += size;
      Inbox::Frame frame;
      while (inbox.Take(1 << 20, frame) == FrameState::kFrame) got.emplace_back(Text(frame.head), Text(frame.body));
    }
    EXPECT_TRUE(got == sent) << most;
    EXPECT_EQ(inbox.pending(), 0U);
  }
}

TEST(LostPeer, WithinAFrameIsUnavailableAndDeliversOnlyWholeFrames) {
  Peer node;
  node.max_body = 100;
  node.Listen();
  RawPeer raw(node.fabric.port());
  const std::string frame = GoodFrame("head", "body");
  raw.Say(frame + frame.substr(0, frame.size() - 1));
  ASSERT_TRUE(PollUntil({&node}, [&] { return node.frames == 1; }));
  raw.HangUp();
  ASSERT_TRUE(PollUntil({&node}, [&] { return node.closed.size() == 1; }));
  EXPECT_EQ(node.closed.begin()->second.code(), Code::kUnavailable);
  EXPECT_NE(node.closed.begin()->second.message().find("within a frame"), std::string::npos);
  EXPECT_EQ(node.frames, 1U);
}

TEST(LostPeer, AResetIsUnavailable) {
  Peer node;
  node.Listen();
  RawPeer raw(node.fabric.port());
  ASSERT_TRUE(PollUntil({&node}, [&] { return node.accepted.size() == 1; }));
  raw.Reset();
  ASSERT_TRUE(PollUntil({&node}, [&] { return node.closed.size() == 1; }));
  EXPECT_EQ(node.closed.begin()->second.code(), Code::kUnavailable);
}

TEST(LostPeer, ItsLastWordsComeBeforeTheFailureOfOurSend) {
  Peer node;
  node.Listen();
  RawPeer raw(node.fabric.port());
  ASSERT_TRUE(PollUntil({&node}, [&] { return node.accepted.size() == 1; }));
  const LinkId link = node.accepted.front();
  raw.Say(GoodFrame("because"));
  raw.Reset();
  for (int i = 0; i < 10; ++i) node.fabric.Send(link, Bytes("too late"));
  EXPECT_TRUE(node.closed.empty());
  ASSERT_TRUE(PollUntil({&node}, [&] { return node.closed.size() == 1; }));
  ASSERT_EQ(node.got[link].size(), 1U);
  EXPECT_EQ(node.got[link].front().first, "because");
  node.fabric.Send(link, Bytes("stale"));
  node.fabric.Close(link);
  node.fabric.AllowBody(link, 1);
}

TEST_P(SlowPeer, IsGivenUpByTheNextPollOnceTooMuchWaits) {
  Peer a({.queued_bytes = 1 << 20}), b;
  b.Listen();
  const LinkPair link = Connect(a, b);
  const std::string body(1 << 20, 'x');
  // Far more than sockets and queue hold; b does not read.
  for (int i = 0; i < 64; ++i) a.fabric.Send(link.from, Bytes("x"), Bytes(body));
  EXPECT_TRUE(a.closed.empty());
  EXPECT_LE(a.fabric.BufferBytes(), Inbox::kKeptBytes);
  pollfd readable{a.fabric.descriptor(), POLLIN, 0};
  EXPECT_EQ(::poll(&readable, 1, 0), 1);
  a.Poll(0us);
  ASSERT_TRUE(a.closed.contains(link.from));
  EXPECT_EQ(a.closed[link.from].code(), Code::kUnavailable);
  EXPECT_EQ(::poll(&readable, 1, 0), 0);
}

TEST_P(Dialling, ARefusedDialIsToldByPoll) {
  std::uint16_t port = 0;
  {
    Peer gone;
    gone.Listen();
    port = gone.fabric.port();
  }
  Peer a;
  const LinkId link = a.fabric.Dial({"127.0.0.1", port});
  a.fabric.Send(link, Bytes("lost"));
  ASSERT_TRUE(PollUntil({&a}, [&] { return a.closed.contains(link); }));
  EXPECT_EQ(a.closed[link].code(), Code::kUnavailable);
  EXPECT_TRUE(a.connected.empty());
}

TEST_P(Dialling, WhatIsNoNumericAddressIsRefusedWithoutAskingAnyone) {
  Peer a;
  for (const std::string& host : {std::string("redis.example"), std::string(), std::string("1.2.3.4.5")}) {
    const LinkId link = a.fabric.Dial({host, 1});
    EXPECT_FALSE(a.closed.contains(link));
    a.Poll(0us);
    ASSERT_TRUE(a.closed.contains(link));
    EXPECT_EQ(a.closed[link].code(), Code::kUnavailable);
    EXPECT_EQ(a.fabric.Listen({host, 0}).code(), Code::kUnavailable);
  }
}

TEST_P(Dialling, AHandlerMayDialAgainFromOnClose) {
  Peer a;
  int dials = 1;
  a.on_close = [&](LinkId) {
    if (dials++ < 5) a.fabric.Dial({"nowhere", 1});
  };
  a.fabric.Dial({"nowhere", 1});
  for (int i = 0; i < 5; ++i) a.Poll(0us);
  EXPECT_EQ(a.closed.size(), 5U);
  EXPECT_EQ(a.poll_ends, 5U);
}

TEST_P(Listening, AUsedAddressIsUnavailable) {
  Peer a, b;
  a.Listen();
  const Status status = b.fabric.Listen(a.at());
  EXPECT_EQ(status.code(), Code::kUnavailable);
  EXPECT_NE(status.message().find(a.at().ToString()), std::string::npos);
}

TEST_P(Listening, APortThatIsTakenForAMomentIsWaitedFor) {
  Peer node;
  auto taken = OpenListener({"127.0.0.1", 0});
  ASSERT_TRUE(taken.ok());
  const std::uint16_t port = LocalPort(*taken);
  std::thread process([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    ::close(*taken);
  });
  const Status status = node.fabric.Listen({"127.0.0.1", port});
  process.join();
  EXPECT_TRUE(status.ok()) << status.ToString();
}

TEST_P(Listening, PeersOverTheLimitAreHungUpOn) {
  Peer node({.accepted_links = 2}), a, b;
  node.Listen();
  for (const LinkPair link : {Connect(a, node), Connect(a, node)}) a.fabric.Send(link.from, Bytes("no stranger"));
  ASSERT_TRUE(PollUntil({&node}, [&] { return node.frames == 2; }));
  const LinkId third = b.fabric.Dial(node.at());
  ASSERT_TRUE(PollUntil({&node, &b}, [&] { return b.closed.contains(third); }));
  EXPECT_EQ(node.accepted.size(), 2U);
  node.fabric.Close(node.accepted[1]);
  Connect(b, node);
  EXPECT_EQ(node.accepted.size(), 3U);
  EXPECT_TRUE(node.closed.empty());
}

TEST(Closing, WithinAFrameOfTheSameLinkEndsItsDelivery) {
  Peer node;
  node.max_body = 100;
  node.Listen();
  RawPeer raw(node.fabric.port());
  std::string seen;
  node.on_frame = [&](LinkId link, auto head, auto body) {
    node.fabric.Close(link);
    node.fabric.Send(link, head, body);
    // Still readable: it is valid during the call.
    seen += Text(head) + Text(body);
  };
  raw.Say(GoodFrame("first", "1") + GoodFrame("second", "2"));
  ASSERT_TRUE(PollUntil({&node}, [&] { return node.frames == 1; }));
  node.Poll(0us);
  EXPECT_EQ(seen, "first1");
  EXPECT_TRUE(node.closed.empty());
  EXPECT_EQ(node.fabric.BufferBytes(), 0U);
}

TEST(Closing, OfAllOtherLinksWithinAFrameSilencesThem) {
  Peer node;
  node.Listen();
  std::vector<std::unique_ptr<RawPeer>> raws;
  for (int i = 0; i < 10; ++i) raws.push_back(std::make_unique<RawPeer>(node.fabric.port()));
  ASSERT_TRUE(PollUntil({&node}, [&] { return node.accepted.size() == raws.size(); }));
  // All have something to say in the same Poll; the first one heard ends the others.
  for (auto& raw : raws) raw->Say(GoodFrame("me"));
  node.on_frame = [&](LinkId link, auto, auto) {
    for (const LinkId other : node.accepted) {
      if (other != link) node.fabric.Close(other);
    }
  };
  ASSERT_TRUE(PollUntil({&node}, [&] { return node.frames != 0; }));
  node.Poll(0us);
  EXPECT_EQ(node.frames, 1U);
  EXPECT_TRUE(node.closed.empty());
}

TEST_P(Links, CloseFromEveryCallback) {
  Peer a, b;
  b.Listen();
  b.on_accept = [&](LinkId link) { b.fabric.Close(link); };
  a.on_close = [&](LinkId link) { a.fabric.Close(link); };
  const LinkId first = a.fabric.Dial(b.at());
  ASSERT_TRUE(PollUntil({&a, &b}, [&] { return a.closed.contains(first); }));
  b.on_accept = nullptr;
  a.on_connect = [&](LinkId link) { a.fabric.Close(link); };
  const LinkId second = a.fabric.Dial(b.at());
  ASSERT_TRUE(PollUntil({&a, &b}, [&] { return b.closed.size() == 1; }));
  EXPECT_FALSE(a.closed.contains(second));
  a.on_connect = nullptr;
  const LinkPair third = Connect(a, b);
  a.on_poll_end = [&] { a.fabric.Close(third.from); };
  b.fabric.Send(third.to, Bytes("x"));
  ASSERT_TRUE(PollUntil({&a, &b}, [&] { return b.closed.size() == 2; }));
  EXPECT_NE(first, second);
  EXPECT_NE(second, third.from);
}

TEST_P(Links, TellThePeerThatTheyClose) {
  Peer a, b;
  b.Listen();
  const LinkPair link = Connect(a, b);
  a.fabric.Close(link.from);
  ASSERT_TRUE(PollUntil({&b}, [&] { return b.closed.contains(link.to); }));
  EXPECT_EQ(b.closed[link.to].code(), Code::kUnavailable);
  a.Poll(0us);
  EXPECT_TRUE(a.closed.empty());
}

// Runs a node that connects to `at`, forks a child that outlives it, and dies as if killed.  The child lives until
// `life` is closed.
[[noreturn]] void DieBeforeOwnChild(const Endpoint& at, int life) {
  Peer node;
  node.fabric.Dial(at);
  const bool up = PollUntil({&node}, [&] { return !node.connected.empty(); });
  if (up && ::fork() == 0) {
    char c = 0;
    (void)!::read(life, &c, 1);
    ::_exit(0);
  }
  ::_exit(up ? 0 : 1);
}

TEST_P(Forking, AChildDoesNotKeepItsParentsConnections) {
  Peer node;
  node.Listen();
  const Endpoint at = node.at();
  int life[2];
  ASSERT_EQ(::pipe(life), 0);
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::close(life[1]);
    DieBeforeOwnChild(at, life[0]);
  }
  ::close(life[0]);
  EXPECT_TRUE(PollUntil({&node}, [&] { return node.closed.size() == 1; }));
  int how = 0;
  ASSERT_EQ(::waitpid(pid, &how, 0), pid);
  EXPECT_EQ(how, 0);
  ::close(life[1]);
}

TEST_P(Forking, LeavesTheParentsLinksAsTheyWere) {
  Peer a, b;
  b.Listen();
  const LinkPair link = Connect(a, b);
  const pid_t pid = ::fork();
  if (pid == 0) {
    // What a child still does to a fabric has no effect.
    a.fabric.Send(link.from, Bytes("ghost"));
    a.Poll(0us);
    ::_exit(a.fabric.descriptor() == -1 && !a.fabric.Listen({"127.0.0.1", 0}).ok() ? 0 : 1);
  }
  int how = 0;
  ASSERT_EQ(::waitpid(pid, &how, 0), pid);
  EXPECT_EQ(how, 0);
  a.fabric.Send(link.from, Bytes("alive"));
  ASSERT_TRUE(PollUntil({&a, &b}, [&] { return b.frames == 1; }));
  EXPECT_EQ(b.got[link.to].front().first, "alive");
  Connect(a, b);
}

}  // namespace
}  // namespace faha::fabric_test
