// The append-only log: batches in segments, each naming its predecessor's checksum.  Thread: main loop only.
// A primary appends and seals; a backup lands what a primary sealed, byte for byte at the same addresses.
// Invariants: (1) batches are contiguous: LSN n + 1 follows n, and its epoch is not lower.
//             (2) Seal() and Land() copy; only what stood before a successful Drain() counts as durable.
//             (3) after an error from Write or Drain nothing about the medium is known: the owner fences itself.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "faha/options.h"
#include "faha/status.h"
#include "faha/types.h"
#include "log/batch.h"
#include "log/pool.h"

namespace faha {

// The segments that hold the log, oldest first.
struct Segment {
  std::uint32_t index = 0;
  std::uint64_t generation = 0;
  Lsn first, last;
  std::uint64_t used_bytes = 0;
};

// What a chain of batches must match to go on: the state behind its last batch.
struct ChainEnd {
  Epoch epoch;
  Lsn lsn;
  std::uint64_t checksum = 0;
};

struct LocatedBatch {
  BatchView view;
  LogAddress at;
  std::span<const std::byte> bytes;  // with padding, as on the medium
};

class Log {
 public:
  // Scans the pool; see scan.h for the rules.
  // Errors: Corrupt - a committed batch is damaged; IoError.
  static Result<std::unique_ptr<Log>> Open(Pool* pool, const LogSink& sink);

  // --- Where the log stands.
  [[nodiscard]] LogEnd end() const { return {end_.epoch, end_.lsn}; }
  [[nodiscard]] Lsn durable() const { return durable_; }
  // The highest commit LSN that any batch here names; nothing up to it is ever cut.
  [[nodiscard]] Lsn known_committed() const { return known_committed_; }

  // --- Appending (primary).
  // The epoch and commit LSN that the next sealed batches carry.
  void SetEpoch(Epoch epoch) { epoch_ = epoch; }
  void SetCommitted(Lsn lsn) { committed_ = lsn; }
  // Adds `record` to the open batch; its address is final.  Seals by itself where the segment ends, marking the unit as
  // continued.  Errors: NoSpace, TooLarge - nothing has changed; IoError - fence.
  Result<LogAddress> Append(const Record& record);
  // The next record starts a new unit.
  void EndUnit() { unit_records_ = 0; }
  // Copies the open batch to the medium as the next LSN; an empty one is no batch.  Errors: IoError - fence.
  Status Seal();
  [[nodiscard]] bool HasOpenBatch() const { return !open_.empty(); }
  [[nodiscard]] std::uint64_t OpenBatchBytes() const { return open_.size(); }
  // Makes every sealed and landed batch durable.  Errors: IoError - fence.
  Status Drain();

  // --- Landing (backup).
  // Copies a primary's sealed batch to `at`, unless that is where the bytes are: its device may have put them there.
  // Errors: Protocol - it is damaged, does not follow the last one or does not belong there; IoError - fence.
  Status Land(LogAddress at, std::span<const std::byte> bytes);
  // Forgets every batch after `keep` and the open one.  Errors: IoError - fence.
  Status CutAfter(Lsn keep);
  // Forgets everything: the pool has been adopted by a cluster.
  void Reset();

  // --- Reading.
  // The record at an address that Append returned or a batch holds; valid until the next change.
  [[nodiscard]] Record RecordAt(LogAddress at) const;
  void Prefetch(LogAddress at) const { __builtin_prefetch(pool_->media().bytes().data() + at.value); }
  // The batch with `lsn`; nothing if the log does not hold it.  `hint`: where it starts, if the caller knows (the end
  // of the batch before), else none.
  [[nodiscard]] std::optional<LocatedBatch> Find(Lsn lsn, LogAddress hint = {}) const;

  // --- Space.
  // Can records of `bytes` (as RecordBytes counts them) be appended and a segment still be kept in reserve?  The
  // reserve is for deletes, epochs and membership: a full pool can still elect a primary.
  [[nodiscard]] bool HasRoom(std::uint64_t bytes) const;
  // Errors: NoSpace, always: what to tell when there is no room.
  [[nodiscard]] Status Full() const;
  [[nodiscard]] std::uint64_t MaxRecordBytes() const;
  [[nodiscard]] std::uint64_t UsedBytes() const;
  [[nodiscard]] const std::vector<Segment>& segments() const { return segments_; }
  // Since the pool was opened: batches sealed here, and their bytes with padding.
  [[nodiscard]] std::uint64_t sealed_batches() const { return sealed_batches_; }
  [[nodiscard]] std::uint64_t sealed_bytes() const { return sealed_bytes_; }
  [[nodiscard]] Pool& pool() const { return *pool_; }

 private:
  explicit Log(Pool* pool) : pool_(pool) {}
  Status OpenSegment(std::uint32_t index, std::uint64_t generation, Lsn first);
  Status WriteBatch(LogAddress at, std::span<const std::byte> bytes, const format::BatchHeader& header);
  [[nodiscard]] std::optional<std::uint32_t> FreeSegment() const;
  [[nodiscard]] std::uint32_t FreeSegments() const;
  [[nodiscard]] std::uint64_t TailRoom() const;
  Status PlaceOpenBatch(std::uint64_t record_bytes);
  Status SealAs(bool continues);

  Pool* pool_;
  std::vector<Segment> segments_;
  ChainEnd end_;
  Lsn durable_, known_committed_;

  Epoch epoch_;
  Lsn committed_;
  BatchBuilder open_;
  LogAddress open_at_;
  std::optional<std::uint32_t> open_segment_;  // the segment the open batch will start, if it starts one
  std::uint64_t unit_records_ = 0;             // of the current unit, in any batch
  std::uint64_t sealed_batches_ = 0, sealed_bytes_ = 0;
  bool continued_ = false;  // the last sealed batch left its unit open
};

}  // namespace faha
