// Fabric over RDMA: the data lane on reliable connections, the control lane on TCP; one descriptor for both.  It has no
// threads.
// Thread: main loop only.
//   rdma_fabric.cc       control: connections, devices, memory, waiting
//   ring_link.{h,cc}     data: frames over rings
//   queue_pair.{h,cc}    verbs
//   grant.{h,cc}         which link's peer may write where
// The connection manager does not ask who dials, so a link that was accepted is a stranger's until Trust().
// Invariants: (1) as TcpFabric's.
//             (2) Close() has revoked the peer's access when it returns: what a stale peer still writes changes
//                 nothing, whatever queue pair it uses.
//             (3) a forked child holds none of the device's descriptors: they would keep the connections alive.
//             (4) only a peer that this node has dialled can write to this node's memory, and only to what that link
//                 was granted.
//                 Links that were accepted share a protection domain in which nothing can be written from outside.
//             (5) strangers are few, short-lived and cheap, as TcpFabric's are.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fabric/fork_guard.h"
#include "fabric/grant.h"
#include "fabric/queue_pair.h"
#include "fabric/ring_link.h"
#include "fabric/spin_budget.h"
#include "fabric/tcp_fabric.h"
#include "faha/fabric.h"

namespace faha {

struct RdmaLimits {
  std::size_t accepted_links = 32;                   // at a time, strangers included
  std::size_t strangers = 8;                         // at a time, as with TCP
  std::chrono::milliseconds stranger_time{3000};     // from the connection request to Trust()
  std::chrono::milliseconds grant_time{500};         // a link waits so long for its grant; then it offers only its ring
  std::uint32_t dialed_ring_bytes = 2U << 20;        // for batches: the side that dials receives them
  std::uint32_t accepted_ring_bytes = 64U << 10;     // for acknowledgements
  std::size_t queued_bytes = std::size_t{64} << 20;  // waiting for a slow peer; over it the link closes
  std::chrono::microseconds spin{50};                // how long a Poll that waits looks before it sleeps
};

class RdmaFabric final : public Fabric, private FabricHandler, private ForkGuard {
 public:
  // `required`: Listen fails where the data lane cannot be RDMA.
  // Errors: Unavailable - no device has an active port.
  static Result<std::unique_ptr<RdmaFabric>> Create(bool required, const RdmaLimits& limits = {},
                                                    const TcpFabricLimits& control = {});
  ~RdmaFabric() override;

  Status Listen(const Endpoint& at) override;
  using Fabric::Dial;
  LinkId Dial(const Endpoint& peer, Lane lane) override;
  void Trust(LinkId link) override;
  using Fabric::Send;
  // On the data lane a frame sent before OnConnect is lost.
  void Send(LinkId link, std::span<const std::byte> head, std::span<const std::byte> body) override;
  bool Place(LinkId link, std::span<const std::byte> body, std::uint64_t place) override;
  // Of links over TCP only: a window is no more than what rings take.
  [[nodiscard]] std::size_t QueuedBytes(LinkId link) const override { return tcp_.QueuedBytes(link); }
  [[nodiscard]] std::optional<std::uint64_t> BytesOnTheWay(LinkId link) const override {
    return tcp_.BytesOnTheWay(link);
  }
  void AllowBody(LinkId link, std::uint32_t max_bytes) override;
  void Close(LinkId link) override;
  void Poll(std::chrono::microseconds timeout, FabricHandler& handler) override;
  Status ShareMemory(std::span<std::byte> memory, std::uint64_t origin, bool persistent) override;
  [[nodiscard]] Transport DataTransport() const override {
    return remark_.empty() ? Transport::kRdma : Transport::kTcp;
  }
  [[nodiscard]] Transport TransportOf(LinkId link) const override;
  [[nodiscard]] bool Flushes(LinkId link) const override;
  [[nodiscard]] std::string Remark() const override { return remark_; }
  void SetSpin(std::chrono::microseconds spin) override { limits_.spin = spin; }
  [[nodiscard]] int descriptor() const override { return epoll_fd_; }
  // Where Listen() bound; 0 when it did not.
  [[nodiscard]] std::uint16_t port() const { return tcp_.port(); }

 private:
  // What belongs to one device.
  struct Device {
    ibv_context* context = nullptr;
    ibv_pd* pd = nullptr;  // of the links that were accepted
    ibv_comp_channel* channel = nullptr;
    SharedMemory source;             // in `pd`: bodies are placed from here
    std::unique_ptr<Grants> grants;  // of the links that were dialled; null if nothing is shared
    bool flushes = false;            // natively
    Status Share(const Shared& shared, int wake_fd);
    ~Device();
  };
  struct Link {
    LinkId id = LinkId::kNone;
    rdma_cm_id* cm = nullptr;
    Endpoint peer;
    std::string who;  // the peer in log lines: without the port if it dialled, as that port is random
    bool dialed = false;
    bool established = false;  // the handler has been told of the link
    bool stranger = false;     // accepted, and has proved nothing; its first frame, a token, is for the handler
    // When the link is closed as a stranger's, or goes on without the grant that it waits for.
    std::optional<std::chrono::steady_clock::time_point> deadline;
    std::uint32_t max_body = 0;
    std::optional<Status> failure;
    Device* device = nullptr;      // of the two below
    std::unique_ptr<Grant> grant;  // of a link that was dialled
    std::unique_ptr<RingLink> ring;
  };
  // A copy of an event of the connection manager, with the start of its private data.
  struct Event;
  struct RingSink;

  RdmaFabric(bool required, const RdmaLimits& limits, const TcpFabricLimits& control)
      : required_(required), limits_(limits), tcp_(control) {}

  // The control lane's events pass through.
  void OnAccept(LinkId link, const Endpoint& peer, Lane lane) override;
  void OnConnect(LinkId link) override;
  void OnFrame(LinkId link, std::span<const std::byte> head, std::span<const std::byte> body) override;
  void OnPlaced(LinkId, std::uint64_t, std::span<const std::byte>) override {}
  void OnFlushed(LinkId, std::uint64_t) override {}
  void OnClose(LinkId link, const Status& reason) override;
  void OnPollEnd() override {}

  void OnForkedChild() noexcept override;

  Status ListenRdma(const Endpoint& at);
  Result<Device*> DeviceOf(ibv_context* context);
  Status OpenRing(Link& link);
  Status TakeGrant(Link& link);
  void Connect(Link& link);
  void ConnectGranted();
  void SetTimer();
  void OnTimer();
  void Free(std::unique_ptr<Link> link);
  bool Look(std::chrono::microseconds timeout);
  bool LookAtRings();
  void Linger(std::chrono::steady_clock::time_point start);
  void ArmRings();
  bool HandleControlEvent();
  void Handle(const Event& event);
  bool MakeRoom(const std::string& host);
  void Accept(const Event& event);
  void Establish(Link& link);
  void Fail(Link& link, Status reason);
  void Wake() const;
  void Drop(Link& link, Status reason);
  void Detach(Link& link);
  [[nodiscard]] Link* Find(LinkId id);
  [[nodiscard]] static RingLink* RingOf(Link* link);

  const bool required_;
  RdmaLimits limits_;
  SpinBudget spin_, linger_;  // for waits that have something to wait for; for batches that others may follow
  TcpFabric tcp_;
  std::string remark_;
  int epoll_fd_ = -1;
  int wake_fd_ = -1;   // readable while failed_ or a ring may not be empty, or a grant has been made
  int timer_fd_ = -1;  // readable when a link's deadline has come
  rdma_event_channel* control_ = nullptr;
  rdma_cm_id* listener_ = nullptr;
  std::vector<std::unique_ptr<Device>> devices_;
  Shared shared_;
  std::map<LinkId, std::unique_ptr<Link>> links_;
  std::vector<std::unique_ptr<Link>> graveyard_;  // closed within this Poll: the handler may still look at a frame
  std::vector<LinkId> failed_;                    // the next Poll tells the handler of them
  std::uint64_t last_id_;
  std::size_t accepted_ = 0, strangers_ = 0;
  FabricHandler* handler_ = nullptr;              // of the Poll under way
  std::chrono::steady_clock::time_point looked_;  // when the descriptors were last looked at
  bool delivered_ = false;                        // since the last OnPollEnd
  bool got_bodies_ = false;                       // by the Poll under way
};

}  // namespace faha
