// Sockets without surprises: non-blocking, closed on exec, no delay, numeric addresses only.  Thread: main loop only.
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <cstddef>
#include <span>
#include <string>

#include "faha/status.h"
#include "faha/types.h"

namespace faha {

// The text of an errno value.
std::string ErrnoText(int error);

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  [[nodiscard]] sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
  [[nodiscard]] Endpoint ToEndpoint() const;
};

// Understands IPv4 and IPv6 addresses and "localhost" (127.0.0.1); never asks a name server, which would block.
// Errors: Unavailable - anything else.
Result<SocketAddress> ResolveNumeric(const Endpoint& at);

// A listening descriptor.  A port that is taken is tried again for three seconds, in which the thread is blocked.
// Errors: Unavailable - the address cannot be bound.
Result<int> OpenListener(const Endpoint& at);

// A descriptor whose connection to `to` is under way: the descriptor becomes writable once it is known how that went.
// Errors: Unavailable - refused at once, or no descriptor is free.
Result<int> OpenConnection(const Endpoint& to);

// Tells whether the connection of `fd` succeeded.  Errors: Unavailable.
Status FinishConnection(int fd, const Endpoint& to);

// Accepts one connection of `listener` and sets `peer` to its address; -1 with errno when there is none.
int AcceptConnection(int listener, Endpoint& peer);

// Hands bytes to the kernel without waiting; returns how many it took, 0 if none, or -1 with errno.
ssize_t SendSome(int fd, std::span<const iovec> pieces);

// Takes bytes from the kernel without waiting; returns how many, 0 at the end, or -1 with errno: EAGAIN if there are
// none.
ssize_t ReceiveSome(int fd, std::span<std::byte> space);

// The local port of `fd`.
std::uint16_t LocalPort(int fd);

}  // namespace faha
