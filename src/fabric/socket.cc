// Opening and accepting connections.  Thread: main loop only.
#include "fabric/socket.h"

#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <system_error>
#include <thread>
#include <utility>

namespace faha {
namespace {

constexpr int kBacklog = 128;
// How often a port that is taken is tried, and the pause between two attempts, before the start of a node fails.
constexpr int kBindAttempts = 30;
constexpr std::chrono::milliseconds kBindPause{100};

Status Refused(std::string_view what, const Endpoint& at, int error) {
  return {Code::kUnavailable, fmt::format("cannot {} {}: {}", what, at.ToString(), ErrnoText(error))};
}

// TCP_NODELAY makes a batch leave when it is sent, not only when an earlier one has been acknowledged.
void SetNoDelay(int fd) {
  const int on = 1;
  (void)::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

int OpenStream(const SocketAddress& address) {
  return ::socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

Status CloseRefused(int fd, std::string_view what, const Endpoint& at) {
  const int error = errno;
  ::close(fd);
  return Refused(what, at, error);
}

// A listening descriptor; -1 with errno.  Each attempt has a socket of its own: a socket that was bound but could not
// listen cannot be bound again.
int Listen(const SocketAddress& address) {
  const int fd = OpenStream(address);
  if (fd < 0) return -1;
  const int on = 1;
  // A restarted node must not wait for the connections of its former life to time out.
  (void)::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (::bind(fd, address.get(), address.size) == 0 && ::listen(fd, kBacklog) == 0) return fd;
  const int error = errno;
  ::close(fd);
  errno = error;
  return -1;
}

Status Taken(const Endpoint& at) {
  return {Code::kUnavailable,
          fmt::format("cannot listen at {}: another process has had the port for {} ms: end it, or set another port; a "
                      "port within net.ipv4.ip_local_port_range may also be the near end of a connection",
                      at.ToString(), kBindAttempts * kBindPause.count())};
}

// Dialling a free local port from the same range can connect a socket to itself.
bool IsConnectedToItself(int fd) {
  SocketAddress local, peer;
  local.size = peer.size = sizeof(sockaddr_storage);
  if (::getsockname(fd, local.get(), &local.size) != 0 || ::getpeername(fd, peer.get(), &peer.size) != 0) return false;
  return local.ToEndpoint() == peer.ToEndpoint();
}

}  // namespace

std::string ErrnoText(int error) { return std::generic_category().message(error); }

Endpoint SocketAddress::ToEndpoint() const {
  std::array<char, NI_MAXHOST> host{};
  std::array<char, NI_MAXSERV> port{};
  const int failed =
      ::getnameinfo(get(), size, host.data(), host.size(), port.data(), port.size(), NI_NUMERICHOST | NI_NUMERICSERV);
  if (failed != 0) return {"?", 0};
  return {host.data(), static_cast<std::uint16_t>(std::strtoul(port.data(), nullptr, 10))};
}

Result<SocketAddress> ResolveNumeric(const Endpoint& at) {
  const std::string host = at.host == "localhost" ? "127.0.0.1" : at.host;
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  // getaddrinfo takes a null host to mean loopback, but an empty host must not mean that.
  if (host.empty() || ::getaddrinfo(host.c_str(), std::to_string(at.port).c_str(), &hints, &found) != 0) {
    return Status(
        Code::kUnavailable,
        fmt::format("cannot use {}: \"{}\" is no numeric address: use one, such as 192.0.2.1", at.ToString(), at.host));
  }
  SocketAddress address;
  std::memcpy(&address.storage, found->ai_addr, found->ai_addrlen);
  address.size = found->ai_addrlen;
  ::freeaddrinfo(found);
  return address;
}

Result<int> OpenListener(const Endpoint& at) {
  auto address = ResolveNumeric(at);
  if (!address.ok()) return address.status();
  for (int attempt = 1;; ++attempt) {
    const int fd = Listen(*address);
    if (fd >= 0) return fd;
    if (errno != EADDRINUSE) return Refused("listen at", at, errno);
    if (attempt == kBindAttempts) return Taken(at);
    std::this_thread::sleep_for(kBindPause);
  }
}

Result<int> OpenConnection(const Endpoint& to) {
  auto address = ResolveNumeric(to);
  if (!address.ok()) return address.status();
  const int fd = OpenStream(*address);
  if (fd < 0) return Refused("connect to", to, errno);
  SetNoDelay(fd);
  if (::connect(fd, address->get(), address->size) != 0 && errno != EINPROGRESS) {
    return CloseRefused(fd, "connect to", to);
  }
  return fd;
}

Status FinishConnection(int fd, const Endpoint& to) {
  int error = 0;
  socklen_t size = sizeof error;
  if (::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
  if (error == 0 && IsConnectedToItself(fd)) error = ECONNREFUSED;
  return error == 0 ? Status::Ok() : Refused("connect to", to, error);
}

int AcceptConnection(int listener, Endpoint& peer) {
  SocketAddress address;
  address.size = sizeof address.storage;
  const int fd = ::accept4(listener, address.get(), &address.size, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0) return -1;
  SetNoDelay(fd);
  peer = address.ToEndpoint();
  return fd;
}

ssize_t SendSome(int fd, std::span<const iovec> pieces) {
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(pieces.data());  // the kernel only reads it
  message.msg_iovlen = pieces.size();
  ssize_t sent = -1;
  do {
    sent = ::sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  } while (sent < 0 && errno == EINTR);
  if (sent < 0 && errno == EAGAIN) return 0;
  return sent;
}

ssize_t ReceiveSome(int fd, std::span<std::byte> space) {
  ssize_t got = -1;
  do {
    got = ::recv(fd, space.data(), space.size(), MSG_DONTWAIT);
  } while (got < 0 && errno == EINTR);
  return got;
}

std::uint16_t LocalPort(int fd) {
  SocketAddress address;
  address.size = sizeof address.storage;
  return ::getsockname(fd, address.get(), &address.size) == 0 ? address.ToEndpoint().port : std::uint16_t{0};
}

}  // namespace faha
