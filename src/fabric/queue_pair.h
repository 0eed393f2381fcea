// A reliable connection's queues: post and poll, and nothing that waits.  Thread: main loop only.
// Most sends are unsignalled: one in kSignalEvery tells that all before it have left the send queue.
// Invariant: when Shut() has returned, nothing that the peer posts changes a byte of this node's memory.
#pragma once

#include <infiniband/verbs.h>
#include <rdma/rdma_cma.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "faha/status.h"

namespace faha {

// Memory that is registered with the device; it is deregistered when the object is destroyed.
class MemoryRegion {
 public:
  MemoryRegion() = default;
  // `access`: flags of ibv_access_flags, never relaxed ordering.  Errors: Unavailable - the message says what to do
  // about it.
  static Result<MemoryRegion> Register(ibv_pd* pd, std::span<std::byte> memory, int access);
  [[nodiscard]] std::uint32_t lkey() const { return mr_->lkey; }
  [[nodiscard]] std::uint32_t rkey() const { return mr_->rkey; }
  [[nodiscard]] explicit operator bool() const { return mr_ != nullptr; }
  [[nodiscard]] std::span<std::byte> memory() const {
    return mr_ == nullptr ? std::span<std::byte>() : std::span(static_cast<std::byte*>(mr_->addr), mr_->length);
  }
  [[nodiscard]] bool Holds(std::span<const std::byte> bytes) const {
    return mr_ != nullptr && bytes.data() >= memory().data() &&
           bytes.data() + bytes.size() <= memory().data() + memory().size();
  }

 private:
  struct Deregister {
    void operator()(ibv_mr* mr) const { ibv_dereg_mr(mr); }
  };
  std::unique_ptr<ibv_mr, Deregister> mr_;
};

class QueuePair {
 public:
  static constexpr std::uint32_t kSendDepth = 256;
  static constexpr std::uint32_t kReceiveDepth = 256;
  static constexpr std::uint32_t kSignalEvery = 32;
  static constexpr std::uint32_t kInlineBytes = 192;
  static constexpr std::uint32_t kNoImmediate = UINT32_MAX;

  struct Piece {
    const void* at = nullptr;
    std::uint32_t bytes = 0;
    std::uint32_t lkey = 0;
  };
  struct Work {
    ibv_wr_opcode opcode = IBV_WR_RDMA_WRITE;
    std::array<Piece, 2> pieces{};
    std::uint64_t remote = 0;
    std::uint32_t rkey = 0;
    std::uint32_t imm = 0;
    bool signal = false;  // its own completion is wanted
  };
  struct Event {
    enum class Kind { kReceived, kSent, kFlushed, kFailed } kind = Kind::kFailed;
    std::uint32_t imm = 0, bytes = 0;       // kReceived; kNoImmediate where the message has none
    bool landed = false;                    // kReceived: the bytes are in the receive, not where the peer wrote them
    ibv_wc_status status = IBV_WC_SUCCESS;  // kFailed
  };

  // The queues of `id`, whose device owns `pd` and `channel`.  `flush`: PostFlushed() is wanted; flushes() tells
  // whether the device can do it.
  // Errors: Unavailable.
  static Result<std::unique_ptr<QueuePair>> Create(rdma_cm_id* id, ibv_pd* pd, ibv_comp_channel* channel,
                                                   bool flush = false);
  ~QueuePair() { Shut(); }
  QueuePair(const QueuePair&) = delete;
  QueuePair& operator=(const QueuePair&) = delete;

  // Revokes the peer's access and drops what was posted.
  void Shut();
  [[nodiscard]] bool open() const { return cq_ != nullptr; }

  // How many sends may be posted now.
  [[nodiscard]] std::uint32_t room() const { return kSendDepth - static_cast<std::uint32_t>(posted_ - left_); }
  // Posts `works` in one call; they are done in order.  At most room() of them.  False: the connection is broken.
  bool Post(std::span<const Work> works);
  [[nodiscard]] bool flushes() const { return flushes_; }
  // Posts `work`, a WRITE_WITH_IMM of one piece, and a flush of what it writes to persistent memory: two of room(). Its
  // completion is kFlushed.  False: the connection is broken.
  bool PostFlushed(const Work& work);
  // Posts `count` receives that hold no bytes: what arrives is written by the peer.
  bool PostReceives(std::uint32_t count);
  // Posts one receive for a two-sided send.
  bool PostReceive(const Piece& into);
  // From now on the device refuses every read and write of the peer here, even with a valid key.
  // Errors: Unavailable - the connection is not established.
  Status RefuseAccess();
  // What has completed; never waits.
  std::span<const Event> Poll();
  // The next completion makes the channel readable, once.
  void Arm();
  // Takes the events that have made `channel` readable; never waits.
  static void DrainChannel(ibv_comp_channel* channel);
  // The largest write that needs no registered memory (bytes).
  [[nodiscard]] std::uint32_t inline_bytes() const { return inline_bytes_; }

 private:
  QueuePair() = default;

  rdma_cm_id* id_ = nullptr;
  ibv_cq* cq_ = nullptr;
  bool armed_ = false;
  bool flushes_ = false;
  std::uint32_t inline_bytes_ = 0;
  std::uint64_t posted_ = 0, left_ = 0;  // sends since the start, and those known to have left the queue
  std::uint64_t last_signal_ = 0;
  std::array<Event, 32> events_{};
};

}  // namespace faha
