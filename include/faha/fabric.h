// The seam to the network.  Thread: main loop only.
// A link is an ordered, connection-oriented stream of frames between two nodes.  A frame is a short
// head (a message of the replication protocol) and a body (the bytes of a batch, often empty).
// Invariants: (1) frames of one link arrive in order, whole and once, or the link closes.
//             (2) after Close() returns, nothing the peer sent on that link is delivered.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>

#include "faha/status.h"
#include "faha/types.h"

namespace faha {

enum class LinkId : std::uint64_t { kNone = 0 };

// Called from Fabric::Poll only.  A handler may call any Fabric method but Poll.
class FabricHandler {
 public:
  virtual ~FabricHandler() = default;
  virtual void OnAccept(LinkId link, const Endpoint& peer) = 0;
  virtual void OnConnect(LinkId link) = 0;
  // `head` and `body` are valid during the call only.
  virtual void OnFrame(LinkId link, std::span<const std::byte> head, std::span<const std::byte> body) = 0;
  // The link is gone.  Not called for a link this side closed.
  // Reasons: Unavailable - refused, reset or closed by the peer; Protocol, PeerVersion - bad bytes.
  virtual void OnClose(LinkId link, const Status& reason) = 0;
  // Every frame that had arrived has been delivered: the time to drain and acknowledge once.
  virtual void OnPollEnd() = 0;
};

class Fabric {
 public:
  virtual ~Fabric() = default;

  // Starts accepting links.  Errors: Unavailable - the address cannot be bound.
  virtual Status Listen(const Endpoint& at) = 0;

  // Starts a link to `peer`; OnConnect or OnClose tells how it went.
  virtual LinkId Dial(const Endpoint& peer) = 0;

  // Sends a frame; `head` and `body` are copied or sent before the call returns.  A link that is gone
  // swallows frames: OnClose tells.
  virtual void Send(LinkId link, std::span<const std::byte> head, std::span<const std::byte> body) = 0;
  void Send(LinkId link, std::span<const std::byte> head) { Send(link, head, {}); }

  // The largest body (bytes) a peer may send on this link; 0, the start, allows heads only.
  virtual void AllowBody(LinkId link, std::uint32_t max_bytes) = 0;

  // Closes the link at once: what was queued is dropped, and the peer's way in is revoked.
  virtual void Close(LinkId link) = 0;

  // Waits up to `timeout` for something to happen (0: looks only) and delivers it to `handler`.
  virtual void Poll(std::chrono::microseconds timeout, FabricHandler& handler) = 0;

  // A descriptor that is readable when Poll has something to deliver; -1 if there is none.
  [[nodiscard]] virtual int descriptor() const = 0;
};

}  // namespace faha
