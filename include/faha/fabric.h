// The seam to the network.  Thread: main loop only.
// A link is an ordered, connection-oriented stream of frames between two nodes.  A frame is a short
// head (a message of the replication protocol) and a body (the bytes of a batch, often empty).
// Links have lanes: control is always TCP; data is batches and their acknowledgements, over RDMA where the fabric has
// it.
// Invariants: (1) frames of one link arrive in order, whole and once, or the link closes.
//             (2) after Close() returns, nothing the peer sent on that link is delivered.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "faha/status.h"
#include "faha/types.h"

namespace faha {

enum class LinkId : std::uint64_t { kNone = 0 };
enum class Lane : std::uint8_t { kControl, kData };
enum class Transport : std::uint8_t { kTcp = 0, kRdma = 1 };
constexpr std::string_view TransportName(Transport transport) { return transport == Transport::kRdma ? "rdma" : "tcp"; }

// Called from Fabric::Poll only.  A handler may call any Fabric method but Poll.
class FabricHandler {
 public:
  virtual ~FabricHandler() = default;
  // On the control lane the peer has proved what the fabric asks for: the secret, where there is one.  On the data lane
  // it has proved nothing, for RDMA asks nobody: what it says first must do that, and then Trust() is called.
  virtual void OnAccept(LinkId link, const Endpoint& peer, Lane lane) = 0;
  virtual void OnConnect(LinkId link) = 0;
  // `head` and `body` are valid during the call only.
  virtual void OnFrame(LinkId link, std::span<const std::byte> head, std::span<const std::byte> body) = 0;
  // The peer has put `body` to `place` of this node's shared memory; in order with the link's frames.
  virtual void OnPlaced(LinkId link, std::uint64_t place, std::span<const std::byte> body) = 0;
  // The first `count` bodies that this node has placed on the link are in the peer's persistence domain: its device
  // says so, and its processor may not have looked at any of them.  Only of links that Flushes() names.
  virtual void OnFlushed(LinkId link, std::uint64_t count) = 0;
  // The link is gone.  Not called for a link this side closed.
  // Reasons: Unavailable - refused, reset or closed by the peer; Protocol, PeerVersion - bad bytes; Denied - the
  // secret or TLS, and then the link may be one that was never told of: it was refused before it was accepted.
  virtual void OnClose(LinkId link, const Status& reason) = 0;
  // Every frame that had arrived has been delivered: the time to drain and acknowledge once.
  virtual void OnPollEnd() = 0;
};

class Fabric {
 public:
  virtual ~Fabric() = default;

  // Starts accepting links.  Errors: Unavailable - the address cannot be bound.
  virtual Status Listen(const Endpoint& at) = 0;

  // Starts a link to `peer`; OnConnect or OnClose tells how it went.  Who dials a data link is the one that receives
  // the batches.
  virtual LinkId Dial(const Endpoint& peer, Lane lane) = 0;
  LinkId Dial(const Endpoint& peer) { return Dial(peer, Lane::kControl); }

  // The peer of a link that was accepted on the data lane has proved who it is.  Until then the link is a stranger's:
  // it is heard once, for one frame, nothing is sent or placed on it, and it is closed when it takes too long or a
  // newcomer needs its place.
  virtual void Trust(LinkId) {}

  // Sends a frame; `head` and `body` are copied or sent before the call returns.  A link that is gone
  // swallows frames: OnClose tells.
  virtual void Send(LinkId link, std::span<const std::byte> head, std::span<const std::byte> body) = 0;
  void Send(LinkId link, std::span<const std::byte> head) { Send(link, head, {}); }

  // Bytes of frames that this side still keeps because the way to the peer is full.
  [[nodiscard]] virtual std::size_t QueuedBytes(LinkId) const { return 0; }
  // Bytes of frames that the peer's machine has not taken yet, which may be slow or hung; nothing if that is not known.
  [[nodiscard]] virtual std::optional<std::uint64_t> BytesOnTheWay(LinkId) const { return std::nullopt; }

  // Puts `body`, a part of this node's shared memory, to `place` of the peer's, and says so there.  It must not change
  // while the link lives.  False: this link cannot, and nothing was sent.
  virtual bool Place(LinkId, std::span<const std::byte>, std::uint64_t) { return false; }

  // The largest body (bytes) a peer may send or place on this link; 0, the start, allows heads only.
  virtual void AllowBody(LinkId link, std::uint32_t max_bytes) = 0;

  // Closes the link at once: what was queued is dropped, and the peer's way in is revoked.  What it was told to write
  // with works on no other link, whoever's.
  virtual void Close(LinkId link) = 0;

  // Waits up to `timeout` for something to happen (0: looks only) and delivers it to `handler`.
  virtual void Poll(std::chrono::microseconds timeout, FabricHandler& handler) = 0;

  // Memory of which this node places parts at its peers, and in which the peers of data links that are dialled from now
  // on may place theirs.  Places are counted from `origin`, that of its first byte.  It must outlive all links.
  // `persistent`: it is persistent memory, and a peer whose device can flush what it has placed may rely on that.
  // Errors: Unavailable - nothing can be placed; all goes by frames.
  virtual Status ShareMemory(std::span<std::byte> memory, std::uint64_t origin, bool persistent) = 0;

  // What carries the data lane where both ends have it.
  [[nodiscard]] virtual Transport DataTransport() const { return Transport::kTcp; }
  // Why that is TCP although RDMA was wanted, and what to do; empty if there is nothing to say.
  [[nodiscard]] virtual std::string Remark() const { return {}; }
  // How long a Poll that waits looks before it sleeps; 0 sleeps at once.
  virtual void SetSpin(std::chrono::microseconds) {}
  // What carries `link`.
  [[nodiscard]] virtual Transport TransportOf(LinkId) const { return Transport::kTcp; }
  // Is every body that is placed on `link` flushed by the devices alone?
  [[nodiscard]] virtual bool Flushes(LinkId) const { return false; }

  // A descriptor that is readable when Poll has something to deliver; -1 if there is none.
  [[nodiscard]] virtual int descriptor() const = 0;
};

}  // namespace faha
