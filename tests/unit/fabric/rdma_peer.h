// Nodes of the RDMA tests, and peers by hand that may do whatever a device can.  Thread: the test's, but see RawLink.
#pragma once

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <poll.h>

#include <cstring>
#include <future>
#include <memory>
#include <string>
#include <utility>

#include "fabric/rdma_fabric.h"
#include "tests/unit/fabric/peer.h"

namespace faha::fabric_test {

// An address of this machine that an RDMA device has; empty if there is none.
inline std::string RdmaHost() {
  static const std::string found = [] {
    ifaddrs* all = nullptr;
    std::string host;
    if (getifaddrs(&all) != 0) return host;
    for (ifaddrs* each = all; each != nullptr && host.empty(); each = each->ifa_next) {
      if (each->ifa_addr == nullptr || each->ifa_addr->sa_family != AF_INET) continue;
      char text[INET_ADDRSTRLEN];
      inet_ntop(AF_INET, &reinterpret_cast<sockaddr_in*>(each->ifa_addr)->sin_addr, text, sizeof text);
      auto fabric = RdmaFabric::Create(true);
      if (fabric.ok() && (*fabric)->Listen({text, 0}).ok()) host = text;
    }
    freeifaddrs(all);
    return host;
  }();
  return found;
}

struct RdmaPeer final : Recorder {
  explicit RdmaPeer(const RdmaLimits& limits = {}) : Recorder(nullptr) {
    auto made = RdmaFabric::Create(true, limits);
    EXPECT_TRUE(made.ok()) << made.status().ToString();
    fabric = std::move(made.value());
    seam = fabric.get();
    host = RdmaHost();
  }
  [[nodiscard]] std::uint16_t port() const override { return fabric->port(); }

  std::unique_ptr<RdmaFabric> fabric;
};

struct Memory {
  explicit Memory(std::size_t size) : pages(size) {}
  [[nodiscard]] std::span<std::byte> bytes() const { return pages.bytes(); }
  void Fill(std::string_view text, std::size_t at) { std::memcpy(bytes().data() + at, text.data(), text.size()); }
  Pages pages;
};

inline sockaddr_in AddressOf(const Endpoint& to) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(to.port);
  inet_pton(AF_INET, to.host.c_str(), &address.sin_addr);
  return address;
}

// One end of a connection by hand: what it offers, says, writes and remembers is the test's.
// Connect() and the constructor that accepts block, so the node must be polled meanwhile, by another thread.
class RawLink {
 public:
  // Dials.
  RawLink(const Endpoint& to, const RingOffer& offer) {
    sockaddr_in address = AddressOf(to);
    EXPECT_EQ(rdma_create_id(nullptr, &id_, nullptr, RDMA_PS_TCP), 0);
    EXPECT_EQ(rdma_resolve_addr(id_, nullptr, reinterpret_cast<sockaddr*>(&address), 2000), 0);
    EXPECT_EQ(rdma_resolve_route(id_, 2000), 0);
    Open(offer);
  }
  // Accepts the next who dials.
  explicit RawLink(rdma_cm_id* listener) {
    EXPECT_EQ(rdma_get_request(listener, &id_), 0);
    Open(RingOffer{});
    Remember();
    rdma_conn_param parameters{};
    parameters.private_data = &offer_;
    parameters.private_data_len = sizeof offer_;
    parameters.rnr_retry_count = 3;
    EXPECT_EQ(rdma_accept(id_, &parameters), 0);
  }
  ~RawLink() {
    queues_->Shut();
    region_ = {};
    rdma_destroy_id(id_);
    ibv_dealloc_pd(pd_);
  }
  RawLink(const RawLink&) = delete;
  RawLink& operator=(const RawLink&) = delete;

  bool Connect() {
    rdma_conn_param parameters{};
    parameters.private_data = &offer_;
    parameters.private_data_len = sizeof offer_;
    parameters.retry_count = 3;
    const bool connected = rdma_connect(id_, &parameters) == 0;
    Remember();
    return connected;
  }

  // A message as RingLink's go upwards: of the kind and with the value that `imm` names.
  void Say(std::span<const std::byte> bytes, std::uint32_t imm) {
    Post({.opcode = IBV_WR_SEND_WITH_IMM, .imm = imm}, bytes);
  }
  // A frame in one message.
  void SayFrame(std::span<const std::byte> head) {
    const FrameHeader header = MakeFrameHeader(head, 0);
    const std::string frame = Text(std::as_bytes(std::span(&header, 1))) + Text(head);
    Say(Bytes(frame), 1U << 30 | static_cast<std::uint32_t>(frame.size()));
  }
  // Does the peer's device take this write?
  bool Writes(std::span<const std::byte> bytes, std::uint64_t at, std::uint32_t rkey) {
    Post({.opcode = IBV_WR_RDMA_WRITE, .remote = at, .rkey = rkey, .signal = true}, bytes);
    return Done();
  }
  // Has the peer said goodbye, or does it in this time?
  bool IsClosed(std::chrono::milliseconds time = 20s) {
    pollfd events{id_->channel->fd, POLLIN, 0};
    return poll(&events, 1, static_cast<int>(time.count())) == 1;
  }
  // Messages that have come since the start.
  std::uint64_t Received() {
    for (const QueuePair::Event& event : queues_->Poll()) Count(event);
    return received_;
  }

  RingOffer answer;  // what the peer offers

 private:
  static constexpr std::size_t kRingBytes = 512U << 10, kOutbox = 600U << 10;

  void Open(const RingOffer& offer) {
    // As the fabric's: what a device loses is sent again soon.
    std::uint8_t timeout = 14;
    (void)rdma_set_option(id_, RDMA_OPTION_ID, RDMA_OPTION_ID_ACK_TIMEOUT, &timeout, sizeof timeout);
    pd_ = ibv_alloc_pd(id_->verbs);
    region_ =
        std::move(MemoryRegion::Register(pd_, ring_.bytes(), IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE).value());
    queues_ = std::move(QueuePair::Create(id_, pd_, nullptr).value());
    EXPECT_TRUE(queues_->PostReceives(64));
    offer_ = offer;
    offer_.ring = reinterpret_cast<std::uint64_t>(ring_.bytes().data());
    offer_.ring_rkey = region_.rkey();
    offer_.ring_bytes = kRingBytes;
    offer_.receives = 64;
  }
  void Remember() {
    if (id_->event == nullptr || id_->event->param.conn.private_data_len < sizeof answer) return;
    std::memcpy(&answer, id_->event->param.conn.private_data, sizeof answer);
  }
  void Post(QueuePair::Work work, std::span<const std::byte> bytes) {
    std::memcpy(ring_.bytes().data() + kOutbox, bytes.data(), bytes.size());
    work.pieces[0] = {ring_.bytes().data() + kOutbox, static_cast<std::uint32_t>(bytes.size()), region_.lkey()};
    EXPECT_TRUE(queues_->Post(std::span(&work, 1)));
  }
  void Count(const QueuePair::Event& event) { received_ += event.kind == QueuePair::Event::Kind::kReceived ? 1 : 0; }
  // The last of what was posted is done; false if it failed.
  bool Done() {
    const auto deadline = std::chrono::steady_clock::now() + 20s;
    while (std::chrono::steady_clock::now() < deadline) {
      for (const QueuePair::Event& event : queues_->Poll()) {
        if (event.kind == QueuePair::Event::Kind::kFailed) return false;
        if (event.kind == QueuePair::Event::Kind::kSent) return true;
        Count(event);
      }
    }
    ADD_FAILURE() << "neither done nor failed";
    return false;
  }

  Pages ring_{1U << 20};
  rdma_cm_id* id_ = nullptr;
  ibv_pd* pd_ = nullptr;
  MemoryRegion region_;
  std::unique_ptr<QueuePair> queues_;
  RingOffer offer_;
  std::uint64_t received_ = 0;
};

// Calls `block` in a thread of its own, and `poll` until it has returned.
template <typename Block, typename Poll>
auto Meanwhile(Block block, Poll poll) {
  auto result = std::async(std::launch::async, block);
  while (result.wait_for(std::chrono::seconds{0}) != std::future_status::ready) poll();
  return result.get();
}

}  // namespace faha::fabric_test
