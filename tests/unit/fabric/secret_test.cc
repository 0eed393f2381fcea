// Who may speak: the secret's proof, and what strangers can take before it.
#include <gtest/gtest.h>

#include <memory>

#include "fabric/handshake.h"
#include "peer.h"
#include "raw_peer.h"

namespace faha::fabric_test {
namespace {

TcpFabricLimits With(const std::string& secret, std::chrono::milliseconds handshake = 50ms) {
  TcpFabricLimits limits;
  limits.secret = secret;
  limits.handshake = handshake;
  return limits;
}

std::string FrameOf(const std::vector<std::byte>& head) { return GoodFrame(Text(head)); }

TEST(Secret, ThoseWhoShareItTalk) {
  Peer a(With("of the house")), b(With("of the house"));
  b.Listen();
  const LinkId link = a.fabric.Dial(b.at());
  a.fabric.Send(link, Bytes("early"));
  ASSERT_TRUE(PollUntil({&a, &b}, [&] { return b.frames == 1 && a.connected.size() == 1; }));
  EXPECT_EQ(b.got[b.accepted[0]][0].first, "early");
  b.fabric.Send(b.accepted[0], Bytes("answer"));
  ASSERT_TRUE(PollUntil({&a, &b}, [&] { return a.frames == 1; }));
}

// Neither is told of the link, and both learn why.
TEST(Secret, AnotherOneIsDenied) {
  Peer a(With("mine")), b(With("yours"));
  b.Listen();
  const LinkId link = a.fabric.Dial(b.at());
  a.fabric.Send(link, Bytes("early"));
  ASSERT_TRUE(PollUntil({&a, &b}, [&] { return a.closed.size() == 1 && b.closed.size() == 1; }));
  EXPECT_EQ(a.closed[link].code(), Code::kDenied);
  EXPECT_EQ(b.closed.begin()->second.code(), Code::kDenied);
  EXPECT_NE(a.closed[link].message().find("faha.secret"), std::string::npos);
  EXPECT_TRUE(a.connected.empty() && b.accepted.empty() && b.frames == 0);
}

TEST(Secret, NoneIsDenied) {
  Peer a, b(With("yours"));
  b.Listen();
  const LinkId link = a.fabric.Dial(b.at());
  a.fabric.Send(link, Bytes("let me in"));
  ASSERT_TRUE(PollUntil({&a, &b}, [&] { return a.closed.size() == 1; }));
  EXPECT_TRUE(b.accepted.empty() && b.frames == 0);
  EXPECT_EQ(a.closed[link].code(), Code::kDenied);
  // Who asked is told that there was none.
  ASSERT_TRUE(PollUntil({&a, &b}, [&] { return b.closed.size() == 1; }));
  EXPECT_EQ(b.closed.begin()->second.code(), Code::kDenied);
}

// A connection that ends within the handshake, whatever ends it, says nothing about secrets.
TEST(Secret, ALostConnectionIsNoDenial) {
  for (const bool reset : {false, true}) {
    for (const bool challenged : {false, true}) {
      Peer node(With("s", 30s));
      RawListener peer;
      const LinkId link = node.fabric.Dial(peer.at());
      ASSERT_TRUE(PollUntil({&node}, [&] { return peer.Accept(); }));
      if (challenged) {
        peer->Say(FrameOf(Handshake("s", true).Challenge()));
        ASSERT_TRUE(PollUntil({&node}, [&] { return !peer->Hear().empty(); })) << "the response";
      }
      reset ? peer->Reset() : peer->HangUp();
      ASSERT_TRUE(PollUntil({&node}, [&] { return node.closed.contains(link); }));
      EXPECT_EQ(node.closed[link].code(), Code::kUnavailable) << node.closed[link].ToString();
      EXPECT_EQ(node.closed[link].message().find("secret"), std::string::npos) << node.closed[link].ToString();
    }
  }
}

TEST(Secret, ADiallerThatHangsUpIsNoDenial) {
  Peer node(With("s", 30s));
  node.Listen();
  RawPeer dialler(node.fabric.port());
  ASSERT_TRUE(PollUntil({&node}, [&] { return !dialler.Hear().empty(); })) << "the challenge";
  dialler.HangUp();
  ASSERT_TRUE(PollUntil({&node}, [&] { return node.closed.size() == 1; }));
  EXPECT_EQ(node.closed.begin()->second.code(), Code::kUnavailable);
}

// Who accepts without a secret is no better than who dials without one; but that it is silent may have other reasons.
TEST(Secret, AnAccepterThatProvesNothingIsNotTrusted) {
  Peer a(With("mine")), b;
  b.Listen();
  const LinkId link = a.fabric.Dial(b.at());
  ASSERT_TRUE(PollUntil({&a, &b}, [&] { return a.closed.size() == 1; }));
  EXPECT_EQ(a.closed[link].code(), Code::kUnavailable);
  EXPECT_NE(a.closed[link].message().find("faha.secret"), std::string::npos);
  EXPECT_TRUE(a.connected.empty());
}

TEST(Secret, ARecordedResponseIsOfNoUse) {
  Handshake accepting("s", true), dialling("s", false);
  const auto response = dialling.Answer(accepting.Challenge());
  const auto proof = accepting.Answer(response);
  EXPECT_EQ(accepting.state(), Handshake::State::kDone);
  (void)dialling.Answer(proof);
  EXPECT_EQ(dialling.state(), Handshake::State::kDone);
  Handshake later("s", true);
  (void)later.Challenge();
  EXPECT_TRUE(later.Answer(response).empty());
  EXPECT_EQ(later.state(), Handshake::State::kRefused);
  // Nor can a proof be had by sending a challenge back.
  Handshake victim("s", false);
  (void)victim.Answer(accepting.Challenge());
  (void)victim.Answer(proof);
  EXPECT_EQ(victim.state(), Handshake::State::kRefused);
}

TEST(Secret, EveryChangedBitIsRefused) {
  for (std::size_t bit = 0; bit < 65 * 8; ++bit) {
    Handshake accepting("s", true), dialling("s", false);
    auto response = dialling.Answer(accepting.Challenge());
    response[bit / 8] ^= std::byte{1} << (bit % 8);
    EXPECT_TRUE(accepting.Answer(response).empty());
    EXPECT_EQ(accepting.state(), Handshake::State::kRefused) << bit;
  }
}

// What crosses a connection, in either direction.
struct Recording {
  std::string dialling, accepting;
};

Recording RecordedHandshake(const std::string& secret) {
  Handshake accepting(secret, true), dialling(secret, false);
  Recording recording;
  const auto challenge = accepting.Challenge();
  const auto response = dialling.Answer(challenge);
  const auto proof = accepting.Answer(response);
  EXPECT_EQ(accepting.state(), Handshake::State::kDone);
  recording.accepting = FrameOf(challenge) + FrameOf(proof);
  recording.dialling = FrameOf(response);
  return recording;
}

TEST(Secret, ARecordedDiallerIsRefusedAndLearnsNothing) {
  Peer node(With("s", 30s));
  node.Listen();
  RawPeer replayer(node.fabric.port());
  std::string heard;
  replayer.Say(RecordedHandshake("s").dialling);
  ASSERT_TRUE(PollUntil({&node}, [&] { return heard += replayer.Hear(), replayer.ended; }));
  // A challenge, as everybody gets, that it is refused, and not a byte more.
  const std::size_t challenge = sizeof(FrameHeader) + 1 + Handshake::kNumberBytes;
  ASSERT_GT(heard.size(), challenge);
  EXPECT_TRUE(Handshake::IsChallenge(Bytes(heard).subspan(sizeof(FrameHeader), 1 + Handshake::kNumberBytes)));
  EXPECT_EQ(heard.substr(challenge), FrameOf(Handshake::Refusal()));
  EXPECT_EQ(node.closed.begin()->second.code(), Code::kDenied);
  EXPECT_TRUE(node.accepted.empty());
}

TEST(Secret, ARecordedAccepterIsRefused) {
  Peer node(With("s", 30s));
  RawListener impostor;
  const LinkId link = node.fabric.Dial(impostor.at());
  ASSERT_TRUE(PollUntil({&node}, [&] { return impostor.Accept(); }));
  impostor->Say(RecordedHandshake("s").accepting);
  ASSERT_TRUE(PollUntil({&node}, [&] { return node.closed.contains(link); }));
  EXPECT_EQ(node.closed[link].code(), Code::kDenied);
  EXPECT_TRUE(node.connected.empty());
}

// Whatever a node says comes back to it.
TEST(Secret, AMirrorIsRefusedByWhoAccepts) {
  Peer node(With("s", 30s));
  node.Listen();
  RawPeer mirror(node.fabric.port());
  ASSERT_TRUE(PollUntil({&node}, [&] {
    if (const std::string heard = mirror.Hear(); !heard.empty()) (void)mirror.TrySay(heard);
    return node.closed.size() == 1;
  }));
  EXPECT_EQ(node.closed.begin()->second.code(), Code::kDenied);
  EXPECT_TRUE(node.accepted.empty());
}

TEST(Secret, AMirrorIsRefusedByWhoDials) {
  Peer node(With("s", 30s));
  RawListener mirror;
  const LinkId link = node.fabric.Dial(mirror.at());
  ASSERT_TRUE(PollUntil({&node}, [&] { return mirror.Accept(); }));
  // It needs a challenge to begin with: any will do.
  mirror->Say(FrameOf(Handshake("unknown", true).Challenge()));
  ASSERT_TRUE(PollUntil({&node}, [&] {
    if (const std::string heard = mirror->Hear(); !heard.empty()) (void)mirror->TrySay(heard);
    return node.closed.contains(link);
  }));
  EXPECT_EQ(node.closed[link].code(), Code::kDenied);
  EXPECT_TRUE(node.connected.empty());
}

// A dialler answers one challenge, so that nobody collects its responses.
TEST(Secret, ASecondChallengeIsRefused) {
  Handshake dialling("s", false);
  EXPECT_FALSE(dialling.Answer(Handshake("s", true).Challenge()).empty());
  EXPECT_TRUE(dialling.Answer(Handshake("s", true).Challenge()).empty());
  EXPECT_EQ(dialling.state(), Handshake::State::kRefused);
}

// --- Strangers.

TcpFabricLimits Few(const std::string& secret) {
  TcpFabricLimits limits = With(secret, 30s);
  limits.accepted_links = 8;
  limits.strangers = 3;
  return limits;
}

// Silent connections come all the time, and one more before each step of the peer's: it gets in, and its link stays.
void FloodAndConnect(const std::string& secret) {
  Peer node(Few(secret)), peer(With(secret, 30s));
  node.Listen();
  std::vector<std::unique_ptr<RawPeer>> silent;
  const auto flood = [&](int count) {
    for (int i = 0; i < count; ++i) silent.push_back(std::make_unique<RawPeer>(node.fabric.port()));
  };
  std::vector<LinkId> links;
  for (std::size_t i = 1; i <= 5; ++i) {
    flood(10);
    ASSERT_TRUE(PollUntil({&node}, [&] { return silent.front()->Hear(), silent.front()->ended; })) << "the oldest goes";
    silent.erase(silent.begin());
    links.push_back(peer.fabric.Dial(node.at()));
    peer.fabric.Send(links.back(), Bytes("useful"));
    flood(1);
    ASSERT_TRUE(PollUntil({&peer, &node}, [&] { return node.frames == i; })) << i;
  }
  flood(20);
  ASSERT_TRUE(PollUntil({&node}, [&] { return silent[silent.size() - 4]->Hear(), silent[silent.size() - 4]->ended; }));
  for (const LinkId link : links) peer.fabric.Send(link, Bytes("still here"));
  EXPECT_TRUE(PollUntil({&peer, &node}, [&] { return node.frames == 2 * links.size(); }));
  EXPECT_TRUE(peer.closed.empty());
  // The last ones are still connected: only older ones had to go.
  EXPECT_EQ(silent.back()->Hear().empty(), secret.empty());
  EXPECT_FALSE(silent.back()->ended);
}

TEST(Strangers, AFloodOfThemKeepsNobodyOut) { FloodAndConnect("s"); }
TEST(Strangers, AFloodOfThemKeepsNobodyOutWithoutASecretEither) { FloodAndConnect(""); }

TEST(Strangers, ThoseWhoHaveAPlaceKeepItWhenAllAreTaken) {
  Peer node(Few("s")), peer(With("s", 30s));
  node.Listen();
  for (int i = 0; i < 8; ++i) Connect(peer, node);
  RawPeer late(node.fabric.port());
  ASSERT_TRUE(PollUntil({&node}, [&] { return late.Hear(), late.ended; }));
  EXPECT_TRUE(node.closed.empty() && peer.closed.empty());
}

// A newcomer is slow to prove itself, and the flood comes from elsewhere all the while.
TEST(Strangers, AFloodTakesOnlyThePlacesOfItsOwnAddress) {
  Peer node(Few("s")), slow(With("s", 30s));
  node.Listen();
  std::vector<std::unique_ptr<RawPeer>> flood;
  const auto more = [&](std::uint8_t from) {
    flood.push_back(std::make_unique<RawPeer>(node.fabric.port(), from));
    return PollUntil({&node}, [&] { return !flood.back()->Hear().empty(); });
  };
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(more(2));
  const LinkId link = slow.fabric.Dial(node.at());
  // Also from more addresses than there are places: each has taken a place of the flood's, and then its own.
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(more(i % 2 == 0 ? 2 : 3));
  ASSERT_TRUE(PollUntil({&slow, &node}, [&] { return slow.connected.size() == 1 || slow.closed.size() == 1; }));
  EXPECT_FALSE(slow.closed.contains(link)) << slow.closed[link].ToString();
}

// The same from more addresses than there are places, at a node that knows the peer.
TEST(Strangers, AFloodFromManyAddressesTakesNoPlaceOfAKnownOne) {
  Peer node(Few("s")), peer(With("s", 30s));
  node.Listen();
  Connect(peer, node);
  std::vector<std::unique_ptr<RawPeer>> flood;
  const auto more = [&](int from) {
    flood.push_back(std::make_unique<RawPeer>(node.fabric.port(), static_cast<std::uint8_t>(from)));
    return PollUntil({&node}, [&] { return !flood.back()->Hear().empty(); });
  };
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(more(10 + i));
  const LinkId link = peer.fabric.Dial(node.at());
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(more(20 + i));
  ASSERT_TRUE(PollUntil({&peer, &node}, [&] { return peer.connected.size() == 2 || !peer.closed.empty(); }));
  EXPECT_FALSE(peer.closed.contains(link)) << peer.closed[link].ToString();
}

// Nobody hears of those that had to go: a flood must not fill the log.
TEST(Strangers, AreHungUpOnSilently) {
  Peer node(Few("s"));
  node.Listen();
  std::vector<std::unique_ptr<RawPeer>> silent;
  for (int i = 0; i < 50; ++i) silent.push_back(std::make_unique<RawPeer>(node.fabric.port()));
  ASSERT_TRUE(PollUntil({&node}, [&] { return silent[46]->Hear(), silent[46]->ended; }));
  EXPECT_TRUE(node.closed.empty());
}

TEST(Strangers, HoldLittleMemoryWhateverTheySay) {
  for (const std::string secret : {"s", ""}) {
    Peer node(With(secret, 30s));
    node.Listen();
    const auto all = TcpFabricLimits{}.strangers;
    std::vector<std::unique_ptr<RawPeer>> raws;
    for (std::size_t i = 0; i < all; ++i) raws.push_back(std::make_unique<RawPeer>(node.fabric.port()));
    // Half of a frame, as far as each may go without a word that counts.
    const std::string frame = secret.empty() ? GoodFrame(std::string(700, 'x')) : GoodFrame(std::string(60, 'x'));
    for (std::size_t i = 0; i < all / 2; ++i) raws[i]->Say(std::string_view(frame).substr(0, frame.size() - 1));
    ASSERT_TRUE(PollUntil({&node}, [&] { return node.fabric.BufferBytes() >= all / 2 * Inbox::kStrangerBytes; }));
    EXPECT_LE(node.fabric.BufferBytes(), all * Inbox::kStrangerBytes);
    EXPECT_TRUE(node.closed.empty());
  }
}

// A header that promises much is not believed before it has come.
TEST(Strangers, ABufferGrowsWithWhatHasArrived) {
  const std::string frame = GoodFrame(std::string(50000, 'x'));
  Inbox inbox;
  inbox.Distrust(kMaxFrameHeadBytes);
  Inbox::Frame whole;
  for (std::size_t at = 0; at < frame.size();) {
    EXPECT_EQ(inbox.Take(0, whole), FrameState::kIncomplete);
    const auto space = inbox.Space();
    ASSERT_FALSE(space.empty());
    EXPECT_LE(inbox.capacity(), std::max(Inbox::kStrangerBytes, 2 * inbox.pending()));
    const std::size_t size = std::min({space.size(), frame.size() - at, std::size_t{777}});
    std::memcpy(space.data(), frame.data() + at, size);
    inbox.Filled(size);
    at += size;
  }
  EXPECT_EQ(inbox.Take(0, whole), FrameState::kFrame);
  EXPECT_EQ(whole.head.size(), 50000U);
}

TEST(Strangers, MayNotSayMoreThanTheProofTakes) {
  for (const std::size_t size : {Handshake::kMaxBytes + 1, std::size_t{50000}}) {
    Peer node(With("s", 30s));
    node.Listen();
    RawPeer raw(node.fabric.port());
    // The header alone.
    raw.Say(GoodFrame(std::string(size, 'x')).substr(0, sizeof(FrameHeader)));
    ASSERT_TRUE(PollUntil({&node}, [&] { return node.closed.size() == 1; }));
    EXPECT_EQ(node.closed.begin()->second.code(), Code::kDenied);
  }
}

// A byte now and then does not buy time.
TEST(Strangers, HaveATimeLimitHoweverTheyTalk) {
  Peer node(With("s", 100ms));
  node.Listen();
  RawPeer dribbling(node.fabric.port()), silent(node.fabric.port());
  const std::string frame = GoodFrame(std::string(60, 'x'));
  std::size_t said = 0;
  auto next = std::chrono::steady_clock::now();
  ASSERT_TRUE(PollUntil({&node}, [&] {
    if (said + 1 < frame.size() && std::chrono::steady_clock::now() >= next) {
      (void)dribbling.TrySay(std::string_view(frame).substr(said++, 1));
      next += 5ms;
    }
    return node.closed.size() == 2;
  }));
  EXPECT_LT(said + 1, frame.size()) << "it was still talking";
  for (const auto& [link, reason] : node.closed) EXPECT_EQ(reason.code(), Code::kUnavailable);
}

// Nothing else has to happen for it: the descriptor says when.
TEST(Strangers, TheEndOfTheirTimeWakesAnIdleNode) {
  Peer node(With("s", 20ms)), dialler(With("s", 20ms));
  node.Listen();
  RawPeer silent(node.fabric.port());
  RawListener mute;
  dialler.fabric.Dial(mute.at());
  for (Peer* peer : {&node, &dialler}) {
    // Of the connection, and of the time.
    for (int i = 0; i < 2 && peer->closed.empty(); ++i) peer->Poll(20s);
    ASSERT_EQ(peer->closed.size(), 1U);
  }
}

}  // namespace
}  // namespace faha::fabric_test
