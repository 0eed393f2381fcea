// A link's bytes in TLS records.  Thread: main loop only.
// Invariants: (1) OpenSSL never touches the socket: it reads from received_ and writes to sealed_.
//             (2) what Send has taken is sealed, so that nothing has to be offered to OpenSSL twice.
//             (3) no farewell is sent: a frame says itself where it ends, and a stream that is cut is a lost link.
#pragma once

#include <openssl/ssl.h>

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "fabric/channel.h"
#include "fabric/outbox.h"

namespace faha {

class TlsChannel final : public Channel {
 public:
  TlsChannel(SSL_CTX* context, bool accepting);

  ssize_t Send(int fd, std::span<const iovec> pieces) override;
  [[nodiscard]] bool wants_write() const override { return sealed_.bytes() != 0; }
  Received Receive(int fd, std::span<std::byte> space) override;
  [[nodiscard]] bool pending() const override;
  [[nodiscard]] bool secured() const override { return secured_; }
  [[nodiscard]] std::string Binding() const override;
  [[nodiscard]] std::size_t BufferBytes() const override { return sealed_.bytes() + kept_.capacity(); }

 private:
  struct Free {
    void operator()(SSL* ssl) const { SSL_free(ssl); }
  };
  friend struct TlsBio;

  Received TakeIn(int fd, std::size_t most);
  Received Shake(int fd);
  Received Unseal(int fd, std::span<std::byte> space);
  Received Failure(int fd);
  bool Seal(std::span<const iovec> pieces, std::size_t skip, std::size_t& taken);
  bool Flush(int fd);

  bool accepting_;
  bool secured_ = false;
  bool heard_ = false;                   // the first byte has come
  std::span<const std::byte> received_;  // not yet read by OpenSSL
  std::vector<std::byte> kept_;          // the bytes of received_ between two calls
  std::optional<Received> end_;          // what Receive() returns next
  Outbox sealed_;                        // not yet taken by the kernel
  std::unique_ptr<SSL, Free> ssl_;
};

}  // namespace faha
