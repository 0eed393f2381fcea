// The keyspace as of one batch, for a forked process.  That process has the index as it was, by copy-on-write, but the
// pool as it is now, so the log writes to nothing that is still to be read.  See replica.h and segment_hold.h.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <utility>
#include <vector>

#include "base/check.h"
#include "log/record_kinds.h"
#include "store/replica.h"

namespace faha {

namespace {
// How many records ahead the index is prefetched.
constexpr std::size_t kAhead = 8;

Status Overwritten() { return {Code::kUnavailable, "a part of the log was written to before it was read"}; }

Status Damaged(LogAddress at) {
  return {Code::kCorrupt,
          fmt::format("the medium has lost what it held: the batch at byte {} was whole and is not what "
                      "it was any more",
                      at.value)};
}
}  // namespace

void Replica::Hold(const std::vector<std::uint32_t>& segments, std::function<void(const Status&)> lost) {
  std::vector<SegmentHold::Held> order;
  for (const std::uint32_t index : segments)
    order.push_back({index, BatchView::Trusted(pool_->SegmentBytes(index).data()).header()});
  log_->Hold(std::make_unique<SegmentHold>(std::move(order), log_->segments().count(), std::move(lost)));
}

void Replica::EndHold(const Status& outcome) {
  log_->EndHold();
  if (!outcome.ok()) health_->NoteProblem(outcome);
  // The process that read the snapshot has found the damage.
  if (outcome.code() == Code::kCorrupt) pool_->NoteDamage(outcome);
}

// True if the held segment still holds its old contents, or if only its first header was erased since, because the
// segment was given back.
bool Replica::IsHeld(const SegmentHold::Held& held) const {
  const format::BatchHeader given_back{};
  const format::BatchHeader now = BatchView::Trusted(pool_->SegmentBytes(held.index).data()).header();
  return std::memcmp(&now, &held.first, sizeof now) == 0 || std::memcmp(&now, &given_back, sizeof now) == 0;
}

// Errors: Unavailable - the segment was written to meanwhile: a peer's device may do that without this process seeing
// it, but it always begins at the front; Corrupt.
Status Replica::ReadSegment(const SegmentHold::Held& held, const Store::HeldVisitor& visit, bool& goes_on) const {
  const Segment& segment = log_->segments().at(held.index);
  const std::byte* start = pool_->SegmentBytes(segment.index).data();
  const LogAddress at = pool_->SegmentStart(segment.index);
  const auto header_at = [start](std::uint64_t offset) { return BatchView::Trusted(start + offset).header(); };
  struct Found {
    Record record;
    std::uint64_t hash;
    LogAddress at;
  };
  std::vector<Found> found;
  for (std::uint64_t offset = 0; goes_on && offset < segment.used_bytes;) {
    const auto batch = BatchView::Trusted(offset == 0 ? held.first : header_at(offset), start + offset);
    const std::uint64_t bytes = batch.PaddedBytes(pool_->geometry().granule);
    const bool fits = batch.header().generation == segment.generation && bytes <= segment.used_bytes - offset;
    if (!fits || !log_->IsIntact(batch, at + offset)) return IsHeld(held) ? Damaged(at + offset) : Overwritten();
    found.clear();
    const bool well_formed = batch.ForEach([&](const Record& record, std::uint64_t in_batch) {
      if (record.kind != format::RecordKind::kPut || record.large) return;
      found.push_back({record, 0, at + offset + in_batch});
    });
    if (!well_formed) return Overwritten();
    for (std::size_t i = 0; i < std::min(found.size(), kAhead); ++i)
      found[i].hash = engine_->PrepareMove(found[i].record);
    for (std::size_t i = 0; i < found.size() && goes_on; ++i) {
      if (i + kAhead < found.size()) found[i + kAhead].hash = engine_->PrepareMove(found[i + kAhead].record);
      const Record& record = found[i].record;
      if (!engine_->IsNewest(record, found[i].hash, found[i].at)) continue;
      goes_on = visit(engine_->Named(record.db), record.key, {record.value, record.expire_at, record.type});
    }
    offset += bytes;
  }
  std::atomic_thread_fence(std::memory_order_seq_cst);
  return IsHeld(held) ? Status::Ok() : Overwritten();
}

// The elements of a large collection may be anywhere, so these collections are read while all segments are still held.
Status Replica::ReadLarge(const SegmentHold& hold, const Store::HeldVisitor& visit, bool& goes_on) const {
  engine_->ForEachLarge([&](const Large& large) {
    if (!goes_on) return;
    const auto record = engine_->ElementAt(large.owner, RecordPart::kAll);
    if (!record || !engine_->IsNewest(*record, large.owner)) return;
    goes_on = visit(engine_->Named(record->db), record->key, {record->value, record->expire_at, record->type, true});
  });
  const auto held = [this](const SegmentHold::Held& each) { return IsHeld(each); };
  if (hold.lost() || !std::all_of(hold.order().begin(), hold.order().end(), held)) return Overwritten();
  return engine_->misread() ? pool_->damage() : Status::Ok();
}

Status Replica::ReadHeld(const Store::HeldVisitor& visit) const {
  SegmentHold* hold = log_->hold();
  FAHA_CHECK(hold != nullptr, "what is read is held");
  bool goes_on = true;
  if (Status read = ReadLarge(*hold, visit, goes_on); !read.ok() || !goes_on) return read;
  for (const SegmentHold::Held& held : hold->order()) {
    const Status read = ReadSegment(held, visit, goes_on);
    // Bytes that cannot be read may look like anything, so the medium is checked before the result is used.
    if (Status health = pool_->media().Health(); !health.ok()) return health;
    if (!goes_on) break;
    if (!read.ok()) return read;
    if (!hold->Read()) return Overwritten();
  }
  return Status::Ok();
}

}  // namespace faha
