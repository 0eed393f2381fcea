// Fabric over TCP: one epoll set, one socket per link, no threads.  Thread: main loop only.
// Invariants: (1) OnClose is called from Poll only, at most once per link, and last.
//             (2) ids are never reused: an event, a frame or a call for a link that is gone does nothing.
//             (3) no call but Poll waits, and one Poll takes at most one read (Inbox::kMaxReadBytes) from each link.
//             (4) a forked child holds none of the descriptors.
//             (5) strangers - accepted peers that are not yet known to share the secret or, if there is none, to speak
//                 the protocol - are few, short-lived and cheap: a newcomer takes the place of one of them
//                 (displaced.h), never of anyone else.
#pragma once

#include <sys/epoll.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "fabric/channel.h"
#include "fabric/fork_guard.h"
#include "fabric/handshake.h"
#include "fabric/inbox.h"
#include "fabric/outbox.h"
#include "faha/fabric.h"
#include "faha/status.h"
#include "faha/types.h"

namespace faha {

class Tls;

struct TcpFabricLimits {
  std::size_t accepted_links = 64;                   // at a time, strangers included
  std::size_t strangers = 16;                        // at a time
  std::size_t queued_bytes = std::size_t{64} << 20;  // waiting for a slow peer; over it the link closes
  std::chrono::milliseconds trim_period{1000};       // how long an idle link may keep a large buffer
  std::chrono::milliseconds handshake{3000};         // how long a peer may take for all of it, from the connection on
  std::string secret = {};                           // empty: no peer has to prove anything
  std::shared_ptr<Tls> tls = {};                     // null: nothing is encrypted
};

class TcpFabric final : public Fabric, private ForkGuard {
 public:
  // If the kernel has no descriptors left, Listen() and every link fail as Unavailable.
  explicit TcpFabric(const TcpFabricLimits& limits = {});
  ~TcpFabric() override;

  // A later call replaces the address; port 0 takes a free one.
  // Errors: Unavailable - the address is not numeric or cannot be bound.
  Status Listen(const Endpoint& at) override;
  // Numeric addresses and "localhost" only.  Waits as long as the kernel does for an answer: minutes.
  using Fabric::Dial;
  LinkId Dial(const Endpoint& peer, Lane lane) override;
  using Fabric::Send;
  // At most kMaxFrameHeadBytes of head and 4 GiB - 1 of body.  Frames sent before OnConnect follow it.
  // When more than `queued_bytes` wait already, the link closes: Unavailable.
  void Send(LinkId link, std::span<const std::byte> head, std::span<const std::byte> body) override;
  Status ShareMemory(std::span<std::byte> memory, std::uint64_t origin, bool persistent) override;
  [[nodiscard]] std::size_t QueuedBytes(LinkId link) const override;
  [[nodiscard]] std::optional<std::uint64_t> BytesOnTheWay(LinkId link) const override;
  void AllowBody(LinkId link, std::uint32_t max_bytes) override;
  void Close(LinkId link) override;
  // Returns early on a signal.
  void Poll(std::chrono::microseconds timeout, FabricHandler& handler) override;
  [[nodiscard]] int descriptor() const override { return epoll_fd_; }

  // Where Listen() bound; 0 when it did not.
  [[nodiscard]] std::uint16_t port() const;
  // Has a link from or to this address been established?
  [[nodiscard]] bool Knows(const std::string& host) const { return known_.contains(host); }
  // Bytes of buffers that the links hold.
  [[nodiscard]] std::size_t BufferBytes() const;

 private:
  struct Link;

  void OnForkedChild() noexcept override { CloseDescriptors(); }
  void CloseDescriptors() noexcept;

  // Waiting and dispatching: tcp_fabric_poll.cc.
  int Wait(std::span<epoll_event> events, std::chrono::microseconds timeout);
  void ReportFailures();
  void HandleEvent(const epoll_event& event);
  void AcceptAll();
  void AcceptedOne(int fd, const Endpoint& peer);
  void Connected(Link& link);
  bool Receive(Link& link);
  [[nodiscard]] Status EndOf(const Link& link, const Channel::Received& last) const;
  [[nodiscard]] Status LatenessOf(const Link& link) const;
  [[nodiscard]] Status FaultOf(const Link& link, FrameState fault) const;
  [[nodiscard]] bool HearsTls(const Link& link) const;
  void RefuseTls(Link& link);
  void Deliver(Link& link);
  void Secure(Link& link);
  void StartProof(Link& link);
  void Shake(Link& link, std::span<const std::byte> head);
  void SendNow(Link& link, std::span<const std::byte> head);
  void Stand(Link& link);
  void CeaseToBeStranger(Link& link);
  void Know(const std::string& host);
  bool MakeRoom(const std::string& host);
  void SetTimer(std::chrono::nanoseconds in);
  void DropOverdue();
  void Drop(Link& link, Status reason);
  void TrimSometimes();

  [[nodiscard]] Status Unusable() const;
  Link* Find(LinkId id);
  Link& AddLink(int fd, const Endpoint& peer, std::string who);
  void Watch(Link& link, std::uint32_t events);
  void WatchBoth(Link& link);
  ssize_t Hand(Link& link, std::span<const iovec> pieces);
  void Flush(Link& link);
  void Fail(Link& link, Status reason);
  void Detach(Link& link);
  void CloseListener();

  const TcpFabricLimits limits_;
  int epoll_fd_ = -1;
  int wake_fd_ = -1;   // readable while failed_ is not empty
  int timer_fd_ = -1;  // readable when a handshake has taken too long
  int listen_fd_ = -1;
  int reserve_fd_ = -1;   // given up to accept, and hang up on, a peer when no descriptor is free
  int unusable_ = EBADF;  // the errno that says why there is no epoll set; a forked child has no epoll set
  std::uint64_t last_id_ = 0;
  std::size_t accepted_ = 0, strangers_ = 0;
  std::unordered_set<std::string> known_;  // addresses of peers that have proved themselves, kMaxKnown at most
  bool timing_ = false;                    // timer_fd_ is set
  std::unordered_map<std::uint64_t, std::unique_ptr<Link>> links_;
  std::vector<LinkId> failed_;                    // the next Poll tells the handler of them
  std::vector<std::unique_ptr<Link>> graveyard_;  // closed within this Poll: the handler may still look at a frame
  FabricHandler* handler_ = nullptr;              // of the Poll under way
  bool delivered_ = false;                        // by the Poll under way
  std::chrono::steady_clock::time_point last_trim_{};
};

// A link is in links_ exactly while its id is alive.
struct TcpFabric::Link {
  LinkId id = LinkId::kNone;
  int fd = -1;
  std::unique_ptr<Channel> channel;
  Endpoint peer;
  // The peer in log lines.  If the peer dialled, its port is left out because it is random: the same complaint should
  // give the same line.
  std::string who;
  bool alive = true;
  bool accepted = false;
  bool stranger = false;  // and accepted
  // Until the link is established (kStanding), nothing is delivered, and what is sent waits.
  enum class Stage { kConnecting, kSecuring, kProving, kStanding } stage = Stage::kConnecting;
  std::optional<Handshake> handshake;  // while it is proving
  std::chrono::steady_clock::time_point opened{};
  std::uint32_t watched = 0;  // the events in the epoll set
  std::uint32_t max_body = 0;
  std::optional<Status> failure;  // set: nothing is sent any more, and the next Poll tells the handler
  Inbox inbox;
  Outbox outbox;
};

}  // namespace faha
