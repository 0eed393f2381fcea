// The RDMA fabric on a real device.  Where the machine has none, every test here is skipped: scripts/vm has one.
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>

#include "tests/unit/fabric/rdma_peer.h"

namespace faha::fabric_test {
namespace {

// A device DAX, all of it in huge pages, as the pool maps it.
struct PersistentMemory {
  static constexpr const char* kDevice = "/dev/dax0.0";
  PersistentMemory() {
    const int fd = open(kDevice, O_RDWR | O_CLOEXEC);
    if (fd < 0) return;
    constexpr std::size_t kSize = 4U << 20;
    void* at = mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
    if (at != MAP_FAILED) bytes = {static_cast<std::byte*>(at), kSize};
    close(fd);
  }
  ~PersistentMemory() {
    if (!bytes.empty()) munmap(bytes.data(), bytes.size());
  }
  PersistentMemory(const PersistentMemory&) = delete;
  PersistentMemory& operator=(const PersistentMemory&) = delete;
  std::span<std::byte> bytes;
};

// --- What other processes do.  They are started anew, not forked: the library's open devices do not survive a fork.

struct Lie {
  std::string_view name;
  std::string bytes;
  std::uint32_t imm, max_body;
};

// Chunks that are none, too long, of an unknown kind, to a place that does not exist; credit for nothing.
std::vector<Lie> Lies() {
  const FrameHeader header = MakeFrameHeader(Bytes("head"), 4);
  const std::string good = Text(std::as_bytes(std::span(&header, 1))) + "head" + "body";
  return {{"zeros", std::string(64, '\0'), 1U << 30 | 64, 4},
          {"an empty chunk", good, 1U << 30, 4},
          {"longer than the ring", good, 1U << 30 | (1U << 29), 4},
          {"an unknown kind", good, 3U << 30 | 24, 4},
          {"too short", good.substr(0, 10), 1U << 30 | 10, 4},
          {"more than its frame", good + "surplus", 1U << 30 | 31, 4},
          {"placed where nothing is shared", good, 2U << 30 | 1, 64},
          {"a body that is not allowed", good, 1U << 30 | 24, 3},
          {"credit for nothing", std::string(16, '\1'), 0, 4}};
}

// The way above, but each is flushed: says what it was told, for ever.  1: no device here flushes.
int StaleFlusher(std::uint16_t) {
  RdmaPeer source;
  Memory bytes(64U << 10);
  if (!source.seam->ShareMemory(bytes.bytes(), 0, false).ok()) return 1;
  source.Listen();
  printf("%d\n", source.port());
  fflush(stdout);
  if (!PollUntil({&source}, [&] { return source.accepted.size() == 1; })) return 1;
  const LinkId link = source.accepted[0];
  std::uint64_t placed = 0;
  while (!source.closed.contains(link)) {
    if (placed - source.flushed[link] < 8) {
      std::memcpy(bytes.bytes().data(), &++placed, sizeof placed);
      source.seam->Place(link, bytes.bytes().first(4096), 0);
    }
    source.Poll(0us);
  }
  printf("%llu %llu\n", static_cast<unsigned long long>(placed), static_cast<unsigned long long>(source.flushed[link]));
  fflush(stdout);
  return pause();
}

// Writes batches to their places as fast as it can, for ever.
int StaleWriter(std::uint16_t) {
  RdmaPeer source;
  Memory bytes(4U << 20);
  if (!source.seam->ShareMemory(bytes.bytes(), 0, false).ok()) return 1;
  source.Listen();
  printf("%d\n", source.port());
  fflush(stdout);
  for (std::uint64_t written = 0;;) {
    source.Poll(0us);
    for (const LinkId link : source.accepted) {
      std::memset(bytes.bytes().data(), static_cast<int>(++written), 64);
      std::memset(bytes.bytes().data() + (32U << 10), static_cast<int>(written), 64);
      source.seam->Place(link, bytes.bytes().first(64U << 10), written % 60 * 65536);
    }
  }
}

int Receiver(std::uint16_t port) {
  RdmaPeer receiver;
  receiver.seam->Dial({receiver.host, port}, Lane::kData);
  while (true) receiver.Poll(10ms);
}

// Has a child, as Redis has when it saves; the child lives as long as its standard input.
int ForkingReceiver(std::uint16_t port) {
  RdmaPeer receiver;
  const LinkId link = receiver.seam->Dial({receiver.host, port}, Lane::kData);
  if (!PollUntil({&receiver}, [&] { return receiver.connected.size() == 1; })) return 1;
  if (fork() == 0) {
    char byte = 0;
    _exit(static_cast<int>(read(STDIN_FILENO, &byte, 1)));
  }
  receiver.seam->Send(link, Bytes("hello"));
  while (true) receiver.Poll(10ms);
}

int OtherVersion(std::uint16_t port) {
  RingOffer offer;
  offer.version = kRingVersion + 1;
  RawLink liar({RdmaHost(), port}, offer);
  if (liar.Connect()) return 1;
  return liar.answer.magic == kOfferMagic && liar.answer.version == kRingVersion ? 0 : 2;
}

int OtherMagic(std::uint16_t port) {
  RingOffer offer;
  offer.magic = 0x1234;
  RawLink liar({RdmaHost(), port}, offer);
  return liar.Connect() ? 1 : 0;
}

int PoorDialler(std::uint16_t port) {
  const std::string host = RdmaHost();
  const rlimit none{4096, 4096};
  if (setrlimit(RLIMIT_MEMLOCK, &none) != 0 || setuid(65534) != 0) return 3;
  RdmaPeer poor;
  const LinkId link = poor.seam->Dial({host, port}, Lane::kData);
  if (!PollUntil({&poor}, [&] { return poor.closed.contains(link); })) return 1;
  return poor.closed[link].message().find("LimitMEMLOCK") != std::string::npos ? 0 : 2;
}

const std::map<std::string, std::function<int(std::uint16_t)>>& Roles() {
  static const std::map<std::string, std::function<int(std::uint16_t)>> roles = [] {
    std::map<std::string, std::function<int(std::uint16_t)>> all{{"stale-writer", StaleWriter},
                                                                 {"receiver", Receiver},
                                                                 {"forking-receiver", ForkingReceiver},
                                                                 {"stale-flusher", StaleFlusher},
                                                                 {"other-version", OtherVersion},
                                                                 {"other-magic", OtherMagic},
                                                                 {"poor", PoorDialler}};
    for (const Lie& lie : Lies()) {
      all[std::string(lie.name)] = [lie](std::uint16_t port) {
        RawLink liar({RdmaHost(), port}, RingOffer{});
        if (!liar.Connect()) return 1;
        liar.Say(Bytes(lie.bytes), lie.imm);
        return pause();
      };
    }
    return all;
  }();
  return roles;
}

// Another process in one of the roles; killed with the object.
class Process {
 public:
  explicit Process(const std::string& role, std::uint16_t port = 0) {
    int out[2], in[2];
    EXPECT_TRUE(pipe(out) == 0 && pipe(in) == 0);
    pid_ = fork();
    if (pid_ == 0) {
      dup2(in[0], STDIN_FILENO);
      dup2(out[1], STDOUT_FILENO);
      for (const int fd : {in[0], in[1], out[0], out[1]}) close(fd);
      execl("/proc/self/exe", "rdma-role", role.c_str(), std::to_string(port).c_str(), nullptr);
      _exit(127);
    }
    close(out[1]);
    close(in[0]);
    output_ = fdopen(out[0], "r");
    input_ = in[1];
  }
  ~Process() {
    Kill();
    fclose(output_);
    close(input_);
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  [[nodiscard]] std::uint16_t ReadPort() const {
    int port = 0;
    EXPECT_EQ(fscanf(output_, "%d", &port), 1);
    return static_cast<std::uint16_t>(port);
  }
  [[nodiscard]] std::uint64_t ReadNumber() const {
    unsigned long long number = 0;
    EXPECT_EQ(fscanf(output_, "%llu", &number), 1);
    return number;
  }
  void Kill() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }
  // Its exit code; `peer` is polled meanwhile.
  int Exit(Recorder& peer) {
    int status = 0;
    const auto deadline = std::chrono::steady_clock::now() + 20s;
    while (waitpid(pid_, &status, WNOHANG) == 0) {
      peer.Poll(10ms);
      if (std::chrono::steady_clock::now() > deadline) return -1;
    }
    pid_ = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

 private:
  pid_t pid_ = 0;
  FILE* output_ = nullptr;
  int input_ = -1;
};

class Rdma : public testing::Test {
 protected:
  void SetUp() override {
    if (RdmaHost().empty()) GTEST_SKIP() << "no RDMA device: scripts/vm --rdma has one";
  }
};

TEST_F(Rdma, FramesOfEverySizeCrossBothWaysInOrder) {
  RdmaLimits limits;
  limits.dialed_ring_bytes = 256U << 10;
  RdmaPeer source(limits), receiver(limits);
  source.max_body = receiver.max_body = 8U << 20;
  source.Listen();
  const LinkPair link = Connect(receiver, source, Lane::kData);
  ASSERT_EQ(source.fabric->TransportOf(link.to), Transport::kRdma);
  std::mt19937_64 random(7);
  std::vector<std::pair<std::string, std::string>> down, up;
  for (int i = 0; i < 3000; ++i) {
    const bool large = random() % 100 == 0;
    const std::size_t size = large ? random() % (2U << 20) : random() % 6000;
    auto& sent = i % 3 == 0 ? up : down;
    sent.emplace_back(RandomText(random, random() % 300), RandomText(random, random() % 5 == 0 ? 0 : size));
    Recorder& from = i % 3 == 0 ? static_cast<Recorder&>(receiver) : source;
    from.seam->Send(i % 3 == 0 ? link.from : link.to, Bytes(sent.back().first), Bytes(sent.back().second));
    if (random() % 4 == 0) source.Poll(0us), receiver.Poll(0us);
  }
  ASSERT_TRUE(PollUntil({&source, &receiver}, [&] { return source.frames + receiver.frames == 3000; }))
      << source.frames << " " << receiver.frames;
  EXPECT_TRUE(receiver.got[link.from] == down);
  EXPECT_TRUE(source.got[link.to] == up);
  EXPECT_TRUE(source.closed.empty() && receiver.closed.empty());
}

// Many more than there are receives, and more bytes than the ring has: credit must come back by itself.
TEST_F(Rdma, ASlowReceiverIsWaitedFor) {
  RdmaPeer source, receiver;
  receiver.max_body = 1U << 20;
  source.Listen();
  const LinkPair link = Connect(receiver, source, Lane::kData);
  const std::string body(10'000, 'b');
  for (int i = 0; i < 2000; ++i) source.seam->Send(link.to, Bytes("h"), Bytes(body));
  for (int i = 0; i < 100; ++i) source.Poll(0us);
  ASSERT_TRUE(PollUntil({&receiver, &source}, [&] { return receiver.frames == 2000; })) << receiver.frames;
}

TEST_F(Rdma, WhatWaitsTooLongClosesTheLink) {
  RdmaLimits limits;
  limits.queued_bytes = 1U << 20;
  RdmaPeer source(limits), receiver(limits);
  source.Listen();
  const LinkPair link = Connect(receiver, source, Lane::kData);
  const std::string body(100'000, 'b');
  for (int i = 0; i < 100; ++i) source.seam->Send(link.to, Bytes("h"), Bytes(body));
  ASSERT_TRUE(PollUntil({&source}, [&] { return source.closed.contains(link.to); }));
  EXPECT_EQ(source.closed[link.to].code(), Code::kUnavailable);
}

TEST_F(Rdma, ABodyLandsAtItsPlaceAndNowhereElse) {
  Memory there(1U << 20), here(1U << 20);
  RdmaPeer source, receiver;
  receiver.max_body = 1U << 20;
  constexpr std::uint64_t kOrigin = 4096;
  ASSERT_TRUE(source.seam->ShareMemory(here.bytes(), kOrigin, false).ok());
  ASSERT_TRUE(receiver.seam->ShareMemory(there.bytes(), kOrigin, false).ok());
  source.Listen();
  const LinkPair link = Connect(receiver, source, Lane::kData);
  std::mt19937_64 random(11);
  std::vector<std::byte> expected(there.bytes().begin(), there.bytes().end());
  const std::byte* body_at = nullptr;
  std::uint64_t told = 0, told_bytes = 0;
  receiver.on_placed = [&](LinkId, std::uint64_t place, std::span<const std::byte> body) {
    body_at = body.data();
    told = place;
    told_bytes = body.size();
  };
  for (int i = 0; i < 200; ++i) {
    const std::size_t size = 1 + random() % 20'000, place = random() % (there.bytes().size() - size) / 64 * 64;
    const std::string text = RandomText(random, size);
    here.Fill(text, place);
    std::memcpy(expected.data() + place, text.data(), size);
    ASSERT_TRUE(source.seam->Place(link.to, here.bytes().subspan(place, size), kOrigin + place));
    ASSERT_TRUE(PollUntil({&source, &receiver}, [&] { return receiver.frames == static_cast<unsigned>(i) + 1; }));
    EXPECT_EQ(body_at, there.bytes().data() + place);
    EXPECT_EQ(told, kOrigin + place);
    EXPECT_EQ(told_bytes, size);
  }
  EXPECT_TRUE(std::equal(expected.begin(), expected.end(), there.bytes().begin()));
  // From memory that the device does not know, to no place, between the units, against the way.
  EXPECT_FALSE(source.seam->Place(link.to, Bytes("elsewhere"), kOrigin));
  EXPECT_FALSE(source.seam->Place(link.to, here.bytes().first(10), kOrigin + there.bytes().size()));
  EXPECT_FALSE(source.seam->Place(link.to, here.bytes().first(10), 0));
  EXPECT_FALSE(source.seam->Place(link.to, here.bytes().first(10), kOrigin + 1));
  EXPECT_FALSE(receiver.seam->Place(link.from, there.bytes().first(10), kOrigin));
  EXPECT_TRUE(std::equal(expected.begin(), expected.end(), there.bytes().begin()));
}

// Batches that never stop must not keep heartbeats from their turn.
TEST_F(Rdma, TheControlLaneHasItsTurnWhileBatchesKeepComing) {
  RdmaPeer source, receiver;
  receiver.max_body = 4096;
  source.Listen();
  const LinkPair data = Connect(receiver, source, Lane::kData);
  const LinkPair control = Connect(receiver, source, Lane::kControl);
  bool heard = false;
  std::uint64_t batches = 0;
  // Every batch is followed by the next one before the receiver has looked again.
  receiver.on_frame = [&](LinkId link, std::span<const std::byte>, std::span<const std::byte>) {
    heard = heard || link == control.from;
    if (link == data.from && !heard) source.seam->Send(data.to, Bytes("batch"), Bytes(std::string(1000, 'b')));
    batches += link == data.from ? 1 : 0;
  };
  for (int i = 0; i < 64; ++i) source.seam->Send(data.to, Bytes("batch"), Bytes(std::string(1000, 'b')));
  source.seam->Send(control.to, Bytes("heartbeat"));
  const auto deadline = std::chrono::steady_clock::now() + 20s;
  while (!heard && std::chrono::steady_clock::now() < deadline) {
    source.Poll(0us);
    receiver.Poll(0us);
  }
  EXPECT_TRUE(heard) << "after " << batches << " batches";
}

// The stale primary: it knows the keys, its writes are under way, and it goes on.  Once Close() has returned, not one
// byte changes any more.
TEST_F(Rdma, AClosedLinkLetsNoWriteThrough) {
  Memory there(4U << 20);
  for (std::uint64_t round = 0; round < 6; ++round) {
    const Process writer("stale-writer");
    RdmaPeer receiver;
    ASSERT_TRUE(receiver.seam->ShareMemory(there.bytes(), 0, false).ok());
    receiver.max_body = 4U << 20;
    const LinkId link = receiver.seam->Dial({receiver.host, writer.ReadPort()}, Lane::kData);
    ASSERT_TRUE(PollUntil({&receiver}, [&] { return receiver.frames > 20 + round * 3; }));
    receiver.seam->Close(link);
    const std::vector<std::byte> closed(there.bytes().begin(), there.bytes().end());
    // Long enough for whatever was under way: the writer notices by an error, and this side by nothing at all.
    for (int i = 0; i < 30; ++i) {
      receiver.Poll(1ms);
      ASSERT_TRUE(std::equal(closed.begin(), closed.end(), there.bytes().begin())) << "round " << round;
    }
  }
}

// Needs a device that flushes natively (rdma-core 45, Linux 6.2) and persistent memory that it takes for that.
class RdmaFlush : public Rdma {
 protected:
  void SetUp() override {
    Rdma::SetUp();
    if (IsSkipped()) return;
    if (there.bytes.empty()) GTEST_SKIP() << "no " << PersistentMemory::kDevice << ": scripts/vm --pmem has one";
    ASSERT_TRUE(receiver.seam->ShareMemory(there.bytes, 0, true).ok());
    receiver.max_body = 1U << 20;
    source.Listen();
    ASSERT_TRUE(source.seam->ShareMemory(here.bytes(), 0, false).ok());
    link = Connect(receiver, source, Lane::kData);
    if (!source.fabric->Flushes(link.to)) GTEST_SKIP() << "no native FLUSH here: it needs rdma-core 45 and Linux 6.2";
  }
  PersistentMemory there;
  Memory here{1U << 20};
  RdmaPeer source, receiver;
  LinkPair link;
};

TEST_F(RdmaFlush, ABodyIsPersistentThereBeforeItsProcessorHasLooked) {
  std::mt19937_64 random(13);
  EXPECT_FALSE(receiver.fabric->Flushes(link.from)) << "bodies go one way";
  for (std::uint64_t i = 1; i <= 100; ++i) {
    const std::size_t size = 1 + random() % 20'000, place = random() % (here.bytes().size() - size) / 64 * 64;
    const std::string text = RandomText(random, size);
    here.Fill(text, place);
    ASSERT_TRUE(source.seam->Place(link.to, here.bytes().subspan(place, size), place));
    // The receiver does not run.
    ASSERT_TRUE(PollUntil({&source}, [&] { return source.flushed[link.to] == i; })) << i;
    EXPECT_EQ(receiver.frames, 0U);
    EXPECT_EQ(std::memcmp(there.bytes.data() + place, text.data(), size), 0) << i;
  }
  ASSERT_TRUE(PollUntil({&receiver, &source}, [&] { return receiver.frames == 100; }));
  // More than there are receives and slots in the send queue: credit and flushes come back together.
  for (int i = 0; i < 2000; ++i) ASSERT_TRUE(source.seam->Place(link.to, here.bytes().first(4096), 0));
  source.seam->Send(link.to, Bytes("a frame behind them"));
  ASSERT_TRUE(PollUntil({&receiver, &source}, [&] { return receiver.frames == 2101; })) << receiver.frames;
  ASSERT_TRUE(PollUntil({&source, &receiver}, [&] { return source.flushed[link.to] == 2100; }));
}

// Memory that is not persistent is offered for placing, but not for flushing.
TEST_F(RdmaFlush, OtherMemoryIsNotFlushed) {
  Memory plain(1U << 20);
  for (const bool claimed : {false, true}) {
    ASSERT_TRUE(receiver.seam->ShareMemory(claimed ? plain.bytes() : there.bytes, 0, claimed).ok());
    const LinkPair other = Connect(receiver, source, Lane::kData);
    EXPECT_FALSE(source.fabric->Flushes(other.to)) << "claimed " << claimed;
    ASSERT_TRUE(source.seam->Place(other.to, here.bytes().first(100), 0));
    ASSERT_TRUE(PollUntil({&source, &receiver}, [&] { return receiver.frames == (claimed ? 2U : 1U); }));
    EXPECT_EQ(source.flushed[other.to], 0U);
  }
}

// What a stale peer was told is persistent was stored before its way in was closed: nothing later is ever counted.
TEST_F(RdmaFlush, AClosedLinkLetsNoFlushThrough) {
  for (std::uint64_t round = 0; round < 6; ++round) {
    std::memset(there.bytes.data(), 0, 4096);
    const Process writer("stale-flusher");
    RdmaPeer node;
    ASSERT_TRUE(node.seam->ShareMemory(there.bytes, 0, true).ok());
    node.max_body = 1U << 20;
    const LinkId stale = node.seam->Dial({node.host, writer.ReadPort()}, Lane::kData);
    ASSERT_TRUE(PollUntil({&node}, [&] { return node.frames > 20 + round * 3; }));
    node.seam->Close(stale);
    std::uint64_t closed = 0;
    std::memcpy(&closed, there.bytes.data(), sizeof closed);
    for (int i = 0; i < 30; ++i) {
      node.Poll(1ms);
      std::uint64_t later = 0;
      std::memcpy(&later, there.bytes.data(), sizeof later);
      ASSERT_EQ(later, closed) << "round " << round;
    }
    const std::uint64_t placed = writer.ReadNumber(), flushed = writer.ReadNumber();
    EXPECT_LE(flushed, closed) << "round " << round;
    EXPECT_GE(placed, flushed);
  }
}

// A process that dies tells nobody; its kernel does, or its silence.
TEST_F(Rdma, AKilledPeerIsNoticed) {
  RdmaPeer source;
  source.Listen();
  Process receiver("receiver", source.port());
  ASSERT_TRUE(PollUntil({&source}, [&] { return source.accepted.size() == 1; }));
  receiver.Kill();
  const auto start = std::chrono::steady_clock::now();
  source.seam->Send(source.accepted[0], Bytes("anybody?"));
  ASSERT_TRUE(PollUntil({&source}, [&] { return source.closed.size() == 1; }));
  const std::chrono::duration<double, std::milli> noticed = std::chrono::steady_clock::now() - start;
  printf("noticed after %.0f ms: %s\n", noticed.count(), source.closed.begin()->second.ToString().c_str());
}

// A child that lives on must not keep the connection of a dead parent alive.
TEST_F(Rdma, AForkedChildHoldsNoConnection) {
  RdmaPeer source;
  source.Listen();
  Process receiver("forking-receiver", source.port());
  ASSERT_TRUE(PollUntil({&source}, [&] { return source.frames == 1; }));
  receiver.Kill();
  EXPECT_TRUE(PollUntil({&source}, [&] { return source.closed.size() == 1; }));
}

TEST_F(Rdma, NobodyThere) {
  RdmaPeer node;
  const LinkId refused = node.seam->Dial({node.host, 9}, Lane::kData);
  const LinkId no_address = node.seam->Dial({"nowhere.example", 9}, Lane::kData);
  const LinkId loopback = node.seam->Dial({"127.0.0.1", 9}, Lane::kData);
  ASSERT_TRUE(PollUntil({&node}, [&] { return node.closed.size() == 3; }));
  for (const LinkId link : {refused, no_address, loopback}) {
    EXPECT_EQ(node.closed[link].code(), Code::kUnavailable) << node.closed[link].ToString();
  }
  EXPECT_NE(node.closed[refused].message().find("nobody listens for RDMA"), std::string::npos);
}

TEST_F(Rdma, AnAddressThatNoDeviceHas) {
  auto required = RdmaFabric::Create(true), wanted = RdmaFabric::Create(false);
  const Status status = (*required)->Listen({"127.0.0.1", 0});
  EXPECT_EQ(status.code(), Code::kUnavailable);
  EXPECT_NE(status.message().find("faha.bind"), std::string::npos);
  EXPECT_TRUE((*wanted)->Listen({"127.0.0.1", 0}).ok());
  EXPECT_EQ((*wanted)->DataTransport(), Transport::kTcp);
  EXPECT_NE((*wanted)->Remark().find("faha.bind"), std::string::npos);
}

TEST_F(Rdma, AnotherVersionIsRefusedAndTold) {
  RdmaPeer node;
  node.Listen();
  EXPECT_EQ(Process("other-version", node.port()).Exit(node), 0);
  EXPECT_EQ(Process("other-magic", node.port()).Exit(node), 0);
  EXPECT_TRUE(node.accepted.empty());
}

TEST_F(Rdma, LiesCloseTheLink) {
  for (const Lie& lie : Lies()) {
    RdmaPeer node;
    node.max_body = lie.max_body;
    node.Listen();
    const Process liar(std::string(lie.name), node.port());
    EXPECT_TRUE(PollUntil({&node}, [&] { return node.closed.size() == 1; })) << lie.name;
    for (const auto& [link, reason] : node.closed) EXPECT_EQ(reason.code(), Code::kProtocol) << lie.name;
    EXPECT_EQ(node.frames, 0U) << lie.name;
  }
}

TEST_F(Rdma, NoLockedMemoryIsSaidWithItsRemedy) {
  RdmaPeer node;
  node.Listen();
  EXPECT_EQ(Process("poor", node.port()).Exit(node), 0);
}

// Asleep: the descriptor says when there is something, and only then.
TEST_F(Rdma, TheDescriptorIsReadableExactlyWhenThereIsSomething) {
  RdmaPeer source, receiver;
  source.Listen();
  const LinkPair link = Connect(receiver, source, Lane::kData);
  const auto readable = [](Recorder& peer, int wait) {
    pollfd set{peer.seam->descriptor(), POLLIN, 0};
    return poll(&set, 1, wait) == 1;
  };
  for (Recorder* peer : {static_cast<Recorder*>(&source), static_cast<Recorder*>(&receiver)}) {
    for (int i = 0; i < 10 && readable(*peer, 0); ++i) peer->Poll(0us);
    EXPECT_FALSE(readable(*peer, 100));
  }
  for (std::uint64_t i = 1; i <= 20; ++i) {
    source.seam->Send(link.to, Bytes("wake up"));
    ASSERT_TRUE(readable(receiver, 10'000)) << i;
    while (receiver.frames < i && readable(receiver, 1000)) receiver.Poll(0us);
    EXPECT_EQ(receiver.frames, i);
  }
}

}  // namespace
}  // namespace faha::fabric_test

int main(int argc, char** argv) {
  if (argc == 3 && std::string_view(argv[0]) == "rdma-role") {
    return faha::fabric_test::Roles().at(argv[1])(static_cast<std::uint16_t>(std::stoi(argv[2])));
  }
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
