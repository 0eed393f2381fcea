// The seam to the network.  Thread: main loop only.
// A link is an ordered, connection-oriented stream of frames between two nodes.  A frame has a short head (a message of
// the replication protocol) and a body (the bytes of a batch, often empty).
// A link belongs to a lane.  The control lane always uses TCP.  The data lane carries batches and their
// acknowledgements, over RDMA where the fabric has it.
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
  // On the control lane the peer has already proved what the fabric asks for: that it knows the secret, if there is
  // one.  On the data lane the peer has proved nothing, because RDMA does not ask for a proof: the first message of the
  // peer must prove who it is, and then the handler calls Trust().
  virtual void OnAccept(LinkId link, const Endpoint& peer, Lane lane) = 0;
  virtual void OnConnect(LinkId link) = 0;
  // `head` and `body` are valid during the call only.
  virtual void OnFrame(LinkId link, std::span<const std::byte> head, std::span<const std::byte> body) = 0;
  // The peer has put `body` to `place` of this node's shared memory.  The call comes in order with the link's frames.
  virtual void OnPlaced(LinkId link, std::uint64_t place, std::span<const std::byte> body) = 0;
  // The first `count` bodies that this node has placed on the link are in the peer's persistence domain.  The peer's
  // device says so; the peer's processor may not have looked at any of them.  Called only for links for which Flushes()
  // is true.
  virtual void OnFlushed(LinkId link, std::uint64_t count) = 0;
  // The link is gone.  Not called for a link that this side closed.
  // Reasons: Unavailable - refused, reset or closed by the peer; Protocol, PeerVersion - bad bytes; Denied - the secret
  // or TLS: then the handler may never have heard of the link, because it was refused before it was accepted.
  virtual void OnClose(LinkId link, const Status& reason) = 0;
  // Every frame that had arrived has been delivered: this is the time to drain and to acknowledge, once for all of
  // them.
  virtual void OnPollEnd() = 0;
};

class Fabric {
 public:
  virtual ~Fabric() = default;

  // Starts accepting links.  Errors: Unavailable - the address cannot be bound.
  virtual Status Listen(const Endpoint& at) = 0;

  // Starts a link to `peer`; OnConnect or OnClose tells the result.  A data link is dialled by the node that receives
  // the batches.
  virtual LinkId Dial(const Endpoint& peer, Lane lane) = 0;
  LinkId Dial(const Endpoint& peer) { return Dial(peer, Lane::kControl); }

  // The peer of a link that was accepted on the data lane has proved who it is.  Until this call the fabric does not
  // trust the link: it delivers only one frame of it, nothing is sent or placed on it, and it is closed when it takes
  // too long or when a new link needs its place.
  virtual void Trust(LinkId) {}

  // Sends a frame; `head` and `body` are copied or sent before the call returns.  Frames to a link that is gone are
  // dropped silently: OnClose tells that the link is gone.
  virtual void Send(LinkId link, std::span<const std::byte> head, std::span<const std::byte> body) = 0;
  void Send(LinkId link, std::span<const std::byte> head) { Send(link, head, {}); }

  // Bytes of frames that this side still keeps because the connection to the peer is full.
  [[nodiscard]] virtual std::size_t QueuedBytes(LinkId) const { return 0; }
  // Bytes of frames that the peer's machine, which may be slow or hung, has not taken yet; nothing if that is not
  // known.
  [[nodiscard]] virtual std::optional<std::uint64_t> BytesOnTheWay(LinkId) const { return std::nullopt; }

  // Puts `body`, a part of this node's shared memory, to `place` of the peer's shared memory, and tells the peer so.
  // `body` must not change while the link lives.  False: this link cannot place, and nothing was sent.
  virtual bool Place(LinkId, std::span<const std::byte>, std::uint64_t) { return false; }

  // The largest body (bytes) that a peer may send or place on this link.  It is 0 at the start: then only heads are
  // allowed.
  virtual void AllowBody(LinkId link, std::uint32_t max_bytes) = 0;

  // Closes the link at once: queued frames are dropped, and the peer loses its access to the shared memory.  The key
  // that the peer was given to write with works on no other link, neither its own nor another peer's.
  virtual void Close(LinkId link) = 0;

  // Waits up to `timeout` for something to happen (0: looks only) and delivers it to `handler`.
  virtual void Poll(std::chrono::microseconds timeout, FabricHandler& handler) = 0;

  // Shares memory.  This node places parts of it at its peers, and the peers of data links that are dialled from now on
  // may place their data in it.  A place is counted from `origin`, which is the place of the first byte.  The memory
  // must outlive all links.
  // `persistent`: it is persistent memory, and a peer whose device can flush what it has placed may rely on that.
  // Errors: Unavailable - nothing can be placed; everything goes by frames.
  virtual Status ShareMemory(std::span<std::byte> memory, std::uint64_t origin, bool persistent) = 0;

  // The transport of the data lane to peers that have it, too.
  [[nodiscard]] virtual Transport DataTransport() const { return Transport::kTcp; }
  // Why DataTransport() is TCP although RDMA was wanted, and what to do about it; empty if there is nothing to say.
  [[nodiscard]] virtual std::string Remark() const { return {}; }
  // How long a waiting Poll polls actively before it sleeps; 0: it sleeps at once.
  virtual void SetSpin(std::chrono::microseconds) {}
  // The transport of `link`.
  [[nodiscard]] virtual Transport TransportOf(LinkId) const { return Transport::kTcp; }
  // Are all bodies that are placed on `link` flushed by the devices alone, without the peer's processor?
  [[nodiscard]] virtual bool Flushes(LinkId) const { return false; }

  // A descriptor that is readable when Poll has something to deliver; -1 if there is none.
  [[nodiscard]] virtual int descriptor() const = 0;
};

}  // namespace faha
