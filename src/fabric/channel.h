// What the bytes of a link go through: the socket alone, or TLS.  Thread: main loop only.
// Invariants: (1) no call waits, and none raises SIGPIPE.
//             (2) the descriptor is the link's: a channel neither keeps nor closes it, and so says nothing where
//                 a forked child has let go of it.
//             (3) a Receive reads from the socket once at most, and not at all while there is something pending.
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

  // Returns how many bytes of `pieces` it has taken, or -1 with errno.  What it has taken has left, or will with a
  // later call, which wants_write() asks for.
  virtual ssize_t Send(int fd, std::span<const iovec> pieces) = 0;
  [[nodiscard]] virtual bool wants_write() const { return false; }

  // Fills `space`, which is not empty, with what there is.
  virtual Received Receive(int fd, std::span<std::byte> space) = 0;
  // Receive() has more to tell, of which the descriptor does not.
  [[nodiscard]] virtual bool pending() const { return false; }

  // Whether frames may pass.  Until then Receive() is to be called; who dials sends nothing first, for the channel's
  // sake.
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
