#include "fabric/channel.h"

#include <cerrno>

#include "fabric/socket.h"

namespace faha {

ssize_t PlainChannel::Send(int fd, std::span<const iovec> pieces) { return pieces.empty() ? 0 : SendSome(fd, pieces); }

Channel::Received PlainChannel::Receive(int fd, std::span<std::byte> space) {
  using What = Received::What;
  const ssize_t got = ReceiveSome(fd, space);
  if (got > 0) return {What::kBytes, static_cast<std::size_t>(got)};
  if (got == 0) return {What::kEnd};
  if (errno == EAGAIN) return {};
  return {What::kLost, 0, ErrnoText(errno)};
}

}  // namespace faha
