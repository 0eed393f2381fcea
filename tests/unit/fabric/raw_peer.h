// A peer that says what it likes, byte by byte.  Thread: the test's.
#pragma once

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <memory>
#include <string>
#include <string_view>

#include "fabric/frame.h"
#include "fabric/socket.h"
#include "peer.h"

namespace faha::fabric_test {

struct Connected {
  int fd;
};

class RawPeer {
 public:
  explicit RawPeer(Connected connection) : fd_(connection.fd) {}
  // `from`: the last byte of the loopback address that it dials from.
  explicit RawPeer(std::uint16_t port, std::uint8_t from = 1) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in own{};
    own.sin_family = AF_INET;
    own.sin_addr.s_addr = htonl((127U << 24) + from);
    EXPECT_EQ(::bind(fd_, reinterpret_cast<const sockaddr*>(&own), sizeof own), 0);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(fd_, reinterpret_cast<const sockaddr*>(&to), sizeof to), 0);
  }
  ~RawPeer() { HangUp(); }
  RawPeer(const RawPeer&) = delete;
  RawPeer& operator=(const RawPeer&) = delete;

  void Say(std::string_view text) { EXPECT_EQ(::send(fd_, text.data(), text.size(), MSG_NOSIGNAL), text.size()); }
  // Everything there is to hear, without waiting; `ended` once the node has hung up.
  std::string Hear() {
    std::array<char, 4096> bytes;
    std::string text;
    ssize_t got = 0;
    while ((got = ::recv(fd_, bytes.data(), bytes.size(), MSG_DONTWAIT)) > 0)
      text.append(bytes.data(), static_cast<std::size_t>(got));
    ended = got == 0 || errno != EAGAIN;
    return text;
  }
  bool ended = false;

  // True unless the node has hung up.
  bool TrySay(std::string_view text) { return ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL) > 0; }
  void HangUp() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  // Hangs up with a reset.
  void Reset() {
    const linger now{1, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    HangUp();
  }

 private:
  int fd_;
};

inline std::string FrameText(const FrameHeader& header, std::string_view head = {}, std::string_view body = {}) {
  return Text(std::as_bytes(std::span(&header, 1))).append(head).append(body);
}

inline std::string GoodFrame(std::string_view head, std::string_view body = {}) {
  return FrameText(MakeFrameHeader(Bytes(head), static_cast<std::uint32_t>(body.size())), head, body);
}

// Accepts one connection of a node that dials.
class RawListener {
 public:
  RawListener() {
    auto opened = OpenListener({"127.0.0.1", 0});
    EXPECT_TRUE(opened.ok());
    fd_ = opened.ok() ? *opened : -1;
  }
  ~RawListener() { ::close(fd_); }
  RawListener(const RawListener&) = delete;
  RawListener& operator=(const RawListener&) = delete;

  [[nodiscard]] Endpoint at() const { return {"127.0.0.1", LocalPort(fd_)}; }
  // Without waiting; false if nobody has dialled yet.
  bool Accept() {
    pollfd waiting{fd_, POLLIN, 0};
    if (::poll(&waiting, 1, 0) != 1) return false;
    Endpoint peer;
    peer_ = std::make_unique<RawPeer>(Connected{AcceptConnection(fd_, peer)});
    return true;
  }
  RawPeer* operator->() { return peer_.get(); }

 private:
  int fd_ = -1;
  std::unique_ptr<RawPeer> peer_;
};

}  // namespace faha::fabric_test
