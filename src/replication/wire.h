// The messages of the replication protocol (the frame around them carries the version).  Thread: any.
// A later release may send more fields at the end of a message, or of a member in it, than a reader knows, and the
// reader skips them.  The cluster's feature level says whether all members know them.  A release that adds a field must
// also read messages without that field, because earlier releases send those: ReadSizedMember does so, and io.Later()
// is for this purpose.
//
// A receiver dials its source twice ("->" marks the messages to the node that was dialled):
//   control link                         FollowRequest ->            <- FollowReply
//                                        HeartbeatAck, HandOver ->   <- Heartbeat, HandOver
//   data link (a token from the reply)   DataHello, Ack ->           <- Committed, Gap, Batch (body: the batch)
// A candidate dials every member and asks:
//                                        StateRequest ->             <- StateReply
//                                        PromiseRequest ->           <- PromiseReply
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/limits.h"
#include "base/log_key.h"
#include "faha/status.h"
#include "faha/types.h"

namespace faha::wire {

enum class Type : std::uint8_t {
  kStateRequest = 1,
  kStateReply,
  kPromiseRequest,
  kPromiseReply,
  kFollowRequest,
  kFollowReply,
  kDataHello,
  kBatch,
  kAck,
  kHeartbeat,
  kHeartbeatAck,
  kHandOver,
  kGap,
  kCommitted,
};

inline constexpr std::size_t kMaxTail = 512;
inline constexpr std::size_t kMaxText = 512;

// Who asks says what it knows itself, because the two may not be able to dial each other both ways.
struct StateRequest {
  static constexpr Type kType = Type::kStateRequest;
  ClusterId cluster;
  Epoch promised{};
  Member primary{};  // that the node follows, or is; none: it knows of none
  template <typename Io>
  void Fields(Io& io) {
    io(cluster);
    io.Later(promised);
    io.Later(primary);
  }
};

struct StateReply {
  static constexpr Type kType = Type::kStateReply;
  NodeId from;
  bool serving = false;
  bool lease_may_run = false;
  Epoch promised;
  LogEnd end;
  Member primary;
  Members members;
  bool whole = true;      // false while the log is damaged or being installed: it does not count as a copy
  NodeId lease_holder{};  // whose lease may run; none: it is not known
  template <typename Io>
  void Fields(Io& io) {
    io(from, serving, lease_may_run, promised, end, primary, members, whole, lease_holder);
  }
};

struct PromiseRequest {
  static constexpr Type kType = Type::kPromiseRequest;
  ClusterId cluster;
  Epoch epoch;
  Member candidate;
  Epoch interrupts{};  // the primary of this epoch gives its lease up for the candidate; 0: none does
  template <typename Io>
  void Fields(Io& io) {
    io(cluster, epoch, candidate, interrupts);
  }
};

struct PromiseReply {
  static constexpr Type kType = Type::kPromiseReply;
  NodeId from;
  bool granted = false;
  std::uint8_t refusal = 0;
  Epoch promised;
  LogEnd end;
  Members members;
  bool whole = true;  // as in a StateReply
  template <typename Io>
  void Fields(Io& io) {
    io(from, granted, refusal, promised, end, members, whole);
  }
};

// Identifies a batch by its LSN and its checksum: two logs that agree on one batch agree on all batches before it.
struct TailBatch {
  Lsn lsn;
  std::uint64_t checksum = 0;
};

struct FollowRequest {
  static constexpr Type kType = Type::kFollowRequest;
  ClusterId cluster;
  Member self;
  bool empty = false;  // the node holds nothing that anybody would miss: another cluster may adopt it
  bool fetch = false;  // the node is a candidate that takes over what the source holds and then leaves
  Epoch promised;
  bool installing = false;  // the node holds no log that counts: it must be given the whole log
  std::uint8_t domain = 0;
  std::vector<TailBatch> tail;  // the newest batches, newest first, down to one known as committed
  FeatureLevel offers = kLowestLevel;
  Forks forks{};     // of the history that the node's log tells, as far as the node knows them
  LogEnd written{};  // the newest batch that holds what a client has written, or may have held it; 0: none does
  Epoch oldest{};    // of the last batch of `tail`
  template <typename Io>
  void Fields(Io& io) {
    io(cluster, self, empty, fetch, promised, installing, domain, tail, offers);
    io.Later(forks);
    io.Later(written);
    io.Later(oldest);
  }
};

struct FollowReply {
  static constexpr Type kType = Type::kFollowReply;
  std::uint8_t code = 0;  // a Code; kOk: accepted
  std::string text;
  Member primary;  // the source itself, or the node to ask instead
  ClusterId cluster;
  std::uint64_t segment_bytes = 0;
  std::uint32_t segment_count = 0;  // the number of segments that the follower's pool must have
  std::uint32_t granule = 0;
  Epoch epoch;
  Lsn common;            // the last batch both logs hold
  bool install = false;  // the next batches were cleaned away: forget everything and take all that the source holds
  std::uint64_t token = 0;
  std::uint8_t transport = 0;  // a Transport: what the source can ship over
  LogKey log_key;              // the key of the cluster's batches; none if the follower is refused
  template <typename Io>
  void Fields(Io& io) {
    io(code, text, primary, cluster, segment_bytes, segment_count, granule, epoch, common, install, token, transport,
       log_key);
  }
};

struct DataHello {
  static constexpr Type kType = Type::kDataHello;
  std::uint64_t token = 0;
  template <typename Io>
  void Fields(Io& io) {
    io(token);
  }
};

struct Batch {
  static constexpr Type kType = Type::kBatch;
  Epoch epoch;
  LogAddress at;
  Lsn committed;
  template <typename Io>
  void Fields(Io& io) {
    io(epoch, at, committed);
  }
};

struct Ack {
  static constexpr Type kType = Type::kAck;
  Epoch epoch;
  Lsn durable;    // cumulative
  Lsn applied{};  // the receiver's index names nothing that committed batches up to here have freed
  template <typename Io>
  void Fields(Io& io) {
    io(epoch, durable, applied);
  }
};

// Every batch up to `lsn` is committed.  The receiver applies them and says so in an Ack; the source waits for that
// Ack.
struct Committed {
  static constexpr Type kType = Type::kCommitted;
  Epoch epoch;
  Lsn lsn;
  template <typename Io>
  void Fields(Io& io) {
    io(epoch, lsn);
  }
};

// The batch that follows need not be the next one: the batches between were cleaned away.  The frame's body holds the
// generations, 8 bytes each and in ascending order, of all segments that the source's log is in now.
struct Gap {
  static constexpr Type kType = Type::kGap;
  Epoch epoch;
  Lsn whole_at;  // a log that is held up to there lacks nothing; until then it does not count as a copy
  template <typename Io>
  void Fields(Io& io) {
    io(epoch, whole_at);
  }
};

struct Heartbeat {
  static constexpr Type kType = Type::kHeartbeat;
  Epoch epoch;
  Lsn committed;
  std::uint64_t sent_at = 0;  // microseconds of the sender's clock
  // The receiver's time in its newest answer, if the sender holds its lease: everything that had been acknowledged to
  // anybody by that time is committed.  0: the sender does not know, or there may be another primary.
  std::uint64_t echo = 0;
  // The sender reaches the receiver at the address that the receiver announces.  Release 0.2.0 does not send this
  // field.
  bool reached = true;
  template <typename Io>
  void Fields(Io& io) {
    io(epoch, committed, sent_at, echo);
    io.Later(reached);
  }
};

struct HeartbeatAck {
  static constexpr Type kType = Type::kHeartbeatAck;
  Epoch epoch;
  std::uint64_t sent_at = 0;  // as received
  std::uint64_t at = 0;       // microseconds of the receiver's clock
  bool may_lead = true;       // the receiver would take the primary's role if it were offered
  template <typename Io>
  void Fields(Io& io) {
    io(epoch, sent_at, at, may_lead);
  }
};

// Sent by the source: the receiver may campaign now, and will be given promises.  Sent by the receiver: it asks the
// source for this.
struct HandOver {
  static constexpr Type kType = Type::kHandOver;
  Epoch epoch;
  template <typename Io>
  void Fields(Io& io) {
    io(epoch);
  }
};

// The type of an encoded message; nothing for one that this version does not know.
std::optional<Type> TypeOf(std::span<const std::byte> head);

template <typename Message>
std::vector<std::byte> Encode(const Message& message);

// Returns nothing if `head` lacks a field.  Bytes behind the known fields come from a later release and are skipped.
template <typename Message>
std::optional<Message> Decode(std::span<const std::byte> head);

}  // namespace faha::wire
