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

// What can be shipped: sealed batches as opaque bytes.
struct Shippable {
  Lsn lsn;
  LogAddress at;
  std::span<const std::byte> bytes;
  // What stood at that place before was freed by this batch: a receiver that has not applied it still reads there.
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
  // The highest LSN that is known to be committed.  Every gap in the LSNs was made by a record up to there that frees a
  // segment, so a log that holds all batches which come until then lacks nothing.
  [[nodiscard]] virtual Lsn Committed() const = 0;
  // A log that holds all batches which come until this LSN lacks nothing that was ever committed.  It is Committed(),
  // or the first batch of the primary's epoch if that is later: a primary that was just elected does not know yet how
  // far earlier primaries have committed.
  [[nodiscard]] virtual Lsn WholeAt() const = 0;
  // The generations of all segments that hold the log, in ascending order.
  [[nodiscard]] virtual std::vector<std::uint64_t> Generations() const = 0;
};

class Shipper {
 public:
  // Unacknowledged bytes in flight: the credit that bounds the receiver's buffers and our queue.
  static constexpr std::uint64_t kWindowBytes = 8ULL << 20;
  // What a receiver that catches up is sent at a time at most, bytes (and what of a batch is beyond it): about half a
  // millisecond of the main loop over TCP, and while it serves clients an eighth - or, if the log grows faster, what
  // Pace says it is owed.
  static constexpr std::uint64_t kSliceBytes = 1ULL << 20;
  static constexpr std::uint64_t kBusySliceBytes = kSliceBytes / 4;

  // What the two have agreed on.
  struct Terms {
    Member receiver;
    PersistenceDomain domain = PersistenceDomain::kVolatile;
    FeatureLevel offers = kLowestLevel;
    bool fetch = false;    // a candidate takes over what is there and leaves
    bool install = false;  // it holds nothing, and there are gaps
    Lsn released_through;  // installing: what was given back by then is no concern of the receiver
    Lsn common;            // what both hold
    LinkId control = LinkId::kNone;
    std::uint64_t token = 0;   // that opens the data link; 0: none does
    std::string address = {};  // the host that it dials from
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
  // Posts what the window and `depth`, the batches in flight at most, allow, and no batch behind `bytes`.  Never waits.
  void Pump(Epoch epoch, Lsn committed, std::size_t depth, std::uint64_t bytes = kWindowBytes);
  // The same for a receiver that nobody waits for: posts a slice, when it is time for one.  `log_bytes`: how many bytes
  // were sealed since the start.
  void PumpSlice(Epoch epoch, Lsn committed, std::size_t depth, MonoTime now, bool busy, std::uint64_t log_bytes);
  // False if the receiver claims what was never sent.
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
  // Is it where it says that it is, as far as is known?
  bool reached = true;
  void Close();

  [[nodiscard]] const Member& receiver() const { return terms_.receiver; }
  [[nodiscard]] FeatureLevel offers() const { return terms_.offers; }
  [[nodiscard]] const std::string& address() const { return terms_.address; }
  [[nodiscard]] PersistenceDomain domain() const { return terms_.domain; }
  [[nodiscard]] bool fetch() const { return terms_.fetch; }
  // Would it take the primary's role?  As it said last, and yes before it has said anything.
  [[nodiscard]] bool may_lead() const { return may_lead_; }
  // Does it hold all that the log holds up to acked()?  If not, it does not count as a copy.
  [[nodiscard]] bool whole() const { return whole_; }
  // The last batch up to which it holds, or held before the cleaner overtook it, all that the log holds.
  [[nodiscard]] Lsn whole_through() const { return whole_ ? acked_ : before_gap_; }
  [[nodiscard]] Lsn acked() const { return acked_; }
  [[nodiscard]] Lsn posted() const { return posted_; }
  // The last batch whose bytes in the log nobody reads any more on behalf of this receiver: what went by frames was
  // copied, but what was placed is read by the device until the receiver has it.
  [[nodiscard]] Lsn read_from() const { return placed_ > 0 ? acked_ : posted_; }
  // Called in every turn: has the receiver acknowledged anything since the last call?
  void NoteProgress(MonoTime now) {
    if (in_flight_.empty() || acked_ > progress_) progressed_at_ = now;
    progress_ = acked_;
  }
  // Something is on its way, and nothing was acknowledged for `patience` and the time that its bytes may take.  While
  // its oldest batch is not there yet, that it moves is progress: a large batch on a slow way is no stall.  It compares
  // with what the receiver's machine had taken half-way, so it is to be called in every turn.
  [[nodiscard]] bool Stalled(MonoTime now, MonoTime patience);
  // When the newest heartbeat that the receiver has answered was sent; 0 if none.
  [[nodiscard]] MonoTime echoed() const { return echoed_; }
  [[nodiscard]] LinkId control() const { return control_; }
  [[nodiscard]] LinkId data() const { return data_; }
  [[nodiscard]] std::uint64_t token() const { return terms_.token; }

  // How long it may take to ship, receive and make persistent so many bytes, at a rate that a backup in order surely
  // reaches, 40 MB/s.
  [[nodiscard]] static constexpr MonoTime TimeOf(std::uint64_t bytes) {
    return MonoTime{static_cast<MonoTime::rep>(bytes / 40)};
  }

  // Does every commit wait for it?  Set by the committer: it has caught up and answers in time.
  bool in_sync = false;
  // Given up on at this LSN: not in sync again before it has it.
  Lsn owed;

 private:
  struct InFlight {
    Lsn lsn;
    std::uint64_t posted_bytes = 0;  // its own and all before it: what an acknowledgement gives back
    std::uint64_t placed = 0;        // how many were placed with it
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
  Lsn told_;  // what the receiver was told to be committed, so that it applies it
  std::uint64_t posted_bytes_ = 0;
  std::uint64_t acked_bytes_ = 0;
  std::uint64_t placed_ = 0, flushed_ = 0;  // batches, on the data link
  std::deque<InFlight> in_flight_;
  Pace pace_;
  Lsn progress_;                        // acked_ at the last NoteProgress()
  std::optional<std::uint64_t> taken_;  // bytes that the receiver's machine had taken half-way through the patience
  MonoTime progressed_at_{0};           // when it last moved, or nothing was on its way
  bool may_lead_ = true;
  std::uint64_t receivers_time_ = 0;  // of its newest answer to a heartbeat
  MonoTime echoed_{0};
  LinkId control_;
  LinkId data_ = LinkId::kNone;
};

}  // namespace faha
