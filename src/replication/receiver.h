// Follows one source and lands its batches: the receiving half of the Persist RPC.  Thread: main loop only.
// Invariants: (1) only batches from the source that was accepted last are landed, and none after Stop().
//             (2) when Stop() returns, every batch that the source can have counted is in the sink's log: see Absorb.
//             (3) an acknowledgement covers only batches that the sink has made durable.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>

#include "faha/clock.h"
#include "faha/fabric.h"
#include "faha/types.h"
#include "replication/wire.h"

namespace faha {

// The node behind the receiver.
class BatchSink {
 public:
  virtual ~BatchSink() = default;
  // The source to dial next; nothing if there is none.
  virtual std::optional<Endpoint> NextSource() = 0;
  // The request with which this node introduces itself to a source.
  virtual wire::FollowRequest Introduce() = 0;
  // The source has accepted this node.  After Ok this node's log ends at `reply.common` and this node follows the
  // source.
  // Errors: any reason why this node does not follow that source.
  virtual Status Accept(const wire::FollowReply& reply) = 0;
  // The source has refused this node, and `reply` gives the reason; reply.primary may name a better source.
  virtual void Refused(const wire::FollowReply& reply) = 0;
  // Errors: Protocol - the batch is not the next one; others - this node has failed and Stop() has been called.
  virtual Status Land(const wire::Batch& batch, std::span<const std::byte> bytes) = 0;
  // The next batch need not follow the last one directly.  A log that ends at or behind `whole_at` lacks nothing; until
  // this node's log does, it does not count as a copy.  The source's log is in the segments of the generations
  // `in_use`, and in no others.  Errors: Protocol - this node is a candidate, which cannot become a primary in this
  // way, or the generations are not in ascending order; others - this node has failed and Stop() has been called, as
  // with Land().
  virtual Status Gap(Lsn whole_at, std::span<const std::uint64_t> in_use) = 0;
  // Every batch up to `lsn` is committed: the next Persist() applies them.
  virtual void Committed(Lsn lsn) = 0;
  // Makes the landed batches durable and returns the acknowledgement to send, whose epoch the receiver fills in.
  // Errors: this node has failed and Stop() has been called, as with Land().
  virtual Result<wire::Ack> Persist() = 0;
  // The source can no longer write to this node.  Where devices flush by themselves, the source may have counted
  // batches that were placed here and that this node has not looked at, so this node now takes the batches that lie
  // behind its log's end.  Afterwards all of the log is durable.
  virtual void Absorb() = 0;
  // The source says that every batch up to `committed` is on a majority, and that no batch behind `committed` had been
  // acknowledged to anybody at this node's time `as_of` (0: the source does not say).  Returns false if the message is
  // of another epoch.
  virtual bool Heard(Epoch epoch, Lsn committed, MonoTime as_of) = 0;
  virtual void HandOverOffered(Epoch epoch) = 0;
  // Does the source reach this node at the address that this node announces?
  virtual void Reached(bool reached) = 0;
  // Would this node take the primary's role if it were offered?
  [[nodiscard]] virtual bool MayLead() const = 0;
  // The link is down; the receiver dials again by itself.
  virtual void Lost(const Status& reason) = 0;
  // The batches come over TCP although both ends have RDMA.
  virtual void FellBack(const Status& reason) = 0;
};

class Receiver {
 public:
  // `need_rdma`: no batch is taken over TCP.
  Receiver(Fabric* fabric, const Clock* clock, BatchSink* sink, std::uint32_t max_batch_bytes, bool need_rdma)
      : fabric_(fabric), clock_(clock), sink_(sink), max_batch_bytes_(max_batch_bytes), need_rdma_(need_rdma) {}

  // Dials one source after the other until one accepts this node.
  void Start();
  // Closes the links and absorbs (see BatchSink::Absorb).  When this returns, the source can no longer write to this
  // node.
  void Stop();
  // Closes the links and does nothing more; for a node that ends.
  void Close();
  // Asks the source, if there is one, to hand its role over.
  void AskForHandOver();
  void SetMaxBatchBytes(std::uint32_t bytes) { max_batch_bytes_ = bytes; }

  [[nodiscard]] bool active() const { return active_; }
  // A source has accepted this node, and the data link to it is open.
  [[nodiscard]] bool streaming() const { return state_ == State::kStreaming; }
  // The source that was dialled last.
  [[nodiscard]] const Endpoint& source() const { return source_; }
  [[nodiscard]] LinkId data() const { return data_; }
  [[nodiscard]] bool Owns(LinkId link) const { return link != LinkId::kNone && (link == control_ || link == data_); }

  void OnConnect(LinkId link);
  void OnFrame(LinkId link, std::span<const std::byte> head, std::span<const std::byte> body);
  void OnPlaced(LinkId link, std::uint64_t place, std::span<const std::byte> body);
  void OnClose(LinkId link, const Status& reason);
  // Persists and acknowledges what has landed.
  void OnPollEnd();
  void OnTick();

 private:
  enum class State { kIdle, kDialing, kAsking, kOpening, kStreaming };
  // A source that says nothing for this long is given up.  A source sends several heartbeats in this time.
  static constexpr MonoTime kPatience{3'000'000};
  // The same for a source that has not answered yet.  It is shorter because there may be other sources to ask.
  static constexpr MonoTime kAnswerPatience{1'000'000};
  static constexpr MonoTime kRetryDelay{50'000};
  // A data link over RDMA that is not established after this time is opened over TCP.  The time is longer than the
  // fabric may wait before it dials, which is RdmaLimits::grant_time.
  static constexpr MonoTime kRdmaPatience{1'500'000};

  void Dial();
  void OpenData(Lane lane);
  // The data link could not be established.  Returns true if it is tried over TCP instead.
  bool FallBack(const Status& reason);
  void Drop(const Status& reason);
  void OnReply(const wire::FollowReply& reply);
  void OnBatch(const wire::Batch& batch, std::span<const std::byte> bytes);
  void OnGap(const wire::Gap& gap, std::span<const std::byte> generations);
  void OnHeartbeat(const wire::Heartbeat& heartbeat);

  Fabric* fabric_;
  const Clock* clock_;
  BatchSink* sink_;
  std::uint32_t max_batch_bytes_;
  bool need_rdma_;
  bool active_ = false;
  State state_ = State::kIdle;
  Endpoint source_;
  LinkId control_ = LinkId::kNone;
  LinkId data_ = LinkId::kNone;
  Lane data_lane_ = Lane::kControl;
  MonoTime opened_at_{0};
  std::uint64_t token_ = 0;
  Epoch epoch_;
  bool landed_ = false;
  MonoTime next_dial_{0};
  MonoTime last_heard_{0};
};

}  // namespace faha
