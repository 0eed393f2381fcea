// Who may speak where links use TLS, and what becomes of those who may not.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <openssl/ssl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <memory>
#include <vector>

#include "certificates.h"
#include "fabric/tls_channel.h"
#include "peer.h"
#include "raw_peer.h"

namespace faha::fabric_test {
namespace {

TcpFabricLimits Limits(std::shared_ptr<Tls> tls, const std::string& secret = {},
                       std::chrono::milliseconds handshake = 30s) {
  TcpFabricLimits limits;
  limits.tls = std::move(tls);
  limits.secret = secret;
  limits.handshake = handshake;
  return limits;
}

bool Says(const Status& status, std::string_view text) {
  EXPECT_NE(status.message().find(text), std::string_view::npos) << status.ToString();
  return status.message().find(text) != std::string_view::npos;
}

// Neither hears a frame of the other, both end as DENIED, and each line says `a_says` and `b_says`.
void ExpectDenied(const TcpFabricLimits& a_limits, const TcpFabricLimits& b_limits, std::string_view a_says,
                  std::string_view b_says) {
  Peer a(a_limits), b(b_limits);
  b.Listen();
  const LinkId link = a.fabric.Dial(b.at());
  a.fabric.Send(link, Bytes("let me in"));
  ASSERT_TRUE(PollUntil({&a, &b}, [&] { return a.closed.size() == 1 && b.closed.size() == 1; }));
  EXPECT_EQ(a.closed[link].code(), Code::kDenied);
  EXPECT_EQ(b.closed.begin()->second.code(), Code::kDenied);
  EXPECT_TRUE(Says(a.closed[link], a_says) && Says(b.closed.begin()->second, b_says));
  EXPECT_TRUE(a.frames == 0 && b.frames == 0);
}

TEST(Tls, ThoseOfOneCaTalkWhetherThereIsASecretOrNot) {
  for (const std::string secret : {"", "s"}) {
    Peer a(Limits(NodeOf(OurCa()), secret)), b(Limits(NodeOf(OurCa()), secret));
    b.Listen();
    const LinkId link = a.fabric.Dial(b.at());
    a.fabric.Send(link, Bytes("early"));
    ASSERT_TRUE(PollUntil({&a, &b}, [&] { return b.frames == 1 && a.connected.size() == 1; }));
    b.fabric.Send(b.accepted[0], Bytes("answer"));
    ASSERT_TRUE(PollUntil({&a, &b}, [&] { return a.frames == 1; }));
    EXPECT_EQ(b.got[b.accepted[0]][0].first, "early");
    EXPECT_EQ(a.got[link][0].first, "answer");
  }
}

TEST(Tls, AnotherCaIsDenied) {
  const Certified theirs = Certify("their CA", 10, nullptr);
  for (const std::string secret : {"", "s"}) {
    ExpectDenied(Limits(NodeOf(theirs), secret), Limits(NodeOf(OurCa()), secret), "does not trust",
                 "refuses this node");
  }
}

// The dialler trusts whom it dials; the other way round it does not hold.
TEST(Tls, WhoAcceptsChecksWhoDials) {
  const Certified theirs = Certify("their CA", 10, nullptr);
  NodeFiles files;
  files.Write(OurCa(), Certify("intruder", 10, &theirs));
  for (const std::string secret : {"", "s"}) {
    ExpectDenied(Limits(files.Load(), secret), Limits(NodeOf(OurCa()), secret), "refuses this node", "does not trust");
  }
}

TEST(Tls, AnExpiredCertificateIsDenied) {
  ExpectDenied(Limits(NodeOf(OurCa(), -1), "s"), Limits(NodeOf(OurCa()), "s"), "certificate expired",
               "certificate has expired");
  ExpectDenied(Limits(NodeOf(OurCa()), "s"), Limits(NodeOf(OurCa(), -1), "s"), "certificate has expired",
               "certificate expired");
}

TEST(Tls, OfOneCaButWithAnotherSecretIsDenied) {
  ExpectDenied(Limits(NodeOf(OurCa()), "mine"), Limits(NodeOf(OurCa()), "yours"), "faha.secret", "faha.secret");
}

// --- One end has no TLS.

TEST(Tls, WhoDialsWithoutItIsDenied) {
  ExpectDenied(Limits(nullptr), Limits(NodeOf(OurCa())), "faha.tls", "faha.tls");
  // Both wait for the other's first word, and whoever gives up first cannot know why there was none.
  Peer a(Limits(nullptr, "s", 100ms)), b(Limits(NodeOf(OurCa()), "s", 100ms));
  b.Listen();
  const LinkId link = a.fabric.Dial(b.at());
  a.fabric.Send(link, Bytes("let me in"));
  ASSERT_TRUE(PollUntil({&a, &b}, [&] { return a.closed.size() == 1 && b.closed.size() == 1; }));
  EXPECT_TRUE(Says(a.closed[link], "faha.tls"));
  EXPECT_TRUE(a.frames == 0 && b.frames == 0);
}

TEST(Tls, WhoAcceptsWithoutItIsDenied) {
  for (const std::string secret : {"", "s"}) {
    ExpectDenied(Limits(NodeOf(OurCa()), secret), Limits(nullptr, secret), "faha.tls", "faha.tls");
  }
}

// However early the other's first word is there: without a ClientHello it would think that the secret is refused.
TEST(Tls, WhoDialsSpeaksBeforeItListens) {
  Peer node(Limits(NodeOf(OurCa()), "s"));
  RawListener plain;
  const LinkId link = node.fabric.Dial(plain.at());
  ASSERT_TRUE(PollUntil({}, [&] { return plain.Accept(); }));
  plain->Say(GoodFrame(Text(Handshake("s", true).Challenge())));
  ASSERT_TRUE(PollUntil({&node}, [&] { return node.closed.contains(link); }));
  EXPECT_TRUE(Says(node.closed[link], "faha.tls"));
  EXPECT_EQ(plain->Hear().substr(0, 2), "\x16\x03");
}

// A raw client: of which version, and with which certificate, if any.
class RawTls {
 public:
  RawTls(std::uint16_t port, int version, const TlsFiles* files) : context_(SSL_CTX_new(TLS_client_method())) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT_EQ(::connect(fd_, reinterpret_cast<const sockaddr*>(&to), sizeof to), 0);
    EXPECT_EQ(::fcntl(fd_, F_SETFL, O_NONBLOCK), 0);
    SSL_CTX_set_max_proto_version(context_, version);
    if (files != nullptr) {
      SSL_CTX_use_certificate_file(context_, files->certificate.c_str(), SSL_FILETYPE_PEM);
      SSL_CTX_use_PrivateKey_file(context_, files->key.c_str(), SSL_FILETYPE_PEM);
    }
    ssl_ = SSL_new(context_);
    SSL_set_fd(ssl_, fd_);
    SSL_set_connect_state(ssl_);
  }
  ~RawTls() {
    SSL_free(ssl_);
    SSL_CTX_free(context_);
    ::close(fd_);
  }
  RawTls(const RawTls&) = delete;
  RawTls& operator=(const RawTls&) = delete;

  bool Shake() { return SSL_do_handshake(ssl_) == 1; }
  int Write(std::string_view text) { return SSL_write(ssl_, text.data(), static_cast<int>(text.size())); }
  void RenewKeys() { EXPECT_EQ(SSL_key_update(ssl_, SSL_KEY_UPDATE_REQUESTED), 1); }

 private:
  SSL_CTX* context_;
  SSL* ssl_ = nullptr;
  int fd_ = -1;
};

TEST(Tls, OlderVersionsAndNoCertificateAreDenied) {
  NodeFiles files;
  files.Write(OurCa(), Certify("node", 10, &OurCa()));
  for (const bool old : {false, true}) {
    Peer node(Limits(files.Load()));
    node.Listen();
    RawTls client(node.fabric.port(), old ? TLS1_2_VERSION : TLS1_3_VERSION, old ? &files.files : nullptr);
    ASSERT_TRUE(PollUntil({&node}, [&] { return client.Shake(), node.closed.size() == 1; }));
    EXPECT_EQ(node.closed.begin()->second.code(), Code::kDenied);
    EXPECT_TRUE(Says(node.closed.begin()->second, old ? "protocol" : "did not return a certificate"));
    EXPECT_TRUE(node.accepted.empty());
  }
}

TEST(Tls, ALinkOutlivesNewKeys) {
  NodeFiles files;
  files.Write(OurCa(), Certify("node", 10, &OurCa()));
  Peer node(Limits(files.Load()));
  node.Listen();
  RawTls client(node.fabric.port(), TLS1_3_VERSION, &files.files);
  ASSERT_TRUE(PollUntil({&node}, [&] { return client.Shake() && node.accepted.size() == 1; }));
  for (std::uint64_t i = 1; i <= 3; ++i) {
    client.RenewKeys();
    EXPECT_GT(client.Write(GoodFrame("renewed")), 0);
    ASSERT_TRUE(PollUntil({&node}, [&] { return node.frames == i; }));
  }
  EXPECT_TRUE(node.closed.empty());
}

// What the kernel did not take at first, and nothing behind it.
TEST(Tls, WhatIsSealedLeavesOnceThePeerReads) {
  Peer a(Limits(NodeOf(OurCa()))), b(Limits(NodeOf(OurCa())));
  b.max_body = 1 << 20;
  b.Listen();
  const LinkPair link = Connect(a, b);
  const std::string body(60000, 'x');
  const std::size_t idle = a.fabric.BufferBytes();
  std::uint64_t sent = 0;
  for (; a.fabric.BufferBytes() == idle; ++sent) a.fabric.Send(link.from, Bytes("x"), Bytes(body));
  EXPECT_TRUE(PollUntil({&a, &b}, [&] { return b.frames == sent; }));
}

// --- In the middle.

// A TLS end that the test drives.
struct End {
  std::unique_ptr<Channel> channel;
  int fd = -1;
  bool ended = false;
  ~End() {
    if (fd >= 0) ::close(fd);
  }

  void PassTo(End& other) {
    std::array<std::byte, 4096> bytes;
    do {
      const auto got = channel->Receive(fd, bytes);
      if (got.what == Channel::Received::What::kBytes) {
        iovec piece{bytes.data(), got.bytes};
        if (other.channel->Send(other.fd, std::span(&piece, 1)) != static_cast<ssize_t>(got.bytes)) other.ended = true;
      } else if (got.what != Channel::Received::What::kNothing) {
        ended = true;
        return;
      }
    } while (channel->pending());
  }
};

// It has a certificate of the right CA, speaks TLS with either end, and passes on what they say to each other.
void Relay(const std::string& secret, bool gets_through) {
  Peer a(Limits(NodeOf(OurCa()), secret)), b(Limits(NodeOf(OurCa()), secret));
  b.Listen();
  const auto middle = NodeOf(OurCa());
  auto listener = OpenListener({"127.0.0.1", 0});
  ASSERT_TRUE(listener.ok());
  const LinkId link = a.fabric.Dial({"127.0.0.1", LocalPort(*listener)});
  a.fabric.Send(link, Bytes("hello"));
  End to_a{middle->Open(true)}, to_b{middle->Open(false)};
  auto dialled = OpenConnection(b.at());
  ASSERT_TRUE(dialled.ok());
  to_b.fd = *dialled;
  Endpoint peer;
  ASSERT_TRUE(PollUntil({&a, &b}, [&] { return (to_a.fd = AcceptConnection(*listener, peer)) >= 0; }));
  ::close(*listener);
  ASSERT_TRUE(PollUntil({&a, &b}, [&] {
    // Only once both are up can it pass anything on.
    std::array<std::byte, 1> none;
    if (!to_a.channel->secured()) (void)to_a.channel->Receive(to_a.fd, none);
    if (!to_b.channel->secured()) (void)to_b.channel->Receive(to_b.fd, none);
    return to_a.channel->secured() && to_b.channel->secured();
  }));
  ASSERT_TRUE(PollUntil({&a, &b}, [&] {
    if (!to_a.ended) to_a.PassTo(to_b);
    if (!to_b.ended) to_b.PassTo(to_a);
    if (to_b.ended && to_a.fd >= 0) ::close(std::exchange(to_a.fd, -1)), to_a.ended = true;
    return gets_through ? b.frames == 1 : a.closed.size() == 1 && b.closed.size() == 1;
  }));
  EXPECT_EQ(b.frames, gets_through ? 1U : 0U);
  if (gets_through) return;
  EXPECT_EQ(b.closed.begin()->second.code(), Code::kDenied);
  EXPECT_TRUE(Says(b.closed.begin()->second, "faha.secret"));
  EXPECT_TRUE(a.connected.empty() && b.accepted.empty());
}

TEST(Tls, ARelayWithAGoodCertificateCannotPassTheSecretOn) { Relay("s", false); }
// The relay of this test is a good one: it is the secret that stops it.
TEST(Tls, ARelayIsWhatTheSecretIsFor) { Relay("", true); }

// A wire that changes the byte number `at` of what the dialler says; what it carries is TLS.
TEST(Tls, AChangedByteEndsTheLink) {
  for (const std::size_t at : {0UL, 3UL, 80UL, 700UL, 2000UL, 2100UL, 4000UL}) {
    // A record that is made longer is waited for.
    Peer a(Limits(NodeOf(OurCa()), "", 300ms)), b(Limits(NodeOf(OurCa()), "", 300ms));
    a.max_body = b.max_body = 10000;
    b.Listen();
    auto listener = OpenListener({"127.0.0.1", 0});
    ASSERT_TRUE(listener.ok());
    const LinkId link = a.fabric.Dial({"127.0.0.1", LocalPort(*listener)});
    a.fabric.Send(link, Bytes("head"), Bytes(std::string(8000, 'x')));
    RawPeer out(b.fabric.port());
    std::unique_ptr<RawPeer> in;
    std::size_t passed = 0;
    ASSERT_TRUE(PollUntil({&a, &b}, [&] {
      Endpoint peer;
      if (!in) {
        if (const int fd = AcceptConnection(*listener, peer); fd >= 0) in = std::make_unique<RawPeer>(Connected{fd});
        return false;
      }
      std::string forth = in->Hear();
      if (at >= passed && at < passed + forth.size()) forth[at - passed] = static_cast<char>(forth[at - passed] ^ 1);
      passed += forth.size();
      if (!forth.empty()) (void)out.TrySay(forth);
      if (const std::string back = out.Hear(); !back.empty()) (void)in->TrySay(back);
      return b.closed.size() == 1;
    })) << at;
    ::close(*listener);
    EXPECT_EQ(b.frames, 0U) << at;
  }
}

// --- Strangers.

TEST(Tls, AFloodOfSilentStrangersKeepsNobodyOut) {
  TcpFabricLimits few = Limits(NodeOf(OurCa()), "s");
  few.accepted_links = 8;
  few.strangers = 3;
  Peer node(few), peer(Limits(NodeOf(OurCa()), "s"));
  node.Listen();
  std::vector<std::unique_ptr<RawPeer>> silent;
  for (std::size_t i = 1; i <= 5; ++i) {
    for (int k = 0; k < 10; ++k) silent.push_back(std::make_unique<RawPeer>(node.fabric.port()));
    ASSERT_TRUE(PollUntil({&node}, [&] { return silent.front()->Hear(), silent.front()->ended; }));
    silent.erase(silent.begin());
    const LinkPair link = Connect(peer, node);
    peer.fabric.Send(link.from, Bytes("useful"));
    ASSERT_TRUE(PollUntil({&peer, &node}, [&] { return node.frames == i; }));
  }
  EXPECT_TRUE(peer.closed.empty() && node.closed.empty());
}

TEST(Tls, TheHandshakeHasATimeLimitHoweverThePeerTalks) {
  Peer node(Limits(NodeOf(OurCa()), "", 100ms));
  node.Listen();
  RawPeer dribbling(node.fabric.port()), silent(node.fabric.port());
  // A record of TLS's handshake that says it is long.
  const std::string record = std::string("\x16\x03\x01\x20\x00\x01", 6) + std::string(8000, '\0');
  std::size_t said = 0;
  auto next = std::chrono::steady_clock::now();
  ASSERT_TRUE(PollUntil({&node}, [&] {
    if (said < record.size() && std::chrono::steady_clock::now() >= next) {
      (void)dribbling.TrySay(std::string_view(record).substr(said++, 1));
      next += 5ms;
    }
    return node.closed.size() == 2;
  }));
  for (const auto& [link, reason] : node.closed) {
    EXPECT_EQ(reason.code(), Code::kUnavailable);
    EXPECT_TRUE(Says(reason, "did not finish the handshake"));
  }
}

// --- The files.

void Spoil(const std::string& path) { std::ofstream(path) << "no PEM\n"; }

TEST(TlsFiles, ThatCannotBeUsedAreABadConfig) {
  const Certified node = Certify("node", 10, &OurCa());
  const auto refused = [&](std::string_view says, auto change) {
    NodeFiles files;
    files.Write(OurCa(), node);
    change(files);
    const auto tls = Tls::Load(files.files, [](LogLevel, std::string_view) {});
    ASSERT_FALSE(tls.ok()) << says;
    EXPECT_EQ(tls.status().code(), Code::kBadConfig);
    EXPECT_TRUE(Says(tls.status(), says));
    EXPECT_EQ(tls.status().message().find('\n'), std::string_view::npos);
  };
  refused("tls-cert-file", [](NodeFiles& f) { f.files.certificate.clear(); });
  refused("tls-key-file", [](NodeFiles& f) { f.files.key.clear(); });
  refused("tls-ca-cert-file or tls-ca-cert-dir", [](NodeFiles& f) { f.files.ca_file.clear(); });
  refused("No such file", [](NodeFiles& f) { f.files.certificate += "x"; });
  refused("No such file", [](NodeFiles& f) { f.files.key += "x"; });
  refused("tls-ca-cert-file", [](NodeFiles& f) { f.files.ca_file += "x"; });
  refused("tls-ca-cert-dir", [](NodeFiles& f) { f.files.ca_dir = f.folder / "none"; });
  refused("no start line", [](NodeFiles& f) { Spoil(f.files.certificate); });
  refused("tls-key-file", [](NodeFiles& f) { Spoil(f.files.key); });
  refused("key values mismatch", [](NodeFiles& f) { WriteKey(f.files.key, Certify("x", 1, &OurCa())); });
  refused("tls-key-file", [&](NodeFiles& f) {
    WriteKey(f.files.key, node, "open sesame");
    f.files.key_pass = "close sesame";
  });
  // Nobody is asked for it on the terminal.
  refused("tls-key-file", [&](NodeFiles& f) { WriteKey(f.files.key, node, "open sesame"); });
}

TEST(TlsFiles, AKeyWithAPassphraseAndAFolderOfCas) {
  const Certified node = Certify("node", 10, &OurCa());
  NodeFiles files;
  files.Write(OurCa(), node);
  WriteKey(files.files.key, node, "open sesame");
  files.files.key_pass = "open sesame";
  files.files.ca_file.clear();
  files.files.ca_dir = files.folder / "";
  std::array<char, 16> name{};
  std::snprintf(name.data(), name.size(), "%08lx.0",
                X509_NAME_hash_ex(X509_get_subject_name(OurCa().certificate.get()), nullptr, nullptr, nullptr));
  WriteCertificate(files.folder / name.data(), OurCa());
  Peer a(Limits(files.Load())), b(Limits(NodeOf(OurCa())));
  b.Listen();
  Connect(a, b);
  a.Listen();
  Connect(b, a);
}

TEST(TlsFiles, ThatHaveChangedAreForLinksFromThenOn) {
  const Certified next_ca = Certify("the next CA", 10, nullptr);
  NodeFiles files;
  files.Write(OurCa(), Certify("node", 10, &OurCa()));
  std::vector<std::string> lines;
  Peer node(Limits(files.Load([&](LogLevel, std::string_view line) { lines.emplace_back(line); }))),
      peer(Limits(NodeOf(OurCa()))), next(Limits(NodeOf(next_ca)));
  node.Listen();
  const LinkPair old = Connect(peer, node);
  EXPECT_TRUE(lines.empty());
  files.Write(next_ca, Certify("node", 10, &next_ca));
  Connect(next, node);
  EXPECT_EQ(lines.size(), 1U);
  peer.fabric.Send(old.from, Bytes("still here"));
  ASSERT_TRUE(PollUntil({&peer, &node}, [&] { return node.frames == 1; }));
  const LinkId late = peer.fabric.Dial(node.at());
  ASSERT_TRUE(PollUntil({&peer, &node}, [&] { return peer.closed.contains(late); }));
  EXPECT_EQ(peer.closed[late].code(), Code::kDenied);
}

TEST(TlsFiles, ThatAreBrokenLeaveTheOldOnesInUse) {
  NodeFiles files;
  const Certified first = Certify("node", 10, &OurCa()), second = Certify("node", 10, &OurCa());
  files.Write(OurCa(), first);
  std::vector<std::pair<LogLevel, std::string>> lines;
  Peer node(Limits(files.Load([&](LogLevel level, std::string_view line) { lines.emplace_back(level, line); }))),
      peer(Limits(NodeOf(OurCa())));
  node.Listen();
  // The certificate comes before its key.
  WriteCertificate(files.files.certificate, second);
  Connect(peer, node);
  Connect(peer, node);
  ASSERT_EQ(lines.size(), 1U) << "said once";
  EXPECT_EQ(lines[0].first, LogLevel::kWarning);
  EXPECT_NE(lines[0].second.find("key values mismatch"), std::string::npos) << lines[0].second;
  WriteKey(files.files.key, second);
  Connect(peer, node);
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(lines[1].first, LogLevel::kNotice);
}

}  // namespace
}  // namespace faha::fabric_test
