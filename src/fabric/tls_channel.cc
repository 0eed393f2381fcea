#include "fabric/tls_channel.h"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/x509_vfy.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "fabric/socket.h"
#include "fabric/tls_error.h"

namespace faha {

// The BIO that OpenSSL uses as the connection.
struct TlsBio {
  static TlsChannel& Of(BIO* bio) { return *static_cast<TlsChannel*>(BIO_get_data(bio)); }

  static int Write(BIO* bio, const char* bytes, std::size_t size, std::size_t* written) {
    Of(bio).sealed_.Append(std::as_bytes(std::span(bytes, size)));
    *written = size;
    return 1;
  }

  static int Read(BIO* bio, char* bytes, std::size_t size, std::size_t* read) {
    auto& received = Of(bio).received_;
    BIO_clear_retry_flags(bio);
    *read = std::min(size, received.size());
    if (*read == 0) {
      BIO_set_retry_read(bio);
      return 0;
    }
    std::memcpy(bytes, received.data(), *read);
    received = received.subspan(*read);
    return 1;
  }

  static long Control(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

  static BIO* Make(TlsChannel* channel) {
    static BIO_METHOD* const method = [] {
      BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "faha");
      FAHA_CHECK(made != nullptr && BIO_meth_set_write_ex(made, Write) == 1 && BIO_meth_set_read_ex(made, Read) == 1 &&
                     BIO_meth_set_ctrl(made, Control) == 1,
                 "there is memory for a table of three functions");
      return made;
    }();
    BIO* bio = BIO_new(method);
    FAHA_CHECK(bio != nullptr, "there is memory for a TLS connection");
    BIO_set_data(bio, channel);
    BIO_set_init(bio, 1);
    return bio;
  }
};

namespace {

using What = Channel::Received::What;

constexpr std::size_t kRecordBytes = 16384;                     // the most that a record holds
constexpr std::size_t kSealedBytes = std::size_t{128} << 10;    // at most sealed ahead of the kernel, plus a record
constexpr std::size_t kReceivedBytes = std::size_t{256} << 10;  // of one read
constexpr std::string_view kSameCa = "set the same faha.tls, with certificates of one CA, on all nodes";

// The first byte of a record of TLS's handshake, and of its alert.
constexpr std::byte kHandshakeRecord{0x16}, kAlertRecord{0x15};

// The alert with which TLS itself says that this is another protocol.  A peer without TLS knows the alert by its first
// two bytes.
constexpr std::array<unsigned char, 7> kAlert{0x15, 3, 3, 0, 2, 2, 70};

std::span<std::byte> SharedBuffer() {
  static const auto buffer = std::make_unique_for_overwrite<std::byte[]>(kReceivedBytes);
  return {buffer.get(), kReceivedBytes};
}

}  // namespace

TlsChannel::TlsChannel(SSL_CTX* context, bool accepting) : accepting_(accepting), ssl_(SSL_new(context)) {
  FAHA_CHECK(ssl_ != nullptr, "there is memory for a TLS connection");
  BIO* bio = TlsBio::Make(this);
  SSL_set_bio(ssl_.get(), bio, bio);
  SSL_set_quiet_shutdown(ssl_.get(), 1);
  if (accepting) {
    SSL_set_accept_state(ssl_.get());
  } else {
    SSL_set_connect_state(ssl_.get());
    // OpenSSL's first message is put into sealed_ at once: a peer without TLS must hear it, whatever that peer says
    // itself.
    (void)SSL_do_handshake(ssl_.get());
    ERR_clear_error();
  }
}

bool TlsChannel::pending() const { return end_ || !received_.empty() || SSL_pending(ssl_.get()) > 0; }

std::string TlsChannel::Binding() const {
  constexpr std::string_view kLabel = "EXPORTER-faha-secret";
  std::string binding(32, '\0');
  const int made = SSL_export_keying_material(ssl_.get(), reinterpret_cast<unsigned char*>(binding.data()),
                                              binding.size(), kLabel.data(), kLabel.size(), nullptr, 0, 0);
  FAHA_CHECK(made == 1, "a secured channel has keys to derive others from");
  return binding;
}

// Hands what is sealed to the kernel; false with errno.
bool TlsChannel::Flush(int fd) {
  while (sealed_.bytes() != 0) {
    std::array<iovec, Outbox::kMaxPieces> pieces;
    const std::size_t count = sealed_.Gather(pieces);
    const ssize_t sent = SendSome(fd, std::span(pieces).first(count));
    if (sent < 0) return false;
    if (sent == 0) return true;
    sealed_.Consume(static_cast<std::size_t>(sent));
  }
  return true;
}

// Seals the bytes of `pieces` except the first `skip`, as far as kSealedBytes allows.  Small pieces share a record.
bool TlsChannel::Seal(std::span<const iovec> pieces, std::size_t skip, std::size_t& taken) {
  std::array<std::byte, kRecordBytes> record;
  std::size_t filled = 0;
  const auto put = [&](std::span<const std::byte> bytes) {
    return bytes.empty() || SSL_write(ssl_.get(), bytes.data(), static_cast<int>(bytes.size())) > 0;
  };
  for (const iovec& piece : pieces) {
    const std::size_t skipped = std::min(skip, piece.iov_len);
    skip -= skipped;
    auto rest = std::span(static_cast<const std::byte*>(piece.iov_base), piece.iov_len).subspan(skipped);
    while (!rest.empty() && sealed_.bytes() < kSealedBytes) {
      const std::size_t size = std::min(rest.size(), kRecordBytes - filled);
      const bool whole = size == kRecordBytes;
      if (!whole) std::memcpy(record.data() + filled, rest.data(), size);
      filled += size;
      taken += size;
      if (filled == kRecordBytes) {
        if (!put(whole ? rest.first(size) : std::span<const std::byte>(record))) return false;
        filled = 0;
      }
      rest = rest.subspan(size);
    }
  }
  return put(std::span(record).first(filled));
}

ssize_t TlsChannel::Send(int fd, std::span<const iovec> pieces) {
  std::size_t wanted = 0, taken = 0;
  for (const iovec& piece : pieces) wanted += piece.iov_len;
  if (!Flush(fd)) return -1;
  ERR_clear_error();
  while (taken < wanted && sealed_.bytes() < kSealedBytes) {
    if (!Seal(pieces, taken, taken)) {
      ERR_clear_error();
      errno = EPROTO;
      return -1;
    }
    if (!Flush(fd)) return -1;
  }
  return static_cast<ssize_t>(taken);
}

Channel::Received TlsChannel::Receive(int fd, std::span<std::byte> space) {
  if (end_) return *end_;
  ERR_clear_error();
  if (!pending()) {
    if (Received in = TakeIn(fd, space.size()); in.what != What::kNothing) return in;
  }
  Received got = secured_ ? Unseal(fd, space) : Shake(fd);
  // Sends OpenSSL's own answers, such as the answer to a change of keys.
  (void)Flush(fd);
  ERR_clear_error();
  // The next caller uses the shared buffer, so what is left is kept.  It cannot be much, because no more was read than
  // there was space for.
  kept_ = std::vector(received_.begin(), received_.end());
  received_ = kept_;
  return got;
}

// Reads from the socket.
Channel::Received TlsChannel::TakeIn(int fd, std::size_t most) {
  const auto buffer = SharedBuffer();
  const ssize_t got = ReceiveSome(fd, buffer.first(std::min(most, buffer.size())));
  if (got == 0) return {What::kEnd};
  if (got < 0) return errno == EAGAIN ? Received{} : Received{What::kLost, 0, ErrnoText(errno)};
  received_ = buffer.first(static_cast<std::size_t>(got));
  if (std::exchange(heard_, true) || received_[0] == kHandshakeRecord || received_[0] == kAlertRecord) return {};
  received_ = {};
  if (accepting_) {
    const iovec alert{const_cast<unsigned char*>(kAlert.data()), kAlert.size()};
    (void)SendSome(fd, std::span(&alert, 1));
  }
  return {What::kRefused, 0, "speaks without TLS, which this node does not: set the same faha.tls on all nodes"};
}

// Goes on with the handshake as far as possible.  Returns kNothing if it is done or needs more bytes.
Channel::Received TlsChannel::Shake(int fd) {
  const int done = SSL_do_handshake(ssl_.get());
  secured_ = done == 1;
  if (secured_ || SSL_get_error(ssl_.get(), done) == SSL_ERROR_WANT_READ) return {};
  return Failure(fd);
}

Channel::Received TlsChannel::Unseal(int fd, std::span<std::byte> space) {
  std::size_t filled = 0;
  do {
    std::size_t read = 0;
    if (SSL_read_ex(ssl_.get(), space.data() + filled, space.size() - filled, &read) != 1) {
      if (SSL_get_error(ssl_.get(), 0) != SSL_ERROR_WANT_READ) end_ = Failure(fd);
      break;
    }
    filled += read;
  } while (filled < space.size() && pending());
  if (filled != 0) return {What::kBytes, filled};
  return end_.value_or(Received{});
}

// Returns why OpenSSL failed, and sends the alert that OpenSSL has written for the peer.
Channel::Received TlsChannel::Failure(int fd) {
  if (SSL_get_shutdown(ssl_.get()) == SSL_RECEIVED_SHUTDOWN && ERR_peek_error() == 0) return {What::kEnd};
  const bool alerted = ERR_GET_REASON(ERR_peek_error()) >= SSL_AD_REASON_OFFSET;
  const std::string reason = TlsError();
  (void)Flush(fd);
  received_ = {};
  if (const long verdict = SSL_get_verify_result(ssl_.get()); verdict != X509_V_OK) {
    return {What::kRefused, 0,
            fmt::format("has a certificate that this node does not trust ({}): {}",
                        X509_verify_cert_error_string(verdict), kSameCa)};
  }
  if (alerted) {
    return {What::kRefused, 0, fmt::format("refuses this node ({}): {}", reason, kSameCa)};
  }
  if (!secured_) return {What::kRefused, 0, fmt::format("does not get through TLS ({}): {}", reason, kSameCa)};
  return {What::kLost, 0, reason};
}

}  // namespace faha
