// The data path of one RDMA link: frames and bodies.  Thread: main loop only.
// The two ends of a link are not alike.  The end that dialled lets its peer write, and nobody else: in a protection
// domain of the link's own it opens a ring and, if it has some, the shared memory.  Messages down to this end are
// WRITE_WITH_IMM.  The end that was dialled lets nobody write, because anybody may dial: messages up to this end are
// SEND_WITH_IMM, into receives of its own.  The upper two bits of the immediate say what a message is; the other bits
// are a value:
//   a chunk     a frame, or a part of a frame that is too large, at the next free place of the ring; value: its bytes
//   a body      down only, at its place in the shared memory; value: that place, in units
//   credit      the counters below (Slot), for the end that sent the chunks and bodies; no value
// If both devices can flush natively and the shared memory is persistent, a native FLUSH of each body follows it.  The
// FLUSH needs no receive: its completion tells that the body is persistent at the peer.
// The sender keeps a mirror of the ring: a chunk is put together in the mirror where it will lie in the ring, and it
// stays in the mirror until the receiver has given its credit back.  Upwards the receiver has no ring, so the mirror is
// all there is.  Credit is cumulative: the bytes and the receives that the receiver has given back.
// Invariants: (1) both ends count the ring by the same rule, so that no position is ever sent.
//             (2) a chunk is posted only if the receiver has a receive and ring space for it, so that the device never
//                 has to retry for lack of them.
//             (3) after Shut() returns the peer changes no byte here.
//             (4) before anything is sent to a peer that dialled, that peer makes this end hold only the receives.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "fabric/grant.h"
#include "fabric/queue_pair.h"
#include "faha/status.h"
#include "faha/types.h"

namespace faha {

inline constexpr std::uint32_t kOfferMagic = 0x52486146;  // "FaHR"
inline constexpr std::uint16_t kRingVersion = 2;
// Features that an offer may name; a peer ignores what it does not know.
inline constexpr std::uint16_t kPersistentFlush = 1;  // what is placed in the shared memory may be flushed natively

// What each side tells the other while they connect.  The start of the layout never changes, whatever the version.
struct RingOffer {
  std::uint32_t magic = kOfferMagic;
  std::uint16_t version = kRingVersion;
  std::uint16_t features = 0;
  std::uint64_t ring = 0;  // where the slot and, behind it, the ring lie; 0 at the end that was dialled
  std::uint32_t ring_rkey = 0;
  std::uint32_t ring_bytes = 0;
  std::uint64_t shared = 0;  // memory in which bodies may be placed
  std::uint64_t shared_bytes = 0;
  std::uint64_t shared_origin = 0;  // the place of its first byte
  std::uint32_t shared_rkey = 0;
  std::uint32_t receives = 0;
};
static_assert(sizeof(RingOffer) == 56, "a connection request carries no more than 56 bytes");

// Anonymous pages that hold nothing else, so that registering them affects no other memory.
class Pages {
 public:
  Pages() = default;
  explicit Pages(std::size_t bytes);
  ~Pages();
  Pages(Pages&& other) noexcept { *this = std::move(other); }
  Pages& operator=(Pages&& other) noexcept;
  [[nodiscard]] std::span<std::byte> bytes() const { return bytes_; }

 private:
  std::span<std::byte> bytes_;
};

class RingLink {
 public:
  static constexpr std::uint32_t kSlotBytes = 64;
  static constexpr std::uint32_t kMinRingBytes = 64U << 10;
  static constexpr std::uint32_t kMaxRingBytes = 64U << 20;
  // The most bytes that one message carries upwards.  The head of a frame must fit into them; acknowledgements fit
  // easily.
  static constexpr std::uint32_t kUpBytes = 1024;

  // The object that is told what has arrived; its methods may call Shut().
  struct Sink {
    virtual ~Sink() = default;
    virtual void OnFrame(std::span<const std::byte> head, std::span<const std::byte> body) = 0;
    virtual void OnPlaced(std::uint64_t place, std::span<const std::byte> body) = 0;
    // The first `count` bodies that were placed from here are persistent there.
    virtual void OnFlushed(std::uint64_t count) = 0;
  };

  struct Terms {
    bool dialed = false;                 // this end has dialled
    std::uint32_t ring_bytes = 0;        // for what the peer sends
    const SharedMemory* into = nullptr;  // the end that dialled: where bodies may be placed; nowhere if empty
    const SharedMemory* from = nullptr;  // the end that was dialled: where bodies come from; not if empty
    bool flush = false;  // bodies placed from here are flushed natively, if the peer offers memory for that
    std::size_t queued_limit = 0;
  };
  // Errors: Unavailable.
  static Result<std::unique_ptr<RingLink>> Create(rdma_cm_id* id, ibv_pd* pd, ibv_comp_channel* channel,
                                                  const Terms& terms);

  [[nodiscard]] RingOffer Offer() const;
  // Takes what the peer offered.  Errors: Protocol, PeerVersion, Unavailable.
  Status Attach(const RingOffer& peer);
  // For the end that was dialled, once it has accepted the connection: see QueuePair::RefuseAccess().
  Status RefuseAccess() { return queues_->RefuseAccess(); }
  [[nodiscard]] bool attached() const { return peer_.has_value(); }
  // Both ends can flush natively.
  [[nodiscard]] bool flushes() const {
    return queues_->flushes() && peer_ && (peer_->features & kPersistentFlush) != 0;
  }

  // Errors: Unavailable - the connection is broken, or more bytes than the limit wait for the peer.
  Status Send(std::span<const std::byte> head, std::span<const std::byte> body);
  // `body` must not change before the link is shut.  Returns false if it cannot be placed there.
  // Errors: Unavailable - the connection is broken.
  Result<bool> Place(std::span<const std::byte> body, std::uint64_t place);
  // Delivers what has arrived, up to some bound; true if there may be more.
  // Errors: Unavailable, Protocol, PeerVersion: nothing more will come.
  Result<bool> Receive(std::uint32_t max_body, Sink& sink, std::string_view who);
  void Arm() { queues_->Arm(); }
  void Shut() { queues_->Shut(); }
  [[nodiscard]] std::size_t queued_bytes() const { return queued_bytes_; }

 private:
  enum class Kind : std::uint32_t { kCredit = 0, kChunk = 1, kBody = 2 };
  // What the receiver has given back since the start.  Written by the peer's device.
  struct Slot {
    std::uint64_t ring_bytes, receives;
  };
  // A position in a ring by the rule of invariant (1).
  struct Cursor {
    std::uint64_t count = 0;  // bytes since the start, skipped ones included
    // Returns where the next chunk, of `bytes` bytes, lies, and moves `count` behind it.
    std::uint64_t Take(std::uint32_t bytes, std::uint32_t ring_bytes);
  };
  struct Queued {
    std::vector<std::byte> chunk;     // or, if that is empty,
    std::span<const std::byte> body;  // in the shared memory, where it stays
    std::uint64_t place = 0;
  };

  RingLink() = default;
  static std::uint32_t Immediate(Kind kind, std::uint32_t value);
  bool PostReceives(std::uint32_t count);
  Status OpenMirror();
  [[nodiscard]] Slot Credited() const;
  Status Post(const QueuePair::Work& work);
  [[nodiscard]] bool Fits(std::uint32_t ring_bytes) const;
  Status PostChunk(std::span<const std::span<const std::byte>> parts);
  Status PostBody(std::span<const std::byte> body, std::uint64_t place);
  Status SendQueued();
  [[nodiscard]] bool OwesCredit() const;
  Status ReturnCredit();
  Status TakeCredit(std::span<const std::byte> message, std::string_view who);
  Status TakeChunk(std::span<const std::byte> chunk, std::uint32_t max_body, Sink& sink, std::string_view who);
  Status TakeBody(std::uint64_t unit, std::uint32_t bytes, std::uint32_t max_body, Sink& sink, std::string_view who);
  Status Take(const QueuePair::Event& event, std::uint32_t max_body, Sink& sink, std::string_view who);
  [[nodiscard]] std::byte* InboundRing() const { return inbound_.bytes().data() + kSlotBytes; }

  std::unique_ptr<QueuePair> queues_;
  ibv_pd* pd_ = nullptr;
  Pages inbound_, outbound_;  // the slot and the ring, or the memory of the receives; the mirror
  MemoryRegion inbound_region_, outbound_region_;
  Terms terms_;
  std::optional<RingOffer> peer_;

  // What this side sends.
  Cursor write_;
  std::uint64_t sent_ = 0;     // chunks and bodies: each takes a receive
  std::uint64_t flushed_ = 0;  // bodies
  Slot credited_{0, 0};        // that the peer has sent upwards
  std::deque<Queued> queue_;
  std::size_t queued_bytes_ = 0;
  // What this side receives.
  Cursor read_;
  std::uint64_t taken_ = 0, unposted_receives_ = 0;
  std::uint64_t posted_receives_ = 0, received_ = 0;  // since the start
  Slot returned_{0, 0};
  std::vector<std::byte> assembly_;
  std::size_t assembly_need_ = 0;
};

}  // namespace faha
