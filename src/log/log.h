// The append-only log: batches in segments.  Thread: main loop only.
// A primary appends and seals; a backup lands what a primary sealed, byte for byte at the same addresses.
// A batch's digest is the sum of the checksums of all batches that the log held before it.  So two logs that agree on a
// batch agree on everything before it, and a log is complete if its batches add up to the digest of its last batch.
// Cleaning leaves gaps in the LSNs: a record frees a segment, which is no longer part of the log once that record is
// committed.
// Invariants: (1) except for such gaps, LSN n + 1 follows LSN n, and its epoch is not lower.
//             (2) Seal() and Land() only copy; a batch counts as durable once a later Drain() has succeeded.
//             (3) after an error from Write or Drain nothing about the medium is known: the owner fences itself.
//             (4) behind end() no segment in use holds a whole batch of the segment's generation.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "base/prefetch.h"
#include "faha/options.h"
#include "faha/status.h"
#include "faha/types.h"
#include "log/batch.h"
#include "log/pool.h"
#include "log/segment_hold.h"
#include "log/segments.h"

namespace faha {

// Where the log stands behind its last batch.
struct ChainEnd {
  Epoch epoch;
  Lsn lsn;
  std::uint64_t digest = 0;  // the one that the next batch must have
};

struct LocatedBatch {
  BatchView view;
  LogAddress at;
  std::span<const std::byte> bytes;  // with padding, as on the medium
  Lsn reused_after;                  // see Segment
  bool opens_segment = false;
};

// A place from which batches are read in order.  It stays valid whatever happens to the log, but for CutAfter() and
// Reset().
struct LogCursor {
  Lsn next{1};
  struct Place {
    std::uint64_t generation = 0;
    LogAddress at;
    Lsn before{};  // the LSN of the segment's batch that ends at `at`; 0: `at` is the segment's start
  };
  std::array<Place, kHeads.size()> places{};  // where each head goes on, if known
  // The reader looks for one batch, and loses nothing if damage hides it.  So the checksums of the batches that are
  // passed over on the way are not computed.
  bool trusting = false;
};

class Log {
 public:
  // Scans the pool; see scan.h for the rules.
  // Errors: Corrupt - a committed batch is damaged; IoError.
  static Result<std::unique_ptr<Log>> Open(Pool* pool, const LogSink& sink);
  // A log without a batch, whatever the pool holds; it is not for appending.
  // A caller that reads records of the pool through this log passes the generation of each segment, by its index.
  static std::unique_ptr<Log> Empty(Pool* pool, std::vector<std::uint64_t> generations = {}) {
    std::unique_ptr<Log> log(new Log(pool));
    log->unlisted_ = std::move(generations);
    return log;
  }

  // --- Where the log stands.
  [[nodiscard]] LogEnd end() const { return {end_.epoch, end_.lsn}; }
  [[nodiscard]] Lsn durable() const { return durable_; }
  // The highest commit LSN that any batch here names, or that has let a segment be given back; nothing up to it is ever
  // cut.
  [[nodiscard]] Lsn known_committed() const { return known_committed_; }
  // Behind this batch there is no gap.
  [[nodiscard]] Lsn freed_through() const { return freed_through_; }

  // The batches that held a configuration when the pool was opened, oldest first.
  [[nodiscard]] std::vector<LocatedBatch> ConfigsAtOpen() const;
  // How many records of all kinds the log held when the pool was opened; the number may be a little too high.
  [[nodiscard]] std::uint64_t records_at_open() const { return records_at_open_; }

  // --- Appending (primary).
  // The epoch and commit LSN that the next sealed batches carry.  SetEpoch() also undoes every RetireTail().
  void SetEpoch(Epoch epoch) {
    epoch_ = epoch;
    retired_ = {};
  }
  void SetCommitted(Lsn lsn) { committed_ = lsn; }
  // Adds `record`, which may view the log itself, to the open batch, which must be of `head` if there is one.  The
  // address that is returned is final.
  // Where the segment ends, the batch is sealed and its unit is marked as continued.
  // Errors: NoSpace, TooLarge - nothing has changed; IoError - fence.
  Result<LogAddress> Append(const Record& record, Head head = Head::kHot);
  // The head's next batch opens a new segment.
  void RetireTail(Head head) { retired_[static_cast<std::size_t>(head)] = true; }
  // Adds the record that frees a segment which no head fills any more and whose batches are all committed.  The record
  // goes to `head`.  A segment that was a head's tail until now must be freed by a record in the next segment of that
  // same head, because backups refuse a batch that frees a segment which a head still fills.  Errors: as Append.
  Status AppendFree(std::uint32_t index, Head head = Head::kCold);
  // How many records were appended since the log was opened.  A call that does not change this has written nothing.
  [[nodiscard]] std::uint64_t appended() const { return appended_; }
  // Does the current unit have records, in the open batch or in sealed ones?
  [[nodiscard]] bool InUnit() const { return unit_records_ > 0; }
  // The next record starts a new unit.
  void EndUnit() { unit_records_ = 0; }
  // Copies the open batch to the medium as the next LSN; an empty one is no batch.  Errors: IoError - fence.
  Status Seal();
  [[nodiscard]] bool HasOpenBatch() const { return !open_.empty(); }
  [[nodiscard]] std::uint64_t OpenBatchBytes() const { return open_.size(); }
  // The head of the open batch, if there is one.
  [[nodiscard]] Head open_head() const { return open_head_; }
  // Makes every sealed and landed batch durable.  Errors: IoError - fence.
  Status Drain();

  // --- Landing (backup).
  // Copies a primary's sealed batch to `at`, unless `bytes` are there already: the primary's device may have put them
  // there.
  // Errors: Protocol - the batch is damaged, does not follow the last one or does not belong there; IoError - fence.
  Status Land(LogAddress at, std::span<const std::byte> bytes);
  // The pool is installing: the next batch that lands need not follow the last one.
  void AllowGap() { gap_allowed_ = true; }
  // Forgets every batch after `keep`, and the open batch.  Errors: IoError - fence.
  Status CutAfter(Lsn keep);
  // Forgets everything: the pool's segment table is empty.
  void Reset();

  // --- Reading.
  // The record at an address that Append returned or that lies in a batch; valid until the next change.
  [[nodiscard]] Record RecordAt(LogAddress at) const;
  // The bytes of that record, padding included; valid until the next change.
  [[nodiscard]] std::span<const std::byte> RecordBytesAt(LogAddress at) const;
  // Where that record begins; valid until the next change.
  [[nodiscard]] const std::byte* BytesAt(LogAddress at) const {
    return IsOpen(at) ? open_.data() + (at.value - open_at_.value) : base_ + at.value;
  }
  // Is that part of the record as it was written?  If not, Pool::damage() says so from now on, as for IsIntact().
  [[nodiscard]] bool IsAsWritten(LogAddress at, RecordPart part) const;
  // Prefetches the cache lines of the record's header and of a key of usual length, which are about to be read.
  void Prefetch(LogAddress at) const {
    PrefetchLine(base_ + at.value);
    PrefetchLine(base_ + at.value + kUsualHead);
  }
  // The first batch at or behind cursor.next, and moves the cursor behind it; nothing at the log's end, and where
  // damage is found: then Pool::damage() says so.
  [[nodiscard]] std::optional<LocatedBatch> Next(LogCursor& cursor) const;
  // Does the checksum of `batch`, which is at `at`, still hold?  If not, somebody else has written to the medium or the
  // medium has lost what it held, and Pool::damage() says so from now on.  The contents of such a batch must not be
  // used.
  [[nodiscard]] bool IsIntact(const BatchView& batch, LogAddress at) const;
  // Are the newest `count` batches intact?
  bool AreIntact(std::uint64_t count) const;
  // The batch with `lsn`; nothing if the log does not hold it.
  [[nodiscard]] std::optional<LocatedBatch> Find(Lsn lsn) const;

  // The next batch, if it is whole and stands already where it would be landed, in a segment in use: a device has put
  // it there.  Nothing: there is none.
  [[nodiscard]] std::optional<LocatedBatch> PlacedBehindEnd() const;
  // Erases what a primary's device has placed and this log does not hold.  Usually later batches take its place, and
  // the rules of a scan tell the two apart; but not if it was committed and this log goes on without it.  Durable on
  // return.  Errors: IoError.
  Status ErasePlaced();
  // Erases what stood in the segments before an install and goes on behind what was installed: where a node was forced
  // to lead, both histories fill the same segments up to the fork.  What a device has placed in the log's last epoch
  // stays.  To be called before an install ends; durable on return.  Errors: IoError.
  Status EraseResidue();

  // --- Space.
  // The last kReservedSegments free segments may be opened only for deletes, epochs and membership, and the last
  // kCleanerSegments of those only by the cleaner.  So a full pool can still elect a primary and make room.
  static constexpr std::uint32_t kReservedSegments = 3;
  static constexpr std::uint32_t kCleanerSegments = 1;
  // A primary uses only the first `count` segments: those that every member's pool has.
  void LimitSegments(std::uint32_t count) {
    pool_->LimitSegments(count);
    segments_.Limit(count);
  }
  // How many bytes still fit into the segment that the head fills; the headers of its batches count, too.
  [[nodiscard]] std::uint64_t TailRoom(Head head) const;
  // Is it decided that the head's tail will be filled no further?
  [[nodiscard]] bool Retired(Head head) const { return retired_[static_cast<std::size_t>(head)]; }
  // Does a record of `bytes` fit into the segment that the head fills, or that the open batch is about to open?
  [[nodiscard]] bool FitsTail(Head head, std::uint64_t bytes) const;
  // Can records of `bytes` (as RecordBytes counts them) be appended to the hot head so that `reserve` segments stay
  // free?
  [[nodiscard]] bool HasRoom(std::uint64_t bytes, std::uint32_t reserve = kReservedSegments) const;
  // The error to return when there is no room: always NoSpace.
  [[nodiscard]] Status Full() const;
  [[nodiscard]] std::uint64_t MaxRecordBytes() const;
  [[nodiscard]] std::uint64_t UsedBytes() const;
  [[nodiscard]] const SegmentMap& segments() const { return segments_; }
  // Gives back every segment that is freed at or before `committed` and for which `may` says yes, in any order.  A
  // segment that must stay for a while keeps back only the segment that holds the record which frees it.
  // Nothing may refer to the records of a segment that is given back.  Errors: IoError - fence.
  Status Release(Lsn committed, const std::function<bool(const Segment&)>& may);
  // While the pool is installing: gives back every segment whose generation is not in `in_use`, which is sorted.  Those
  // segments were freed at or before `freed_by`.  `leaving` is called for each before it is given back.  Errors:
  // IoError - fence.
  Status ReleaseUnlisted(std::span<const std::uint64_t> in_use, Lsn freed_by,
                         const std::function<void(const Segment&)>& leaving);
  // The generations of all segments in use, in ascending order.
  [[nodiscard]] std::vector<std::uint64_t> Generations() const;
  // Every free up to this batch has been carried out: no segment that is freed up to here is still in use.
  [[nodiscard]] Lsn released_through() const;
  // Do the segments that are not freed add up to what the log's end says that the log holds?  At the end of an install
  // the answer tells whether anything is missing.
  [[nodiscard]] bool AddsUp() const;
  // --- For a process that reads while this one goes on.
  // From now on no segment is written to that `hold` still needs.  That ends with EndHold().  It also ends, and what
  // the hold is for is lost, when the log is cut or has no other segment to write to.
  void Hold(std::unique_ptr<SegmentHold> hold) { hold_ = std::move(hold); }
  void EndHold() { hold_.reset(); }
  void LoseHold(const Status& why) const {
    if (hold_) hold_->Lose(why);
  }
  [[nodiscard]] bool Held(std::uint32_t index) const { return hold_ && hold_->Needs(index); }
  [[nodiscard]] SegmentHold* hold() const { return hold_.get(); }

  // How many segments are freed and not given back yet.
  [[nodiscard]] std::size_t pending_frees() const { return freed_.size(); }
  // How many batches were sealed here since the pool was opened, and their bytes with padding.
  [[nodiscard]] std::uint64_t sealed_batches() const { return sealed_batches_; }
  [[nodiscard]] std::uint64_t sealed_bytes() const { return sealed_bytes_; }
  [[nodiscard]] Pool& pool() const { return *pool_; }

 private:
  static constexpr std::uint64_t kUsualHead = sizeof(format::RecordHeader) + 32;
  explicit Log(Pool* pool)
      : pool_(pool), base_(pool->media().bytes().data()), segments_(pool->geometry().segment_count) {}
  Status ZeroPadding(LogAddress at);
  Status OpenSegment(std::uint32_t index, Head head, std::uint64_t generation, Lsn first);
  Status WriteBatch(LogAddress at, std::span<const std::byte> bytes, const BatchView& view, Segment& segment);
  void TakeFrees(const BatchView& view);
  [[nodiscard]] Status CheckFrees(const BatchView& view, LogAddress at) const;
  [[nodiscard]] Result<Head> PlaceOf(const BatchView& view, LogAddress at, std::uint64_t bytes) const;
  // Is it in the open batch?
  [[nodiscard]] bool IsOpen(LogAddress at) const {
    return !open_.empty() && at >= open_at_ && at.value < open_at_.value + open_.size();
  }
  [[nodiscard]] std::uint64_t GenerationAt(LogAddress at) const {
    const std::uint32_t index = pool_->SegmentOf(at);
    return index < unlisted_.size() ? unlisted_[index] : segments_.at(index).generation;
  }
  // The generation of the segment that the open batch belongs to.
  [[nodiscard]] std::uint64_t OpenGeneration() const {
    return open_segment_ ? segments_.last_generation() + 1 : segments_.Tail(open_head_)->generation;
  }
  void NoteDamage(std::string_view what, LogAddress at) const;
  [[nodiscard]] bool IsPlausible(const BatchView& batch, const Segment& segment, const LogCursor::Place& place) const;
  [[nodiscard]] bool IsPassed(const Segment& segment, const LogCursor::Place& place) const;
  static Status SpaceIsNeeded();
  [[nodiscard]] bool HoldsPendingFree(const Segment& segment) const;
  Status GiveBack(std::uint32_t index, Lsn freed_by);
  Status PlaceOpenBatch(Head head, std::uint64_t record_bytes, std::uint32_t reserve);
  Status SealAs(bool continues);
  // What a head holds at or behind a cursor's place.
  enum class Ahead { kBatch, kNothing, kDamage };
  [[nodiscard]] Ahead Settle(Head head, LogCursor& cursor) const;
  Status EraseBehind(Lsn keep);

  Pool* pool_;
  const std::byte* base_;  // of the medium
  SegmentMap segments_;
  std::vector<std::uint64_t> unlisted_;  // see Empty()
  std::vector<std::uint32_t> freed_;     // segments in use that a record frees, the oldest free first
  std::unique_ptr<SegmentHold> hold_;
  ChainEnd end_;
  Lsn durable_, known_committed_, freed_through_, released_through_;
  bool gap_allowed_ = false;
  std::vector<LogAddress> configs_at_open_;
  std::uint64_t records_at_open_ = 0;

  Epoch epoch_;
  Lsn committed_;
  BatchBuilder open_;
  Head open_head_ = Head::kHot;
  LogAddress open_at_;
  std::optional<std::uint32_t> open_segment_;  // the segment the open batch will start, if it starts one
  std::uint64_t unit_records_ = 0;             // of the current unit, in any batch
  std::uint64_t appended_ = 0;                 // records
  std::uint64_t sealed_batches_ = 0, sealed_bytes_ = 0;
  std::array<bool, 2> retired_{};  // by head: its tail is filled no further
  bool continued_ = false;         // the last sealed batch left its unit open
};

}  // namespace faha
