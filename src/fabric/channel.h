// What the bytes of a link go through: the socket alone, or TLS.  Thread: main loop only.
// Invariants: (1) no call waits, and none raises SIGPIPE.
//             (2) the descriptor belongs to the link: a channel neither keeps nor closes it, and so a channel sends
//                 nothing in a forked child, which has closed the descriptor.
//             (3) one Receive() reads from the socket once at most, and not at all while pending() is true.
#pragma once

#include <sys/types.h>
#include <sys/uio.h>

#include <cstddef>
#include <span>
#include <string>

namespace faha {

class Channel {
 public:
  struct Received {
    enum class What {
      kNothing,
      kBytes,
      kEnd,      // the peer has hung up
      kLost,     // `why`: the reason alone
      kRefused,  // by either side; `why`: a line that begins with a verb, and says what to do
    };
    What what = What::kNothing;
    std::size_t bytes = 0;
    std::string why = {};
  };

  virtual ~Channel() = default;

  // Returns how many bytes of `pieces` the channel has taken, or -1 with errno.  The taken bytes have been sent, or a
  // later call sends them; wants_write() asks for that call.
  virtual ssize_t Send(int fd, std::span<const iovec> pieces) = 0;
  [[nodiscard]] virtual bool wants_write() const { return false; }

  // Fills `space`, which is not empty, with the bytes that have arrived.
  virtual Received Receive(int fd, std::span<std::byte> space) = 0;
  // True if Receive() has more to return, although the descriptor need not be readable.
  [[nodiscard]] virtual bool pending() const { return false; }

  // Whether frames may pass.  Until then Receive() must be called.  The side that dials must first call Send() without
  // any bytes, so that the channel can send its own first message.
  [[nodiscard]] virtual bool secured() const { return true; }
  // Bytes that both ends of this channel know, and that no other channel has; empty for a plain one.
  [[nodiscard]] virtual std::string Binding() const { return {}; }
  [[nodiscard]] virtual std::size_t BufferBytes() const { return 0; }
};

class PlainChannel final : public Channel {
 public:
  ssize_t Send(int fd, std::span<const iovec> pieces) override;
  Received Receive(int fd, std::span<std::byte> space) override;
};

}  // namespace faha
