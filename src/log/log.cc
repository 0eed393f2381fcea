// Appending, landing and cutting.  Reading and space are in log_read.cc.  See log.h.
#include "log/log.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "base/mutant.h"
#include "log/record_kinds.h"
#include "log/scan.h"

namespace faha {

using format::BatchHeader;

Result<std::unique_ptr<Log>> Log::Open(Pool* pool, const LogSink& sink) {
  auto scan = ScanPool(*pool, sink);
  if (!scan.ok()) return scan.status();
  std::unique_ptr<Log> log(new Log(pool));
  for (const LogAddress at : scan->unpadded) {
    if (Status status = log->ZeroPadding(at); !status.ok()) return status;
  }
  // A later scan must not take the batches behind the end for a part of the log.
  for (const LogAddress at : scan->behind_end) {
    if (Status status = pool->EraseBatch(at); !status.ok()) return status;
  }
  for (const auto* leaving : {&scan->stale, &scan->freed}) {
    for (const std::uint32_t index : *leaving) {
      if (Status status = pool->ClearEntry(index); !status.ok()) return status;
    }
  }
  for (const Segment& found : scan->segments) {
    log->segments_.Open(found.index, found.head, found.generation, found.first) = found;
    if (found.freed_by.value != 0) log->freed_.push_back(found.index);
    // A peer's device may have put the batches there, and a process that died may not have made them durable.
    if (!pool->media().shared().empty()) pool->media().Landed(pool->SegmentStart(found.index).value, found.used_bytes);
    if (std::find(scan->damaged.begin(), scan->damaged.end(), found.index) == scan->damaged.end()) continue;
    if (Status status = pool->WriteEntry(found.index, found.generation, found.first, found.head); !status.ok())
      return status;
  }
  // Bytes that the scan has read may still be only in a cache, which a power failure empties.
  if (Status status = pool->media().Drain(); !status.ok()) return status;
  std::sort(log->freed_.begin(), log->freed_.end(), [&](std::uint32_t a, std::uint32_t b) {
    return log->segments_.at(a).freed_by < log->segments_.at(b).freed_by;
  });
  for (const auto& [lsn, at] : scan->configs) log->configs_at_open_.push_back(at);
  log->records_at_open_ = scan->records;
  log->end_ = scan->end;
  log->known_committed_ = scan->known_committed;
  log->freed_through_ = scan->freed_through;
  log->released_through_ = scan->known_committed;
  log->segments_.FreedBy(scan->known_committed);
  log->durable_ = log->end_.lsn;
  // A log that adds up may still lack a batch, if somebody has changed it on purpose.
  LogCursor cursor{.next = log->freed_through_.Next()};
  while (cursor.next <= log->end_.lsn) {
    if (!log->Next(cursor)) return pool->damage();
  }
  return log;
}

Status Log::ZeroPadding(LogAddress at) {
  const auto view = BatchView::Trusted(base_ + at.value);
  const std::uint64_t end = sizeof(BatchHeader) + view.header().payload_bytes;
  const std::vector<std::byte> zeros(view.PaddedBytes(pool_->geometry().granule) - end);
  return pool_->media().Write(at.value + end, zeros);
}

// --- Appending.

std::uint64_t Log::TailRoom(Head head) const {
  const Segment* tail = segments_.Tail(head);
  const bool closed = tail == nullptr || Retired(head);
  return closed ? 0 : pool_->geometry().segment_bytes - tail->used_bytes;
}

bool Log::FitsTail(Head head, std::uint64_t bytes) const {
  const bool open = !open_.empty() && open_head_ == head;
  const std::uint64_t room = open && open_segment_ ? pool_->geometry().segment_bytes : TailRoom(head);
  return (open ? open_.size() : sizeof(BatchHeader)) + bytes <= room;
}

Result<LogAddress> Log::Append(const Record& record, Head head) {
  FAHA_CHECK(InfoOf(record.kind).since <= pool_->level(), "a record is written once every member knows its kind");
  if (open_.Holds(record.key) || open_.Holds(record.value)) {
    const std::string key(record.key), value(record.value);
    Record own = record;
    own.key = key;
    own.value = value;
    return Append(own, head);
  }
  const std::uint64_t bytes = record.Size();
  if (bytes > MaxRecordBytes()) {
    return Status{Code::kTooLarge,
                  fmt::format("a record of {} bytes is over the limit of {}: faha.segment-bytes bounds it", bytes,
                              MaxRecordBytes())};
  }
  if (!open_.empty()) {
    FAHA_CHECK(head == open_head_, "a batch belongs to one head");
    if (!FitsTail(head, bytes)) {
      // Before the unit is divided between two batches, it must be certain that the record has a place: half a unit
      // must not stay in the log.
      const std::uint32_t needed = (open_segment_ ? 2U : 1U) + (head == Head::kHot ? kCleanerSegments : 0);
      if (segments_.free() < needed) return Full();
      if (Status status = SealAs(unit_records_ > 0); !status.ok()) return status;
    }
  }
  if (open_.empty()) {
    // A record that frees a segment may use the cleaner's reserve, because it gives back what it takes.  So may a
    // record behind a retired tail, because a tail is retired when it is about to be freed.
    const bool spares = head == Head::kHot && record.kind != format::RecordKind::kFree && !Retired(head);
    if (Status status = PlaceOpenBatch(head, bytes, spares ? kCleanerSegments : 0); !status.ok()) return status;
  }
  ++unit_records_;
  ++appended_;
  std::optional<std::uint64_t> place;
  if (pool_->level() >= kRecordChecksLevel) place = RecordPlace(open_at_ + open_.size(), OpenGeneration());
  return open_at_ + open_.Add(record, place);
}

Status Log::AppendFree(std::uint32_t index, Head head) {
  const Segment& segment = segments_.at(index);
  FAHA_CHECK(segments_.InUse(index) && segment.freed_by == Lsn{} &&
                 (&segment != segments_.Tail(segment.head) || (Retired(segment.head) && head == segment.head)),
             "a segment that no head fills is freed once");
  Lsn through = std::max(freed_through_, segment.last);
  for (const std::uint32_t pending : freed_) through = std::max(through, segments_.at(pending).last);
  const format::FreeNote note{.generation = segment.generation,
                              .digest = segment.digest,
                              .through = through.value,
                              .index = index,
                              .reserved = 0};
  const std::string_view value(reinterpret_cast<const char*>(&note), sizeof note);
  auto at = Append({.kind = format::RecordKind::kFree, .key = {}, .value = value}, head);
  EndUnit();
  return at.status();
}

// Decides where the open batch, whose first record has `record_bytes`, will be written; `reserve` segments stay free.
Status Log::PlaceOpenBatch(Head head, std::uint64_t record_bytes, std::uint32_t reserve) {
  open_segment_.reset();
  open_head_ = head;
  if (sizeof(BatchHeader) + record_bytes <= TailRoom(head)) {
    const Segment* tail = segments_.Tail(head);
    open_at_ = pool_->SegmentStart(tail->index) + tail->used_bytes;
    return Status::Ok();
  }
  if (segments_.free() <= reserve) return Full();
  open_segment_ = segments_.NextFree([this](std::uint32_t index) { return Held(index); });
  open_at_ = pool_->SegmentStart(*open_segment_);
  return Status::Ok();
}

Status Log::Seal() {
  EndUnit();
  return open_.empty() ? Status::Ok() : SealAs(false);
}

Status Log::SealAs(bool continues) {
  // A batch must not be written if it may have been made from bytes that were read wrongly.
  if (Status status = pool_->media().Health(); !status.ok()) return status;
  const Lsn lsn = end_.lsn.Next();
  if (open_segment_) {
    if (Status status = OpenSegment(*open_segment_, open_head_, OpenGeneration(), lsn); !status.ok()) return status;
  }
  Segment& segment = *segments_.Tail(open_head_);
  BatchHeader header{};
  header.flags =
      static_cast<std::uint16_t>((continues ? format::kUnitContinues : 0) | (continued_ ? format::kUnitContinued : 0) |
                                 (open_head_ == Head::kCold ? format::kColdHead : 0));
  header.lsn = lsn.value;
  header.epoch = epoch_.value;
  // The batches that a header calls committed must be durable here: otherwise a scan would take their loss for damage.
  header.committed = std::min(committed_, durable_).value;
  header.generation = segment.generation;
  header.digest = end_.digest;
  const auto bytes = open_.Seal(header, pool_->geometry().granule, pool_->log_key());
  ++sealed_batches_;
  sealed_bytes_ += bytes.size();
  Status status = WriteBatch(open_at_, bytes, BatchView::Trusted(bytes.data()), segment);
  open_.Reset();
  open_segment_.reset();
  continued_ = continues;
  return status;
}

// Only writes to a segment that is opened here can overwrite older batches that were not cut.
Status Log::OpenSegment(std::uint32_t index, Head head, std::uint64_t generation, Lsn first) {
  if (Held(index)) LoseHold(SpaceIsNeeded());
  segments_.Open(index, head, generation, first);
  retired_[static_cast<std::size_t>(head)] = false;
  return pool_->WriteEntry(index, generation, first, head);
}

Status Log::WriteBatch(LogAddress at, std::span<const std::byte> bytes, const BatchView& view, Segment& segment) {
  const BatchHeader& header = view.header();
  FAHA_CHECK(view.lsn() > end_.lsn && view.epoch() >= end_.epoch, "a batch out of order");
  segment.last = view.lsn();
  segment.used_bytes += bytes.size();
  segment.digest += header.checksum;
  if (view.lsn() > end_.lsn.Next()) freed_through_ = Lsn{header.lsn - 1};
  end_ = {view.epoch(), view.lsn(), header.digest + header.checksum};
  known_committed_ = std::max(known_committed_, Lsn{header.committed});
  if ((header.flags & format::kHasFree) != 0) TakeFrees(view);
  if (bytes.data() == pool_->media().bytes().data() + at.value) {
    pool_->media().Landed(at.value, bytes.size());
    return Status::Ok();
  }
  const IoStatus written = pool_->media().Write(at.value, bytes);
  if (!written.ok() && Mutated(Mutant::kWriteErrorIsNoSpace)) return Full();
  return written;
}

void Log::TakeFrees(const BatchView& view) {
  FAHA_CHECK(view.ForEach([&](const Record& record, std::uint64_t) {
    const auto note = ReadFreeNote(record);
    if (!note) return;
    end_.digest -= note->digest;
    Segment* segment = segments_.WithGeneration(note->generation);
    if (segment == nullptr) return;  // freed before this node was given the log
    segment->freed_by = view.lsn();
    freed_.push_back(segment->index);
  }),
             "records are checked before a batch enters the log");
}

Status Log::Drain() {
  if (Status status = pool_->media().Drain(); !status.ok()) return status;
  durable_ = end_.lsn;
  return Status::Ok();
}

// --- Landing.

namespace {
Status Bad(std::string_view what) { return {Code::kProtocol, fmt::format("a batch {}", what)}; }
}  // namespace

Status Log::Land(LogAddress at, std::span<const std::byte> bytes) {
  const Geometry geometry = pool_->geometry();
  const auto medium = pool_->media().bytes();
  const bool landed = bytes.data() >= medium.data() && bytes.data() < medium.data() + medium.size();
  if (landed && bytes.data() != medium.data() + at.value) return Bad("was put where it does not belong");
  const auto view = BatchView::Parse(bytes, pool_->log_key());
  if (!view) return Bad("fails its checksum");
  const BatchHeader& header = view->header();
  const bool follows = view->lsn() == end_.lsn.Next() && header.digest == end_.digest;
  const bool gap = gap_allowed_ && pool_->installing() && view->lsn() > end_.lsn;
  if ((!follows && !gap) || view->epoch() < end_.epoch) {
    return Bad(fmt::format("with LSN {} does not follow LSN {}", header.lsn, end_.lsn.value));
  }
  if (header.committed >= header.lsn) return Bad("says of itself that it was committed");
  // Only the size of the padding is checked: its bytes have no meaning, and no checksum covers them.
  if (bytes.size() != view->PaddedBytes(geometry.granule)) return Bad("has the wrong padding");
  if (!view->ForEach([](const Record&, std::uint64_t) {})) return Bad("holds records this release does not know");
  if (Status status = CheckFrees(*view, at); !status.ok()) return status;
  const auto head = PlaceOf(*view, at, bytes.size());
  if (!head.ok()) return head.status();
  const std::uint32_t index = pool_->SegmentOf(at);
  if (!segments_.InUse(index)) {
    if (Status status = OpenSegment(index, *head, header.generation, view->lsn()); !status.ok()) return status;
  }
  gap_allowed_ = false;
  // The batches that the header calls committed must be durable here, as when a batch is sealed.  This cannot be kept
  // for a batch that the peer's device has placed, because it is there already; should power fail before the drain,
  // this node may have to ask its peers.  A log that is being installed is not used before the install ends.
  if (!landed && !pool_->installing() && Lsn{header.committed} > durable_) {
    if (Status status = Drain(); !status.ok()) return status;
  }
  return WriteBatch(at, bytes, *view, segments_.at(index));
}

// The head whose tail the batch extends or whose next segment it opens.  Errors: Protocol - `at` is no such place.
Result<Head> Log::PlaceOf(const BatchView& view, LogAddress at, std::uint64_t bytes) const {
  const Geometry geometry = pool_->geometry();
  const BatchHeader& header = view.header();
  const Head head = HeadOf(header);
  const std::uint64_t end = format::kDataOffset + geometry.segment_count * geometry.segment_bytes;
  if (at.value < format::kDataOffset || at.value >= end) return Bad("lies outside the pool");
  const std::uint32_t index = pool_->SegmentOf(at);
  const LogAddress start = pool_->SegmentStart(index);
  if (at.value + bytes > start.value + geometry.segment_bytes) return Bad("crosses a segment's end");
  if (at == start) {
    const std::uint64_t last = segments_.last_generation();
    const bool newest = pool_->installing() ? header.generation > last : header.generation == last + 1;
    if (segments_.InUse(index)) return Bad(fmt::format("opens segment {}, which is in use", index));
    if (!newest) return Bad(fmt::format("opens generation {} after {}", header.generation, last));
    return head;
  }
  const Segment* tail = segments_.Tail(head);
  if (tail == nullptr || tail->index != index || header.generation != tail->generation ||
      at != start + tail->used_bytes) {
    return Bad("does not start where the last one ended");
  }
  return head;
}

// Checks that each segment which the batch frees is in use, is freed only once and is filled by no head.
Status Log::CheckFrees(const BatchView& view, LogAddress at) const {
  if ((view.header().flags & format::kHasFree) == 0) return Status::Ok();
  bool good = true;
  std::vector<std::uint64_t> seen;
  (void)view.ForEach([&](const Record& record, std::uint64_t) {
    if (record.kind != format::RecordKind::kFree) return;
    const auto note = ReadFreeNote(record);
    good = good && note && std::find(seen.begin(), seen.end(), note->generation) == seen.end();
    if (!good) return;
    seen.push_back(note->generation);
    const auto& in_order = segments_.in_order();
    const auto found = in_order.find(note->generation);
    if (found == in_order.end()) {
      good = pool_->installing();
      return;
    }
    const Segment& segment = segments_.at(found->second);
    // No head fills a tail any more if the batch itself is in the next segment of the same head.  While installing,
    // that next segment may be in a gap, so the tail is not checked.
    const bool filled = &segment == segments_.Tail(segment.head) && !pool_->installing() &&
                        (HeadOf(view.header()) != segment.head || pool_->SegmentOf(at) == segment.index);
    good = segment.index == note->index && segment.freed_by == Lsn{} && segment.digest == note->digest && !filled;
  });
  return good ? Status::Ok() : Bad("frees a segment that cannot be freed");
}

// Erases from the back, so that what is left at any moment is a log that ends earlier.
Status Log::EraseBehind(Lsn keep) {
  std::vector<LocatedBatch> batches;
  LogCursor cursor{.next = keep.Next()};
  while (auto batch = Next(cursor)) batches.push_back(*batch);
  if (batches.empty()) return Status::Ok();
  end_.digest = batches.front().view.header().digest;
  for (auto batch = batches.rbegin(); batch != batches.rend(); ++batch) {
    Segment& segment = segments_.at(pool_->SegmentOf(batch->at));
    segment.used_bytes -= batch->bytes.size();
    segment.digest -= batch->view.header().checksum;
    if (Status status = pool_->EraseBatch(batch->at); !status.ok()) return status;
  }
  return pool_->media().Drain();
}

Status Log::SpaceIsNeeded() {
  return {Code::kNoSpace, "what is written now needs the space that it was to be read from"};
}

Status Log::CutAfter(Lsn keep) {
  open_.Reset();
  open_segment_.reset();
  retired_ = {};
  EndUnit();
  // A unit that is cut in the middle never ends: the next batch belongs to another unit.
  if (!Mutated(Mutant::kUnitOutlivesCut)) continued_ = false;
  if (keep >= end_.lsn) return Status::Ok();
  FAHA_CHECK(keep >= known_committed_ && keep >= freed_through_, "a committed batch must not be cut");
  LoseHold({Code::kUnavailable, "a part of the log that it was to be read from is taken back"});
  if (Status status = EraseBehind(keep); !status.ok()) return status;
  for (const Head head : kHeads) {
    for (Segment* tail = segments_.Tail(head); tail != nullptr && tail->first > keep; tail = segments_.Tail(head)) {
      if (Status status = pool_->ClearEntry(tail->index); !status.ok()) return status;
      segments_.Release(tail->index, Lsn{});
    }
    Segment* tail = segments_.Tail(head);
    if (tail != nullptr && tail->last > keep) tail->last = BatchesFrom(*pool_, *tail, Lsn{}).back().lsn;
  }
  std::erase_if(freed_, [&](std::uint32_t index) {
    Segment& segment = segments_.at(index);
    if (segment.freed_by <= keep) return false;
    segment.freed_by = Lsn{};
    return true;
  });
  end_.lsn = keep;
  end_.epoch = Epoch{};
  if (keep.value > 0) {
    const auto last = Find(keep);
    FAHA_CHECK(last.has_value() || !pool_->Readable(), "the batch to keep is in the log");
    if (last) end_.epoch = last->view.epoch();
  }
  durable_ = std::min(durable_, keep);
  return pool_->media().Health();
}

void Log::Reset() {
  LoseHold({Code::kUnavailable, "this node gives its log up for another node's"});
  segments_ = SegmentMap(pool_->geometry().segment_count);
  freed_.clear();
  end_ = {};
  durable_ = known_committed_ = committed_ = freed_through_ = released_through_ = Lsn{};
  gap_allowed_ = false;
  retired_ = {};
  open_.Reset();
  open_segment_.reset();
  continued_ = false;
  EndUnit();
}

}  // namespace faha
