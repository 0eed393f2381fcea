// Waiting, accepting, receiving and telling the handler.  Thread: main loop only.
// Invariants: (1) handler_ is set exactly while Poll runs; only then are callbacks made.
//             (2) after a callback nothing is assumed about any link except what Link::alive and Find() say.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "base/check.h"
#include "fabric/displaced.h"
#include "fabric/frame.h"
#include "fabric/precise_wait.h"
#include "fabric/socket.h"
#include "fabric/tcp_fabric.h"
#include "fabric/tcp_fabric_keys.h"
#include "fabric/tls.h"

namespace faha {
namespace {

constexpr std::size_t kMaxEvents = 128;
constexpr int kMaxAcceptsPerPoll = 16;
constexpr std::size_t kMaxKnown = 64;
constexpr int kMaxLastReads = 8;  // of a link that failed

Status Stranger(const std::string& who) {
  return {Code::kDenied,
          fmt::format("{} does not know this node's secret: set the same faha.secret on all nodes", who)};
}

Status Unconvinced(const std::string& who) {
  return {Code::kDenied,
          fmt::format("{} does not accept this node's secret: set the same faha.secret on all nodes", who)};
}

Status SpeaksTls(const std::string& who) {
  return {Code::kDenied,
          fmt::format("{} speaks TLS, which this node does not: set the same faha.tls on all nodes", who)};
}

}  // namespace

void TcpFabric::Poll(std::chrono::microseconds timeout, FabricHandler& handler) {
  FAHA_CHECK(handler_ == nullptr, "Poll is not called from its own callbacks");
  handler_ = &handler;
  delivered_ = false;
  std::array<epoll_event, kMaxEvents> events;
  const int count = Wait(events, timeout);
  ReportFailures();
  for (int i = 0; i < count; ++i) HandleEvent(events[static_cast<std::size_t>(i)]);
  if (delivered_) handler.OnPollEnd();
  handler_ = nullptr;
  graveyard_.clear();
  TrimSometimes();
}

// Returns the number of events; 0 after a signal, and where there is no epoll set.
int TcpFabric::Wait(std::span<epoll_event> events, std::chrono::microseconds timeout) {
  if (epoll_fd_ < 0) return 0;
  const int count = WaitPrecisely(epoll_fd_, events, timeout);
  FAHA_CHECK(count >= 0 || errno == EINTR, "the epoll set can be waited for");
  return std::max(count, 0);
}

void TcpFabric::ReportFailures() {
  if (failed_.empty()) return;
  if (wake_fd_ >= 0) {
    std::uint64_t events = 0;
    FAHA_CHECK(::read(wake_fd_, &events, sizeof events) == sizeof events, "failures wake Poll");
  }
  // A callback may fail further links: those are for the next Poll.
  for (const LinkId id : std::exchange(failed_, {})) {
    Link* link = Find(id);
    if (link == nullptr) continue;
    for (int i = 0; i < kMaxLastReads && link->alive && link->fd >= 0 && link->stage != Link::Stage::kConnecting; ++i) {
      if (!Receive(*link)) break;
    }
    if (link->alive) Drop(*link, *link->failure);
  }
}

void TcpFabric::HandleEvent(const epoll_event& event) {
  if (event.data.u64 == kWakeKey) return;
  if (event.data.u64 == kTimerKey) return DropOverdue();
  if (event.data.u64 == kListenKey) return AcceptAll();
  Link* link = Find(LinkId{event.data.u64});
  if (link == nullptr) return;
  if (link->stage == Link::Stage::kConnecting) return Connected(*link);
  if ((event.events & EPOLLOUT) != 0) Flush(*link);
  // Errors are read like bytes: what arrived before them comes first.
  if ((event.events & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0) (void)Receive(*link);
}

void TcpFabric::AcceptAll() {
  for (int i = 0; i < kMaxAcceptsPerPoll; ++i) {
    Endpoint peer;
    const int fd = AcceptConnection(listen_fd_, peer);
    if (fd >= 0) {
      AcceptedOne(fd, peer);
      // The handler may have closed or moved the listener.
      if (listen_fd_ < 0) return;
      continue;
    }
    if (errno == ECONNABORTED || errno == EINTR) continue;
    if ((errno != EMFILE && errno != ENFILE) || reserve_fd_ < 0) return;
    // The peer would wait, and the listener stay readable, until a descriptor is free: hang up instead.
    ::close(reserve_fd_);
    const int unwanted = AcceptConnection(listen_fd_, peer);
    if (unwanted >= 0) ::close(unwanted);
    reserve_fd_ = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  }
}

// Makes room for one more link from `host`, if need be; false if it cannot be accepted.
bool TcpFabric::MakeRoom(const std::string& host) {
  if (accepted_ < limits_.accepted_links && strangers_ < limits_.strangers) return true;
  Link* out = Displaced(links_, host, [this](const std::string& each) { return Knows(each); });
  if (out == nullptr) return false;
  // The handler knows only of links that are established.  Nobody is told of the others, because floods must not fill a
  // log.
  if (out->stage != Link::Stage::kStanding) {
    Detach(*out);
  } else {
    Drop(*out, {Code::kUnavailable, fmt::format("{} said nothing, and others wait for its place", out->who)});
  }
  return true;
}

void TcpFabric::AcceptedOne(int fd, const Endpoint& peer) {
  if (!MakeRoom(peer.host)) {
    ::close(fd);
    return;
  }
  Link& link = AddLink(fd, peer, peer.host);
  link.accepted = link.stranger = true;
  ++accepted_;
  ++strangers_;
  link.inbox.Distrust(kMaxFrameHeadBytes);
  Watch(link, EPOLLIN);
  Secure(link);
}

void TcpFabric::Connected(Link& link) {
  if (Status status = FinishConnection(link.fd, link.peer); !status.ok()) return Drop(link, std::move(status));
  link.opened = std::chrono::steady_clock::now();
  Secure(link);
}

void TcpFabric::Secure(Link& link) {
  if (!limits_.tls) return StartProof(link);
  link.stage = Link::Stage::kSecuring;
  link.channel = limits_.tls->Open(link.accepted);
  link.inbox.Distrust(kMaxFrameHeadBytes);
  if (!timing_) SetTimer(limits_.handshake);
  if (!link.accepted) Flush(link);
}

// The connection is there; now both sides must prove that they know the secret, if there is one.
void TcpFabric::StartProof(Link& link) {
  if (limits_.secret.empty()) {
    if (!link.accepted) link.inbox.Trust();
    return Stand(link);
  }
  link.stage = Link::Stage::kProving;
  link.handshake.emplace(limits_.secret, link.accepted, link.channel->Binding());
  link.inbox.Distrust(Handshake::kMaxBytes);
  if (!timing_) SetTimer(limits_.handshake);
  if (link.accepted) return SendNow(link, link.handshake->Challenge());
  Watch(link, EPOLLIN);
}

// Until both have shown that they know the secret, neither learns anything of the other.
void TcpFabric::Shake(Link& link, std::span<const std::byte> head) {
  const auto answer = link.handshake->Answer(head);
  if (link.handshake->state() == Handshake::State::kRefused) {
    if (link.handshake->refused_by_peer()) return Drop(link, Unconvinced(link.who));
    SendNow(link, Handshake::Refusal());
    return Drop(link, Stranger(link.who));
  }
  if (!answer.empty()) SendNow(link, answer);
  if (link.handshake->state() != Handshake::State::kDone) return;
  link.handshake.reset();
  CeaseToBeStranger(link);
  Stand(link);
}

void TcpFabric::CeaseToBeStranger(Link& link) {
  link.inbox.Trust();
  if (!std::exchange(link.stranger, false)) return;
  --strangers_;
  Know(link.peer.host);
}

void TcpFabric::Know(const std::string& host) {
  if (known_.size() == kMaxKnown) known_.clear();
  known_.insert(host);
}

void TcpFabric::Stand(Link& link) {
  link.stage = Link::Stage::kStanding;
  delivered_ = true;
  if (link.accepted) return handler_->OnAccept(link.id, link.peer, Lane::kControl);
  Know(link.peer.host);
  // Frames that were sent before the link was established go first.
  Flush(link);
  handler_->OnConnect(link.id);
}

// Returns whether there may be more to receive.  Goes on until the channel holds nothing more to return.
bool TcpFabric::Receive(Link& link) {
  using What = Channel::Received::What;
  do {
    const auto space = link.inbox.Space();
    const Channel::Received got = link.channel->Receive(link.fd, space);
    if (got.what == What::kEnd || got.what == What::kLost || got.what == What::kRefused) {
      Drop(link, EndOf(link, got));
      return false;
    }
    if (got.what == What::kBytes) {
      link.inbox.Filled(got.bytes);
      Deliver(link);
    } else if (link.stage == Link::Stage::kSecuring && link.channel->secured()) {
      StartProof(link);
    } else {
      WatchBoth(link);
      return false;
    }
  } while (link.alive && link.channel->pending());
  if (link.alive) WatchBoth(link);
  return link.alive;
}

// True if this node uses no TLS and the first two bytes from the peer begin a handshake or an alert of TLS.
bool TcpFabric::HearsTls(const Link& link) const {
  const auto bytes = link.inbox.waiting();
  return !limits_.tls && bytes.size() >= 2 && (bytes[0] == std::byte{0x16} || bytes[0] == std::byte{0x15}) &&
         bytes[1] == std::byte{3};
}

// The reason why a link ends, after its channel has said that it does.
Status TcpFabric::EndOf(const Link& link, const Channel::Received& last) const {
  using What = Channel::Received::What;
  const std::string& who = link.who;
  if (HearsTls(link)) return SpeaksTls(who);
  if (last.what == What::kRefused) return {Code::kDenied, fmt::format("{} {}", who, last.why)};
  if (link.stage == Link::Stage::kSecuring) {
    return {Code::kUnavailable,
            fmt::format("{} hung up during TLS's handshake: it stopped, or has not the same faha.tls", who)};
  }
  const std::string what = last.what == What::kLost    ? fmt::format(" is lost: {}", last.why)
                           : link.handshake            ? " was closed by the peer before its handshake was over"
                           : link.inbox.pending() != 0 ? " was closed by the peer within a frame"
                                                       : " was closed by the peer";
  return {Code::kUnavailable, "the connection to " + link.who + what};
}

// The error for a peer that took too long.  Its silence proves nothing about its secret or its TLS, because either end
// may wait for the other's first word.
Status TcpFabric::LatenessOf(const Link& link) const {
  return {Code::kUnavailable, fmt::format("{} did not finish the handshake within {} ms: it hangs, or has not the same "
                                          "faha.secret and faha.tls as this node",
                                          link.who, limits_.handshake.count())};
}

// A peer that uses TLS, where this node does not, is told so in the words of TLS: a fatal alert, handshake_failure.
void TcpFabric::RefuseTls(Link& link) {
  constexpr std::array<unsigned char, 7> kAlert{0x15, 3, 3, 0, 2, 2, 40};
  const iovec piece{const_cast<unsigned char*>(kAlert.data()), kAlert.size()};
  (void)link.channel->Send(link.fd, {&piece, 1});
}

Status TcpFabric::FaultOf(const Link& link, FrameState fault) const {
  const bool too_long = fault == FrameState::kHeadTooLong || fault == FrameState::kBodyTooLong;
  if (too_long && link.handshake) return Stranger(link.who);
  if (HearsTls(link)) return SpeaksTls(link.who);
  return DescribeFault(fault, link.who, link.inbox.version(), link.max_body);
}

void TcpFabric::Deliver(Link& link) {
  Inbox::Frame frame;
  while (link.alive) {
    const FrameState next = link.inbox.Take(link.max_body, frame);
    if (next == FrameState::kIncomplete) return;
    if (next != FrameState::kFrame) {
      if (HearsTls(link)) RefuseTls(link);
      return Drop(link, FaultOf(link, next));
    }
    if (link.handshake) {
      Shake(link, frame.head);
      continue;
    }
    if (!link.accepted && Handshake::IsChallenge(frame.head)) {
      SendNow(link, Handshake::Refusal());
      return Drop(
          link, {Code::kDenied, fmt::format("{} asks for a secret: set the same faha.secret on all nodes", link.who)});
    }
    // Where there is no secret, a peer that speaks the protocol is no stranger any more.
    CeaseToBeStranger(link);
    delivered_ = true;
    handler_->OnFrame(link.id, frame.head, frame.body);
  }
}

// `reason` is passed by value because it must outlive the link.
void TcpFabric::Drop(Link& link, Status reason) {
  const LinkId id = link.id;
  Detach(link);
  delivered_ = true;
  handler_->OnClose(id, reason);
}

void TcpFabric::TrimSometimes() {
  const auto now = std::chrono::steady_clock::now();
  if (now - last_trim_ < limits_.trim_period) return;
  last_trim_ = now;
  for (auto& [id, link] : links_) link->inbox.Trim();
}

void TcpFabric::SetTimer(std::chrono::nanoseconds in) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(in);
  itimerspec when{};
  when.it_value = {seconds.count(), std::max<long>((in - seconds).count(), 1)};
  FAHA_CHECK(::timerfd_settime(timer_fd_, 0, &when, nullptr) == 0, "a timer can be set");
  timing_ = true;
}

// Drops peers whose handshake takes too long.  The time counts from the connection on, however busily a peer talks.
void TcpFabric::DropOverdue() {
  std::uint64_t count = 0;
  (void)!::read(timer_fd_, &count, sizeof count);
  timing_ = false;
  const auto now = std::chrono::steady_clock::now();
  std::vector<LinkId> overdue;
  auto next = std::chrono::steady_clock::time_point::max();
  for (const auto& [id, link] : links_) {
    if (link->stage != Link::Stage::kSecuring && link->stage != Link::Stage::kProving) continue;
    const auto end = link->opened + limits_.handshake;
    if (end <= now) {
      overdue.push_back(link->id);
    } else {
      next = std::min(next, end);
    }
  }
  if (next != std::chrono::steady_clock::time_point::max()) SetTimer(next - now);
  for (const LinkId id : overdue) {
    Link* link = Find(id);
    if (link == nullptr) continue;
    Drop(*link, LatenessOf(*link));
  }
}

}  // namespace faha
