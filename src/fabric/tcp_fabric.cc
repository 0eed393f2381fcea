// Links: opening, sending, closing.  Receiving is in tcp_fabric_poll.cc.  Thread: main loop only.
#include "fabric/tcp_fabric.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/sockios.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "base/check.h"
#include "fabric/frame.h"
#include "fabric/socket.h"
#include "fabric/tcp_fabric_keys.h"

namespace faha {
namespace {

void CloseIfOpen(int& fd) {
  if (fd >= 0) ::close(fd);
  fd = -1;
}

iovec Piece(std::span<const std::byte> bytes) { return {const_cast<std::byte*>(bytes.data()), bytes.size()}; }

bool AddToSet(int epoll_fd, int fd, std::uint32_t events, std::uint64_t key) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = key;
  return ::epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

}  // namespace

TcpFabric::TcpFabric(const TcpFabricLimits& limits)
    : limits_(limits),
      epoll_fd_(::epoll_create1(EPOLL_CLOEXEC)),
      wake_fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      timer_fd_(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)) {
  reserve_fd_ = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (epoll_fd_ < 0 || wake_fd_ < 0 || timer_fd_ < 0 || !AddToSet(epoll_fd_, wake_fd_, EPOLLIN, kWakeKey) ||
      !AddToSet(epoll_fd_, timer_fd_, EPOLLIN, kTimerKey)) {
    unusable_ = errno;
    CloseIfOpen(epoll_fd_);
  }
}

TcpFabric::~TcpFabric() {
  FAHA_CHECK(handler_ == nullptr, "a fabric is not destroyed by its own handler");
  while (!links_.empty()) Close(LinkId{links_.begin()->first});
  CloseDescriptors();
}

// A forked child may only close the descriptors: to take a socket out of the epoll set, or to shut it down, would do so
// for the parent as well.
void TcpFabric::CloseDescriptors() noexcept {
  for (auto& [id, link] : links_) CloseIfOpen(link->fd);
  for (auto& link : graveyard_) CloseIfOpen(link->fd);
  for (int* fd : {&listen_fd_, &reserve_fd_, &wake_fd_, &timer_fd_, &epoll_fd_}) CloseIfOpen(*fd);
  failed_.clear();
}

Status TcpFabric::Unusable() const {
  return {Code::kUnavailable, fmt::format("cannot watch connections: {}", ErrnoText(unusable_))};
}

Status TcpFabric::Listen(const Endpoint& at) {
  if (epoll_fd_ < 0) return Unusable();
  CloseListener();
  auto listener = OpenListener(at);
  if (!listener.ok()) return listener.status();
  listen_fd_ = *listener;
  if (!AddToSet(epoll_fd_, listen_fd_, EPOLLIN, kListenKey)) {
    const int error = errno;
    CloseIfOpen(listen_fd_);
    return {Code::kUnavailable, fmt::format("cannot listen at {}: {}", at.ToString(), ErrnoText(error))};
  }
  return Status::Ok();
}

void TcpFabric::CloseListener() {
  if (listen_fd_ >= 0) (void)::epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, listen_fd_, nullptr);
  CloseIfOpen(listen_fd_);
}

std::uint16_t TcpFabric::port() const { return listen_fd_ < 0 ? std::uint16_t{0} : LocalPort(listen_fd_); }

LinkId TcpFabric::Dial(const Endpoint& peer, Lane) {
  auto fd = epoll_fd_ >= 0 ? OpenConnection(peer) : Result<int>(Unusable());
  Link& link = AddLink(fd.ok() ? *fd : -1, peer, peer.ToString());
  if (fd.ok()) {
    Watch(link, EPOLLOUT);
  } else {
    Fail(link, fd.status());
  }
  return link.id;
}

TcpFabric::Link* TcpFabric::Find(LinkId id) {
  const auto found = links_.find(static_cast<std::uint64_t>(id));
  return found == links_.end() ? nullptr : found->second.get();
}

TcpFabric::Link& TcpFabric::AddLink(int fd, const Endpoint& peer, std::string who) {
  auto link = std::make_unique<Link>();
  link->id = LinkId{++last_id_};
  link->fd = fd;
  link->peer = peer;
  link->who = std::move(who);
  link->channel = std::make_unique<PlainChannel>();
  link->opened = std::chrono::steady_clock::now();
  return *(links_[last_id_] = std::move(link));
}

void TcpFabric::Watch(Link& link, std::uint32_t events) {
  if (link.fd < 0 || link.watched == events) return;
  epoll_event event{};
  event.events = events;
  event.data.u64 = static_cast<std::uint64_t>(link.id);
  const int operation = link.watched == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
  if (::epoll_ctl(epoll_fd_, operation, link.fd, &event) != 0) {
    return Fail(link,
                {Code::kUnavailable, fmt::format("cannot watch the connection to {}: {}", link.who, ErrnoText(errno))});
  }
  link.watched = events;
}

Status TcpFabric::ShareMemory(std::span<std::byte>, std::uint64_t, bool) {
  return {Code::kUnavailable, "TCP carries every byte through the kernel"};
}

void TcpFabric::Send(LinkId id, std::span<const std::byte> head, std::span<const std::byte> body) {
  FAHA_CHECK(head.size() <= kMaxFrameHeadBytes && body.size() <= UINT32_MAX, "a frame fits its header");
  Link* link = Find(id);
  if (link == nullptr || link->failure || link->fd < 0) return;
  const FrameHeader header = MakeFrameHeader(head, static_cast<std::uint32_t>(body.size()));
  const auto fields = std::as_bytes(std::span(&header, 1));
  std::size_t sent = 0;
  if (link->outbox.bytes() > limits_.queued_bytes) {
    return Fail(*link, {Code::kUnavailable,
                        fmt::format("{} does not keep up: {} bytes wait for it", link->who, link->outbox.bytes())});
  }
  // The frame is sent at once if nothing is in front of it: one turn of the event loop later would be one round trip
  // later.
  const bool waits = link->stage != Link::Stage::kStanding;
  if (!waits && link->outbox.bytes() == 0) {
    std::array<iovec, 3> pieces{Piece(fields), Piece(head), Piece(body)};
    const ssize_t taken = Hand(*link, pieces);
    if (taken < 0) return;
    sent = static_cast<std::size_t>(taken);
  }
  for (const auto piece : {fields, head, body}) {
    const std::size_t skipped = std::min(sent, piece.size());
    link->outbox.Append(piece.subspan(skipped));
    sent -= skipped;
  }
  if (!waits) WatchBoth(*link);
}

// Returns what the channel took, or -1: the link has failed.
ssize_t TcpFabric::Hand(Link& link, std::span<const iovec> pieces) {
  const ssize_t taken = link.channel->Send(link.fd, pieces);
  if (taken < 0) {
    Fail(link, {Code::kUnavailable, fmt::format("cannot send to {}: {}", link.who, ErrnoText(errno))});
  }
  return taken;
}

// Watches the link for reading, and for writing while something waits to be written.
void TcpFabric::WatchBoth(Link& link) {
  const bool waits = link.stage == Link::Stage::kStanding && link.outbox.bytes() != 0;
  Watch(link, waits || link.channel->wants_write() ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

std::size_t TcpFabric::QueuedBytes(LinkId id) const {
  const auto found = links_.find(static_cast<std::uint64_t>(id));
  return found == links_.end() ? 0 : found->second->outbox.bytes();
}

// The bytes that are queued here, and the bytes that this kernel keeps until the peer's kernel has acknowledged them.
std::optional<std::uint64_t> TcpFabric::BytesOnTheWay(LinkId id) const {
  const auto found = links_.find(static_cast<std::uint64_t>(id));
  if (found == links_.end()) return std::nullopt;
  int kept = 0;
  if (::ioctl(found->second->fd, SIOCOUTQ, &kept) != 0) return std::nullopt;
  return found->second->outbox.bytes() + static_cast<std::uint64_t>(kept);
}

// Sends a message of the handshake, ahead of all that waits.
void TcpFabric::SendNow(Link& link, std::span<const std::byte> head) {
  const FrameHeader header = MakeFrameHeader(head, 0);
  std::array<iovec, 2> pieces{Piece(std::as_bytes(std::span(&header, 1))), Piece(head)};
  const ssize_t taken = Hand(link, pieces);
  // The first few bytes of a connection always fit.
  if (taken >= 0 && taken != static_cast<ssize_t>(sizeof header + head.size())) {
    Fail(link, {Code::kUnavailable, fmt::format("{} takes no bytes", link.who)});
  }
  WatchBoth(link);
}

void TcpFabric::Flush(Link& link) {
  if (!link.failure) {
    // What is queued waits until the link stands; what the channel holds does not.
    std::array<iovec, Outbox::kMaxPieces> pieces;
    const std::size_t count = link.stage == Link::Stage::kStanding ? link.outbox.Gather(pieces) : 0;
    const ssize_t taken = Hand(link, std::span(pieces).first(count));
    if (taken < 0) return;
    link.outbox.Consume(static_cast<std::size_t>(taken));
  }
  WatchBoth(link);
}

void TcpFabric::AllowBody(LinkId id, std::uint32_t max_bytes) {
  if (Link* link = Find(id); link != nullptr) link->max_body = max_bytes;
}

// The socket stays open until the next Poll, which delivers what the peer managed to say: often, why it hung up.
void TcpFabric::Fail(Link& link, Status reason) {
  if (link.failure) return;
  link.failure = std::move(reason);
  link.outbox = Outbox();
  if (failed_.empty() && wake_fd_ >= 0) {
    const std::uint64_t one = 1;
    FAHA_CHECK(::write(wake_fd_, &one, sizeof one) == sizeof one, "an event can be counted");
  }
  failed_.push_back(link.id);
}

void TcpFabric::Close(LinkId id) {
  if (Link* link = Find(id); link != nullptr) Detach(*link);
}

// Frees the link.  Within Poll this is done only at the end of Poll, because the handler may still look at a frame of
// it.
void TcpFabric::Detach(Link& link) {
  if (link.fd >= 0) {
    // This is done explicitly, in case a process that this node does not know of holds a copy of the descriptor.
    if (link.watched != 0) (void)::epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, link.fd, nullptr);
    (void)::shutdown(link.fd, SHUT_RDWR);
    CloseIfOpen(link.fd);
  }
  link.alive = false;
  if (link.accepted) --accepted_;
  if (link.stranger) --strangers_;
  auto node = links_.extract(static_cast<std::uint64_t>(link.id));
  if (handler_ != nullptr) graveyard_.push_back(std::move(node.mapped()));
}

std::size_t TcpFabric::BufferBytes() const {
  std::size_t bytes = 0;
  for (const auto& [id, link] : links_) {
    bytes += link->inbox.capacity() + link->outbox.bytes() + link->channel->BufferBytes();
  }
  return bytes;
}

}  // namespace faha
