#include "log/log.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "log/scan.h"

namespace faha {

using format::BatchHeader;

Result<std::unique_ptr<Log>> Log::Open(Pool* pool, const LogSink& sink) {
  auto scan = ScanPool(*pool, sink);
  if (!scan.ok()) return scan.status();
  std::unique_ptr<Log> log(new Log(pool));
  log->segments_ = std::move(scan->segments);
  log->end_ = scan->end;
  log->known_committed_ = scan->known_committed;
  // A segment that holds no batch of the chain must not be taken for part of it by a later scan.
  for (const std::uint32_t index : scan->stale) {
    if (Status status = pool->ClearEntry(index); !status.ok()) return status;
  }
  for (const Segment& segment : log->segments_) {
    if (std::find(scan->damaged.begin(), scan->damaged.end(), segment.index) == scan->damaged.end()) continue;
    if (Status status = pool->WriteEntry(segment.index, segment.generation, segment.first); !status.ok()) return status;
  }
  // What was readable may still be in a cache that a power failure empties.
  if (Status status = log->Drain(); !status.ok()) return status;
  return log;
}

// --- Appending.

std::uint64_t Log::TailRoom() const {
  return segments_.empty() ? 0 : pool_->geometry().segment_bytes - segments_.back().used_bytes;
}

Result<LogAddress> Log::Append(const Record& record) {
  const std::uint64_t bytes = record.Size();
  if (bytes > MaxRecordBytes()) {
    return Status{Code::kTooLarge,
                  fmt::format("a record of {} bytes is over the limit of {}: faha.segment-bytes bounds it", bytes,
                              MaxRecordBytes())};
  }
  if (!open_.empty()) {
    const std::uint64_t room = open_segment_ ? pool_->geometry().segment_bytes : TailRoom();
    if (open_.size() + bytes > room) {
      // Whether the record has a place is settled before the unit is cut in two: a unit must not stay half.
      if (FreeSegments() < (open_segment_ ? 2U : 1U)) return Full();
      if (Status status = SealAs(unit_records_ > 0); !status.ok()) return status;
    }
  }
  if (open_.empty()) {
    if (Status status = PlaceOpenBatch(bytes); !status.ok()) return status;
  }
  ++unit_records_;
  return open_at_ + open_.Add(record);
}

// Decides where the open batch, whose first record has `record_bytes`, will stand.
Status Log::PlaceOpenBatch(std::uint64_t record_bytes) {
  open_segment_.reset();
  if (sizeof(BatchHeader) + record_bytes <= TailRoom()) {
    open_at_ = pool_->SegmentStart(segments_.back().index) + segments_.back().used_bytes;
    return Status::Ok();
  }
  open_segment_ = FreeSegment();
  if (!open_segment_) return Full();
  open_at_ = pool_->SegmentStart(*open_segment_);
  return Status::Ok();
}

Status Log::Full() const {
  return {Code::kNoSpace, fmt::format("the pool is full ({} segments of {} bytes): move to nodes with larger pools",
                                      pool_->geometry().segment_count, pool_->geometry().segment_bytes)};
}

Status Log::Seal() {
  EndUnit();
  return open_.empty() ? Status::Ok() : SealAs(false);
}

Status Log::SealAs(bool continues) {
  const Lsn lsn = end_.lsn.Next();
  if (open_segment_) {
    const std::uint64_t generation = segments_.empty() ? 1 : segments_.back().generation + 1;
    if (Status status = OpenSegment(*open_segment_, generation, lsn); !status.ok()) return status;
  }
  BatchHeader header{};
  header.magic = format::kBatchMagic;
  header.version = format::kBatchVersion;
  header.flags =
      static_cast<std::uint16_t>((continues ? format::kUnitContinues : 0) | (continued_ ? format::kUnitContinued : 0));
  header.lsn = lsn.value;
  header.epoch = epoch_.value;
  header.committed = committed_.value;
  header.generation = segments_.back().generation;
  header.previous = end_.checksum;
  const auto bytes = open_.Seal(header, pool_->geometry().granule);
  ++sealed_batches_;
  sealed_bytes_ += bytes.size();
  Status status = WriteBatch(open_at_, bytes, BatchView::Trusted(bytes.data()).header());
  open_.Reset();
  open_segment_.reset();
  continued_ = continues;
  return status;
}

Status Log::OpenSegment(std::uint32_t index, std::uint64_t generation, Lsn first) {
  segments_.push_back({.index = index, .generation = generation, .first = first, .last = end_.lsn, .used_bytes = 0});
  return pool_->WriteEntry(index, generation, first);
}

Status Log::WriteBatch(LogAddress at, std::span<const std::byte> bytes, const BatchHeader& header) {
  FAHA_CHECK(header.lsn == end_.lsn.value + 1 && header.epoch >= end_.epoch.value, "a batch out of order");
  segments_.back().last = Lsn{header.lsn};
  segments_.back().used_bytes += bytes.size();
  end_ = {Epoch{header.epoch}, Lsn{header.lsn}, header.checksum};
  known_committed_ = std::max(known_committed_, Lsn{header.committed});
  if (bytes.data() == pool_->media().bytes().data() + at.value) {
    pool_->media().Landed(at.value, bytes.size());
    return Status::Ok();
  }
  return pool_->media().Write(at.value, bytes);
}

Status Log::Drain() {
  if (Status status = pool_->media().Drain(); !status.ok()) return status;
  durable_ = end_.lsn;
  return Status::Ok();
}

// --- Landing.

Status Log::Land(LogAddress at, std::span<const std::byte> bytes) {
  const Geometry geometry = pool_->geometry();
  const auto bad = [](std::string_view what) { return Status{Code::kProtocol, fmt::format("a batch {}", what)}; };
  const auto medium = pool_->media().bytes();
  const bool landed = bytes.data() >= medium.data() && bytes.data() < medium.data() + medium.size();
  if (landed && bytes.data() != medium.data() + at.value) return bad("was put where it does not belong");
  const auto view = BatchView::Parse(bytes);
  if (!view) return bad("fails its checksum");
  const BatchHeader& header = view->header();
  if (header.lsn != end_.lsn.value + 1 || header.previous != end_.checksum || header.epoch < end_.epoch.value) {
    return bad(fmt::format("with LSN {} does not follow LSN {}", header.lsn, end_.lsn.value));
  }
  if (header.committed >= header.lsn) return bad("says of itself that it was committed");
  const auto padding = bytes.subspan(sizeof header + header.payload_bytes);
  if (bytes.size() != view->PaddedBytes(geometry.granule) ||
      std::any_of(padding.begin(), padding.end(), [](std::byte b) { return b != std::byte{0}; })) {
    return bad("has the wrong padding");
  }
  if (!view->ForEach([](const Record&, std::uint64_t) {})) return bad("holds records this release does not know");
  const std::uint64_t end = format::kDataOffset + geometry.segment_count * geometry.segment_bytes;
  if (at.value < format::kDataOffset || at.value >= end) return bad("lies outside the pool");
  const std::uint32_t index = pool_->SegmentOf(at);
  if (at.value + bytes.size() > pool_->SegmentStart(index).value + geometry.segment_bytes) {
    return bad("crosses a segment's end");
  }
  if (at == pool_->SegmentStart(index)) {
    const std::uint64_t generation = segments_.empty() ? 1 : segments_.back().generation + 1;
    const bool in_use =
        std::any_of(segments_.begin(), segments_.end(), [&](const Segment& s) { return s.index == index; });
    if (in_use || header.generation != generation) return bad("opens a segment that is in use");
    if (Status status = OpenSegment(index, generation, view->lsn()); !status.ok()) return status;
  } else if (segments_.empty() || segments_.back().index != index || header.generation != segments_.back().generation ||
             at != pool_->SegmentStart(index) + segments_.back().used_bytes) {
    return bad("does not start where the last one ended");
  }
  return WriteBatch(at, bytes, header);
}

Status Log::CutAfter(Lsn keep) {
  open_.Reset();
  open_segment_.reset();
  EndUnit();
  if (keep >= end_.lsn) return Status::Ok();
  FAHA_CHECK(keep >= known_committed_, "a committed batch must not be cut");
  while (!segments_.empty() && segments_.back().first > keep) {
    if (Status status = pool_->ClearEntry(segments_.back().index); !status.ok()) return status;
    segments_.pop_back();
  }
  continued_ = false;
  if (segments_.empty()) {
    end_ = {};
  } else {
    const auto last = Find(keep);
    FAHA_CHECK(last.has_value(), "the batch to keep is in the log");
    Segment& tail = segments_.back();
    tail.last = keep;
    tail.used_bytes = last->at.value + last->bytes.size() - pool_->SegmentStart(tail.index).value;
    end_ = {last->view.epoch(), keep, last->view.header().checksum};
  }
  durable_ = std::min(durable_, keep);
  return Status::Ok();
}

void Log::Reset() {
  segments_.clear();
  end_ = {};
  durable_ = known_committed_ = committed_ = Lsn{};
  open_.Reset();
  open_segment_.reset();
  continued_ = false;
  EndUnit();
}

// --- Reading.

Record Log::RecordAt(LogAddress at) const {
  if (!open_.empty() && at >= open_at_ && at.value < open_at_.value + open_.size()) {
    return TrustedRecord(open_.data() + (at.value - open_at_.value));
  }
  return TrustedRecord(pool_->media().bytes().data() + at.value);
}

std::optional<LocatedBatch> Log::Find(Lsn lsn, LogAddress hint) const {
  if (lsn > end_.lsn || segments_.empty() || lsn < segments_.front().first) return std::nullopt;
  auto segment = std::upper_bound(segments_.begin(), segments_.end(), lsn,
                                  [](Lsn wanted, const Segment& s) { return wanted < s.first; });
  --segment;
  const LogAddress start = pool_->SegmentStart(segment->index);
  const bool hinted = hint > start && hint.value < start.value + segment->used_bytes;
  const std::byte* base = pool_->media().bytes().data();
  for (LogAddress at = hinted ? hint : start;;) {
    const auto view = BatchView::Trusted(base + at.value);
    const std::uint64_t bytes = view.PaddedBytes(pool_->geometry().granule);
    if (view.lsn() == lsn) return LocatedBatch{view, at, {base + at.value, bytes}};
    FAHA_CHECK(view.lsn() < lsn, "the hint lies before the batch");
    at = at + bytes;
  }
}

// --- Space.

std::uint32_t Log::FreeSegments() const {
  return pool_->geometry().segment_count - static_cast<std::uint32_t>(segments_.size());
}

std::optional<std::uint32_t> Log::FreeSegment() const {
  for (std::uint32_t i = 0; i < pool_->geometry().segment_count; ++i) {
    if (std::none_of(segments_.begin(), segments_.end(), [i](const Segment& s) { return s.index == i; })) return i;
  }
  return std::nullopt;
}

bool Log::HasRoom(std::uint64_t bytes) const {
  const std::uint64_t segment_bytes = pool_->geometry().segment_bytes;
  const std::uint64_t granule = pool_->geometry().granule;
  const std::uint32_t reserved = open_segment_ ? 2 : 1;  // the open batch's own segment is not free any more
  const std::uint64_t open_room = (open_segment_ ? segment_bytes : TailRoom());
  const std::uint64_t used = open_.empty() ? sizeof(BatchHeader) : open_.size();
  const std::uint32_t free = FreeSegments();
  if (free >= reserved && used + bytes + granule <= open_room) return true;
  // A record that does not fit into the rest of a segment wastes it: at worst half of every segment.
  const std::uint64_t segments = 1 + 2 * bytes / segment_bytes;
  return free >= reserved + segments;
}

std::uint64_t Log::MaxRecordBytes() const { return pool_->geometry().segment_bytes - sizeof(BatchHeader); }

std::uint64_t Log::UsedBytes() const {
  std::uint64_t used = 0;
  for (const Segment& segment : segments_) used += segment.used_bytes;
  return used;
}

}  // namespace faha
