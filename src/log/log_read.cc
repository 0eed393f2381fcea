// Reading batches in order, and space.  See log.h.
#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "base/mutant.h"
#include "log/log.h"

namespace faha {

Record Log::RecordAt(LogAddress at) const { return TrustedRecord(BytesAt(at)); }

std::span<const std::byte> Log::RecordBytesAt(LogAddress at) const {
  const std::byte* bytes = BytesAt(at);
  return {bytes, TrustedRecord(bytes).bytes};
}

// Can a batch of `segment` have that header at that place?  This check is cheap enough for each step of a walk.
bool Log::IsPlausible(const BatchView& batch, const Segment& segment, const LogCursor::Place& place) const {
  const format::BatchHeader& header = batch.header();
  const LogAddress at = place.at;
  const std::uint64_t end = pool_->SegmentStart(segment.index).value + segment.used_bytes;
  const bool in_order = place.before == Lsn{} ? batch.lsn() == segment.first : batch.lsn() > place.before;
  if (header.magic == BatchMagic(pool_->log_key()) && header.generation == segment.generation &&
      HeadOf(header) == segment.head && in_order && batch.lsn() <= segment.last &&
      header.payload_bytes < end - at.value && batch.PaddedBytes(pool_->geometry().granule) <= end - at.value) {
    return true;
  }
  NoteDamage("batch", at);
  return false;
}

// The walk has come to the end of the segment: was the batch before it the segment's last one, as it should be?
bool Log::IsPassed(const Segment& segment, const LogCursor::Place& place) const {
  if (place.before == segment.last) return true;
  NoteDamage("batch", place.at);
  return false;
}

// Moves the cursor's place in `head` to the first batch at or behind cursor.next, if there is one yet.  Where cleaning
// may have left gaps, the checksums of the batches that are passed over are verified, too: if damage had given a batch
// a lower LSN, it would be passed over and nobody would notice that it is missing.
Log::Ahead Log::Settle(Head head, LogCursor& cursor) const {
  auto& place = cursor.places[static_cast<std::size_t>(head)];
  const Segment* segment = segments_.WithGeneration(place.generation);
  const auto end_of = [&](const Segment& s) { return pool_->SegmentStart(s.index) + s.used_bytes; };
  const auto enter = [&](const Segment* next) {
    segment = next;
    if (next != nullptr) place = {next->generation, pool_->SegmentStart(next->index)};
    return next != nullptr;
  };
  if (segment == nullptr && !enter(segments_.Around(head, cursor.next))) return Ahead::kNothing;
  const std::byte* base = pool_->media().bytes().data();
  while (true) {
    while (place.at >= end_of(*segment)) {
      if (!IsPassed(*segment, place)) return Ahead::kDamage;
      if (!enter(segments_.After(*segment))) return Ahead::kNothing;
    }
    const auto view = BatchView::Trusted(base + place.at.value);
    if (!IsPlausible(view, *segment, place)) return Ahead::kDamage;
    if (view.lsn() >= cursor.next) return Ahead::kBatch;
    if (!cursor.trusting && cursor.next <= freed_through_ && !IsIntact(view, place.at)) return Ahead::kDamage;
    place.before = view.lsn();
    place.at = place.at + view.PaddedBytes(pool_->geometry().granule);
  }
}

std::optional<LocatedBatch> Log::Next(LogCursor& cursor) const {
  std::optional<LocatedBatch> first;
  Head of = Head::kHot;
  for (const Head head : kHeads) {
    const Ahead ahead = Settle(head, cursor);
    if (ahead == Ahead::kDamage) return std::nullopt;  // the other head's batch may be a later one
    if (ahead == Ahead::kNothing) continue;
    const LogAddress at = cursor.places[static_cast<std::size_t>(head)].at;
    const std::byte* bytes = pool_->media().bytes().data() + at.value;
    const auto view = BatchView::Trusted(bytes);
    if (first && view.lsn() > first->view.lsn()) continue;
    const Segment& segment = segments_.at(pool_->SegmentOf(at));
    first = LocatedBatch{view,
                         at,
                         {bytes, view.PaddedBytes(pool_->geometry().granule)},
                         segment.reused_after,
                         view.lsn() == segment.first};
    of = head;
  }
  // Behind freed_through() no LSN is missing.  So if the batch is not found there, damage has changed its header or the
  // header of a batch before it.
  const bool must_be = cursor.next > freed_through_ && cursor.next <= end_.lsn;
  if (must_be && (!first || first->view.lsn() != cursor.next)) {
    NoteDamage("batch", first ? first->at : LogAddress{});
    return std::nullopt;
  }
  if (!first) return std::nullopt;
  cursor.next = first->view.lsn().Next();
  auto& place = cursor.places[static_cast<std::size_t>(of)];
  place.before = first->view.lsn();
  place.at = place.at + first->bytes.size();
  return first;
}

std::vector<LocatedBatch> Log::ConfigsAtOpen() const {
  std::vector<LocatedBatch> batches;
  for (const LogAddress at : configs_at_open_) {
    const std::byte* bytes = pool_->media().bytes().data() + at.value;
    const auto view = BatchView::Trusted(bytes);
    batches.push_back({view, at, {bytes, view.PaddedBytes(pool_->geometry().granule)}, {}, false});
  }
  return batches;
}

void Log::NoteDamage(std::string_view what, LogAddress at) const {
  pool_->NoteDamage(
      {Code::kCorrupt, fmt::format("the pool was changed by somebody else, or its medium has lost what it held: the {} "
                                   "at byte {} was whole and fails its checksum",
                                   what, at.value)});
}

bool Log::IsAsWritten(LogAddress at, RecordPart part) const {
  const std::uint64_t end = IsOpen(at)
                                ? open_at_.value + open_.size()
                                : pool_->SegmentStart(pool_->SegmentOf(at)).value + pool_->geometry().segment_bytes;
  const std::uint64_t generation = IsOpen(at) ? OpenGeneration() : GenerationAt(at);
  const bool as_written = faha::IsAsWritten({BytesAt(at), end - at.value}, part, RecordPlace(at, generation));
  if (as_written || Mutated(Mutant::kReadsUnchecked)) return true;
  NoteDamage("record", at);
  return false;
}

bool Log::IsIntact(const BatchView& batch, LogAddress at) const {
  const std::uint64_t end = pool_->SegmentStart(pool_->SegmentOf(at)).value + pool_->geometry().segment_bytes;
  const bool fits = batch.PaddedBytes(pool_->geometry().granule) <= end - at.value;
  if (fits && batch.IsWhole(pool_->log_key())) return true;
  NoteDamage("batch", at);
  return false;
}

bool Log::AreIntact(std::uint64_t count) const {
  LogCursor cursor{.next = Lsn{end_.lsn.value >= count ? end_.lsn.value - count + 1 : 1}};
  while (cursor.next <= end_.lsn) {
    const auto batch = Next(cursor);
    if (!batch || !IsIntact(batch->view, batch->at)) return false;
  }
  return true;
}

std::optional<LocatedBatch> Log::Find(Lsn lsn) const {
  LogCursor cursor{.next = lsn, .trusting = true};
  auto batch = Next(cursor);
  if (batch && batch->view.lsn() != lsn) batch.reset();
  return batch;
}

std::optional<LocatedBatch> Log::PlacedBehindEnd() const {
  for (const Head head : kHeads) {
    const Segment* tail = segments_.Tail(head);
    if (tail == nullptr) continue;
    const auto rest = pool_->SegmentBytes(tail->index).subspan(tail->used_bytes);
    const auto view = BatchView::Parse(rest, pool_->log_key());
    if (!view || view->lsn() != end_.lsn.Next()) continue;
    const std::uint64_t bytes = view->PaddedBytes(pool_->geometry().granule);
    if (bytes > rest.size()) continue;
    return LocatedBatch{*view, pool_->SegmentStart(tail->index) + tail->used_bytes, rest.first(bytes), {}, false};
  }
  return std::nullopt;
}

Status Log::ErasePlaced() {
  for (const Head head : kHeads) {
    const Segment* tail = segments_.Tail(head);
    if (tail == nullptr) continue;
    if (Status status = pool_->EraseFrom(tail->index, tail->used_bytes); !status.ok()) return status;
  }
  for (std::uint32_t i = 0; i < pool_->geometry().segment_count; ++i) {
    if (segments_.InUse(i) || pool_->IsForgotten(i)) continue;
    if (Status status = pool_->ClearEntry(i); !status.ok()) return status;
    if (Status status = pool_->EraseFrom(i, 0); !status.ok()) return status;
  }
  return pool_->media().Drain();
}

Status Log::EraseResidue() {
  for (const auto& [generation, index] : segments_.in_order()) {
    const auto bytes = pool_->SegmentBytes(index);
    std::vector<LogAddress> residue;
    for (std::uint64_t at = segments_.at(index).used_bytes; at < bytes.size();) {
      const auto view = BatchView::Parse(bytes.subspan(at), pool_->log_key());
      if (!view || view->header().generation != generation || view->epoch() >= end_.epoch) break;
      residue.push_back(pool_->SegmentStart(index) + at);
      at += view->PaddedBytes(pool_->geometry().granule);
    }
    // From the back, as whenever a log is cut.
    for (auto at = residue.rbegin(); at != residue.rend(); ++at) {
      if (Status status = pool_->EraseBatch(*at); !status.ok()) return status;
    }
  }
  return pool_->media().Drain();
}

// --- Space.

Status Log::Full() const {
  return {Code::kNoSpace,
          fmt::format("the pool is full ({} segments of {} bytes): delete keys, or raise faha.pool-bytes on every node",
                      pool_->geometry().segment_count, pool_->geometry().segment_bytes)};
}

bool Log::HasRoom(std::uint64_t bytes, std::uint32_t reserve) const {
  const std::uint64_t segment_bytes = pool_->geometry().segment_bytes;
  const std::uint64_t granule = pool_->geometry().granule;
  const std::uint32_t reserved = reserve + (open_segment_ ? 1 : 0);  // the open batch takes one of the free segments
  const std::uint64_t open_room = open_segment_ ? segment_bytes : TailRoom(Head::kHot);
  const std::uint64_t used = open_.empty() ? sizeof(format::BatchHeader) : open_.size();
  const std::uint32_t free = segments_.free();
  if (free >= reserved && used + bytes + granule <= open_room) return true;
  // A record that does not fit into the rest of a segment wastes that rest: at worst half of every segment.
  const std::uint64_t segments = 1 + 2 * bytes / segment_bytes;
  return free >= reserved + segments;
}

std::uint64_t Log::MaxRecordBytes() const { return pool_->geometry().segment_bytes - sizeof(format::BatchHeader); }

std::uint64_t Log::UsedBytes() const {
  std::uint64_t used = 0;
  for (const auto& [generation, index] : segments_.in_order()) used += segments_.at(index).used_bytes;
  return used;
}

// Does `segment` hold the record that frees a segment which has not been given back yet?
bool Log::HoldsPendingFree(const Segment& segment) const {
  return std::any_of(freed_.begin(), freed_.end(), [&](std::uint32_t index) {
    const Lsn freed_by = segments_.at(index).freed_by;
    return segment.first <= freed_by && freed_by <= segment.last;
  });
}

Status Log::Release(Lsn committed, const std::function<bool(const Segment&)>& may) {
  const Lsn limit = std::min(committed, durable_);
  for (auto at = freed_.begin(); at != freed_.end();) {
    const Segment& segment = segments_.at(*at);
    if (segment.freed_by > limit) break;
    // A segment is given back only after the segments that its records free: a scan that found one of those without the
    // record that frees it would take it for a part of the log.
    if (HoldsPendingFree(segment) || !may(segment)) {
      ++at;
      continue;
    }
    released_through_ = std::max(released_through_, segment.freed_by);
    // What is given back does not come back, so the free must not be cut: a node that leads alone commits frees that
    // the primary of another part does not have.
    if (!Mutated(Mutant::kReusesEarly)) known_committed_ = std::max(known_committed_, segment.freed_by);
    if (Status status = GiveBack(segment.index, segment.freed_by); !status.ok()) return status;
    at = freed_.erase(at);
  }
  return Status::Ok();
}

// The entry is cleared durably before the segment is used again, so that a scan does not find its old use, too.
Status Log::GiveBack(std::uint32_t index, Lsn freed_by) {
  if (Status status = pool_->ClearEntry(index); !status.ok()) return status;
  freed_through_ = std::max(freed_through_, segments_.at(index).last);
  segments_.Release(index, freed_by);
  return Status::Ok();
}

Status Log::ReleaseUnlisted(std::span<const std::uint64_t> in_use, Lsn freed_by,
                            const std::function<void(const Segment&)>& leaving) {
  FAHA_CHECK(pool_->installing(), "only a log that is being received may lose segments that no record in it frees");
  std::vector<std::uint32_t> gone;
  for (const auto& [generation, index] : segments_.in_order()) {
    if (!std::binary_search(in_use.begin(), in_use.end(), generation)) gone.push_back(index);
  }
  for (const std::uint32_t index : gone) {
    leaving(segments_.at(index));
    std::erase(freed_, index);
    if (Status status = GiveBack(index, freed_by); !status.ok()) return status;
  }
  return Status::Ok();
}

std::vector<std::uint64_t> Log::Generations() const {
  std::vector<std::uint64_t> generations;
  generations.reserve(segments_.size());
  for (const auto& [generation, index] : segments_.in_order()) generations.push_back(generation);
  return generations;
}

bool Log::AddsUp() const {
  std::uint64_t sum = 0;
  for (const auto& [generation, index] : segments_.in_order()) {
    if (segments_.at(index).freed_by == Lsn{}) sum += segments_.at(index).digest;
  }
  return sum == end_.digest;
}

Lsn Log::released_through() const {
  Lsn through = released_through_;
  for (const std::uint32_t index : freed_) through = std::min(through, Lsn{segments_.at(index).freed_by.value - 1});
  return through;
}

}  // namespace faha
