// Reading batches in order, and space.  See log.h.
#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "log/log.h"

namespace faha {

Record Log::RecordAt(LogAddress at) const { return TrustedRecord(BytesAt(at)); }

std::span<const std::byte> Log::RecordBytesAt(LogAddress at) const {
  const std::byte* bytes = BytesAt(at);
  return {bytes, TrustedRecord(bytes).bytes};
}

// Moves the cursor's place in `head` to the first batch at or behind cursor.next; false if there is none yet.
bool Log::Settle(Head head, LogCursor& cursor) const {
  auto& place = cursor.places[static_cast<std::size_t>(head)];
  const Segment* segment = segments_.WithGeneration(place.generation);
  const auto end_of = [&](const Segment& s) { return pool_->SegmentStart(s.index) + s.used_bytes; };
  const auto enter = [&](const Segment* next) {
    segment = next;
    if (next != nullptr) place = {next->generation, pool_->SegmentStart(next->index)};
    return next != nullptr;
  };
  if (segment == nullptr && !enter(segments_.Around(head, cursor.next))) return false;
  const std::byte* base = pool_->media().bytes().data();
  while (true) {
    while (place.at >= end_of(*segment)) {
      if (!enter(segments_.After(*segment))) return false;
    }
    const auto view = BatchView::Trusted(base + place.at.value);
    if (view.lsn() >= cursor.next) return true;
    place.at = place.at + view.PaddedBytes(pool_->geometry().granule);
  }
}

std::optional<LocatedBatch> Log::Next(LogCursor& cursor) const {
  std::optional<LocatedBatch> first;
  Head of = Head::kHot;
  for (const Head head : kHeads) {
    if (!Settle(head, cursor)) continue;
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
  if (!first) return std::nullopt;
  cursor.next = first->view.lsn().Next();
  auto& place = cursor.places[static_cast<std::size_t>(of)];
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

std::optional<LocatedBatch> Log::Find(Lsn lsn) const {
  LogCursor cursor{.next = lsn};
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

// --- Space.

Status Log::Full() const {
  return {Code::kNoSpace,
          fmt::format("the pool is full ({} segments of {} bytes): delete keys, or raise faha.pool-bytes on every node",
                      pool_->geometry().segment_count, pool_->geometry().segment_bytes)};
}

bool Log::HasRoom(std::uint64_t bytes, std::uint32_t reserve) const {
  const std::uint64_t segment_bytes = pool_->geometry().segment_bytes;
  const std::uint64_t granule = pool_->geometry().granule;
  const std::uint32_t reserved = reserve + (open_segment_ ? 1 : 0);  // its own is not free any more
  const std::uint64_t open_room = open_segment_ ? segment_bytes : TailRoom(Head::kHot);
  const std::uint64_t used = open_.empty() ? sizeof(format::BatchHeader) : open_.size();
  const std::uint32_t free = segments_.free();
  if (free >= reserved && used + bytes + granule <= open_room) return true;
  // A record that does not fit into the rest of a segment wastes it: at worst half of every segment.
  const std::uint64_t segments = 1 + 2 * bytes / segment_bytes;
  return free >= reserved + segments;
}

std::uint64_t Log::MaxRecordBytes() const { return pool_->geometry().segment_bytes - sizeof(format::BatchHeader); }

std::uint64_t Log::UsedBytes() const {
  std::uint64_t used = 0;
  for (const auto& [generation, index] : segments_.in_order()) used += segments_.at(index).used_bytes;
  return used;
}

Status Log::Release(Lsn committed, const std::function<bool(const Segment&)>& may) {
  const Lsn limit = std::min(committed, durable_);
  while (!freed_.empty()) {
    const Segment& segment = segments_.at(freed_.front());
    if (segment.freed_by > limit || !may(segment)) break;
    // Durable before it is used again, and before the record that freed it can be freed: a scan must not find it again.
    if (Status status = pool_->ClearEntry(segment.index); !status.ok()) return status;
    freed_through_ = std::max(freed_through_, segment.last);
    released_through_ = segment.freed_by;
    segments_.Release(segment.index, segment.freed_by);
    freed_.erase(freed_.begin());
  }
  return Status::Ok();
}

}  // namespace faha
