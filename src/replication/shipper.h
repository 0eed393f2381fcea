// Ships the log to one receiver: the source's half of the Persist RPC.  Thread: main loop only.
// Live shipping and catching up are the same: a cursor runs along the log, ahead of the acknowledgements by a window.
// The difference is that nobody waits for a receiver that catches up, so it is sent slices, and is paced while clients
// are served.  Where the devices flush what is placed, a batch counts as soon as they say so, as if the receiver had
// acknowledged it.  This ends with the first batch that needs the receiver's processor: see Shippable and CountFlushed.
// Invariant: acked() <= posted(), and acked() only grows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "faha/clock.h"
#include "faha/fabric.h"
#include "faha/media.h"
#include "faha/types.h"
#include "replication/pace.h"

namespace faha {

// A sealed batch that can be shipped, as opaque bytes.
struct Shippable {
  Lsn lsn;
  LogAddress at;
  std::span<const std::byte> bytes;
  // The batch with this LSN freed the records that stood at that place before.  A receiver that has not applied that
  // batch still reads the old records there.
  Lsn reused_after;
  // The receiver must also write an entry of its segment table, without which it would not find the batch after a
  // restart: the bytes alone are not enough for the batch to be persistent.
  bool opens_segment = false;
};

// The source's log, read in order for one receiver.
class BatchReader {
 public:
  virtual ~BatchReader() = default;
  // The next batch that the log holds; nothing if there is none yet.
  [[nodiscard]] virtual std::optional<Shippable> Peek() = 0;
  // What Peek() returned was shipped: goes on to the next one.
  virtual void Take() = 0;
  // The highest LSN that is known to be committed.  Every gap in the LSNs was made by a record up to this LSN that
  // frees a segment, so a log that holds every batch that is read up to this LSN lacks nothing.
  [[nodiscard]] virtual Lsn Committed() const = 0;
  // A log that holds every batch that is read up to this LSN lacks nothing that was ever committed.  It is Committed(),
  // or the first batch of the primary's epoch if that is later: a primary that was just elected does not know yet how
  // far earlier primaries have committed.
  [[nodiscard]] virtual Lsn WholeAt() const = 0;
  // The generations of all segments that hold the log, in ascending order.
  [[nodiscard]] virtual std::vector<std::uint64_t> Generations() const = 0;
};

class Shipper {
 public:
  // The most bytes that may be in flight unacknowledged.  This credit bounds the receiver's buffers and this node's
  // queue.
  static constexpr std::uint64_t kWindowBytes = 8ULL << 20;
  // The most bytes that a receiver that catches up is sent at a time; the last batch may go beyond them.  Over TCP they
  // take about half a millisecond of the main loop.  While the main loop serves clients, the smaller slice takes an
  // eighth of a millisecond; if the log grows faster, the receiver is sent what Pace says it is owed.
  static constexpr std::uint64_t kSliceBytes = 1ULL << 20;
  static constexpr std::uint64_t kBusySliceBytes = kSliceBytes / 4;

  // What the source and the receiver have agreed on.
  struct Terms {
    Member receiver;
    PersistenceDomain domain = PersistenceDomain::kVolatile;
    FeatureLevel offers = kLowestLevel;
    bool fetch = false;    // the receiver is a candidate that takes over what the source holds and then leaves
    bool install = false;  // the receiver holds nothing, and there are gaps
    Lsn released_through;  // installing: what was given back up to this LSN is no concern of the receiver
    Lsn common;            // the last batch that both logs hold
    LinkId control = LinkId::kNone;
    std::uint64_t token = 0;   // the token that opens the data link; 0: no token does
    std::string address = {};  // the host that the receiver dials from
  };
  Shipper(Fabric* fabric, std::unique_ptr<BatchReader> reader, Terms terms)
      : fabric_(fabric),
        reader_(std::move(reader)),
        terms_(std::move(terms)),
        whole_(!terms_.install),
        posted_(terms_.common),
        acked_(terms_.common),
        control_(terms_.control) {}

  // The data link is open, and its token cannot be used again.
  void OpenData(LinkId data) { data_ = data, terms_.token = 0; }
  // Posts as many batches as the window and `depth`, the most batches in flight, allow.  Starts no further batch once
  // `bytes` bytes have been posted.  Never waits.
  void Pump(Epoch epoch, Lsn committed, std::size_t depth, std::uint64_t bytes = kWindowBytes);
  // Does the same for a receiver that nobody waits for: posts one slice if it is time for one.  `log_bytes`: how many
  // bytes were sealed since the start.
  void PumpSlice(Epoch epoch, Lsn committed, std::size_t depth, MonoTime now, bool busy, std::uint64_t log_bytes);
  // Returns false if the receiver claims batches that were never sent.
  [[nodiscard]] bool OnAck(Lsn durable, Lsn applied);
  // The first `placed` batches that were placed on the data link are in the receiver's persistence domain.
  void OnFlushed(std::uint64_t placed);
  // `leads`: the sender holds its lease.
  void SendHeartbeat(Epoch epoch, Lsn committed, MonoTime now, bool leads);
  // `at`: the receiver's time.
  void OnHeartbeatAck(MonoTime sent_at, std::uint64_t at, bool may_lead) {
    may_lead_ = may_lead;
    echoed_ = std::max(echoed_, sent_at);
    receivers_time_ = std::max(receivers_time_, at);
  }
  void SendHandOver(Epoch epoch);
  // Is the receiver reached at the address that it announces, as far as this node knows?
  bool reached = true;
  void Close();

  [[nodiscard]] const Member& receiver() const { return terms_.receiver; }
  [[nodiscard]] FeatureLevel offers() const { return terms_.offers; }
  [[nodiscard]] const std::string& address() const { return terms_.address; }
  [[nodiscard]] PersistenceDomain domain() const { return terms_.domain; }
  [[nodiscard]] bool fetch() const { return terms_.fetch; }
  // Would the receiver take the primary's role?  This is what it said last, and true before it has said anything.
  [[nodiscard]] bool may_lead() const { return may_lead_; }
  // Does the receiver hold all that the log holds up to acked()?  If not, the receiver does not count as a copy.
  [[nodiscard]] bool whole() const { return whole_; }
  // The last batch up to which the receiver holds all that the log holds, or held it before the cleaner overtook the
  // receiver.
  [[nodiscard]] Lsn whole_through() const { return whole_ ? acked_ : before_gap_; }
  [[nodiscard]] Lsn acked() const { return acked_; }
  [[nodiscard]] Lsn posted() const { return posted_; }
  // The last batch whose bytes in the log nobody reads any more on behalf of this receiver.  A batch that went in a
  // frame was copied, but the device reads a batch that was placed until the receiver has it.
  [[nodiscard]] Lsn read_from() const { return placed_ > 0 ? acked_ : posted_; }
  // Called in every turn: has the receiver acknowledged anything since the last call?
  void NoteProgress(MonoTime now) {
    if (in_flight_.empty() || acked_ > progress_) progressed_at_ = now;
    progress_ = acked_;
  }
  // True if batches are on their way and nothing was acknowledged for `patience` plus the time that their bytes may
  // take.  While the oldest of them has not arrived yet, the movement of its bytes counts as progress: a large batch on
  // a slow connection is no stall.  This method compares with the bytes that the receiver's machine had taken half-way
  // through that time, so it must be called in every turn.
  [[nodiscard]] bool Stalled(MonoTime now, MonoTime patience);
  // When the newest heartbeat that the receiver has answered was sent; 0 if none.
  [[nodiscard]] MonoTime echoed() const { return echoed_; }
  [[nodiscard]] LinkId control() const { return control_; }
  [[nodiscard]] LinkId data() const { return data_; }
  [[nodiscard]] std::uint64_t token() const { return terms_.token; }

  // How long it may take to ship, receive and make persistent so many bytes, at a rate that a healthy backup surely
  // reaches, 40 MB/s.
  [[nodiscard]] static constexpr MonoTime TimeOf(std::uint64_t bytes) {
    return MonoTime{static_cast<MonoTime::rep>(bytes / 40)};
  }

  // Does every commit wait for this receiver?  The committer sets this when the receiver has caught up and answers in
  // time.
  bool in_sync = false;
  // The committer gave this receiver up at this LSN: it is not in sync again before it has acknowledged this LSN.
  Lsn owed;

 private:
  struct InFlight {
    Lsn lsn;
    std::uint64_t posted_bytes = 0;  // of this batch and all before it: an acknowledgement gives them back
    std::uint64_t placed = 0;        // how many batches had been placed when it was posted, itself included
    bool needs_processor = false;    // only the receiver itself can acknowledge it
  };
  void SendGap(Epoch epoch);
  void Acknowledge(Lsn durable);
  void CountFlushed();

  Fabric* fabric_;
  std::unique_ptr<BatchReader> reader_;
  Terms terms_;
  bool whole_;
  std::optional<Lsn> whole_at_;  // as the newest gap said; an install begins with one
  Lsn before_gap_;
  Lsn posted_, acked_, applied_;
  Lsn told_;  // the LSN that the receiver was told is committed, so that it applies the log up to it
  std::uint64_t posted_bytes_ = 0;
  std::uint64_t acked_bytes_ = 0;
  std::uint64_t placed_ = 0, flushed_ = 0;  // batches, on the data link
  std::deque<InFlight> in_flight_;
  Pace pace_;
  Lsn progress_;                        // acked_ at the last NoteProgress()
  std::optional<std::uint64_t> taken_;  // bytes that the receiver's machine had taken half-way through the patience
  MonoTime progressed_at_{0};           // when there was progress last, or nothing was on its way
  bool may_lead_ = true;
  std::uint64_t receivers_time_ = 0;  // of the receiver's newest answer to a heartbeat
  MonoTime echoed_{0};
  LinkId control_;
  LinkId data_ = LinkId::kNone;
};

}  // namespace faha
