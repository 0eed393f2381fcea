#include "store/cleaner.h"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "base/check.h"
#include "log/record_kinds.h"

namespace faha {

namespace {
// A victim in which more than this part is needed gives back less than the work costs.
constexpr double kFullest = 0.97;
// If tombstones fill more than the pool's size divided by this, they must go, and they can go only when everything
// older has been moved.
constexpr std::uint64_t kTombstoneShare = 16;
// The part of a segment that may be moved in addition if this avoids giving a member the whole log.
constexpr double kSparing = 0.15;
// The least part of a segment, in tombstones or in room that no client can use, for which it is worth moving a segment.
constexpr double kLeastGain = 0.125;
// How many records ahead the index is prefetched.
constexpr std::size_t kAhead = 8;

bool IsFew(std::size_t free, const SegmentMap& segments) {
  return free <= Log::kReservedSegments + 2 + segments.count() / 128;
}
}  // namespace

bool Cleaner::Needed() const { return IsFew(log_->segments().free() + log_->pending_frees(), log_->segments()); }

bool Cleaner::SpaceIsShort() const { return IsFew(log_->segments().free(), log_->segments()); }

std::uint64_t Cleaner::Share(std::uint64_t appended) const {
  const double room = std::max(1 - needed_, 0.02);
  return static_cast<std::uint64_t>(static_cast<double>(appended) * 1.25 / room);
}

std::uint64_t Cleaner::NeededBytes(const Segment& segment) const {
  const SegmentUsage& usage = engine_->usage().of(segment.index);
  return usage.live_bytes + (OldestBut(segment.index) < segment.last ? usage.tombstone_bytes : 0);
}

double Cleaner::NeededPart(const Segment& segment) const {
  return 1 - static_cast<double>(DeadBytes(segment)) / static_cast<double>(log_->pool().geometry().segment_bytes);
}

Lsn Cleaner::OldestBut(std::uint32_t victim) const {
  for (const auto& [generation, index] : log_->segments().in_order()) {
    const Segment& segment = log_->segments().at(index);
    if (index != victim && segment.freed_by == Lsn{}) return segment.first;
  }
  return Lsn{~0ULL};
}

bool Cleaner::Eligible(const Segment& segment, Lsn limit) const { return !IsTail(segment) && MayGo(segment, limit); }

bool Cleaner::MayGo(const Segment& segment, Lsn limit) const {
  const SegmentMap& segments = log_->segments();
  if (segment.freed_by != Lsn{} || segment.last > limit) return false;
  // A flush hides everything older; it cannot be moved, because it would then also hide what was put since.
  if (engine_->usage().of(segment.index).flushes > 0 && OldestBut(segment.index) < segment.last) return false;
  // If a unit goes on from one segment to the next, the segment with its first part is freed first: a unit without its
  // end would be dropped.
  const auto view = BatchView::Trusted(log_->pool().SegmentBytes(segment.index).data());
  if ((view.header().flags & format::kUnitContinued) == 0) return true;
  const Segment* before = segments.Around(segment.head, Lsn{segment.first.value - 1});
  return before == nullptr || before->last.Next() != segment.first || before->freed_by != Lsn{};
}

// The segment that the cold head fills, if it keeps tombstones or flushes of another segment from being dropped: the
// records in it are older.
std::optional<std::uint32_t> Cleaner::OldColdTail(Lsn limit, bool hurried) const {
  const SegmentMap& segments = log_->segments();
  const Segment* tail = segments.Tail(Head::kCold);
  if (tail == nullptr || tail->last > limit) return std::nullopt;
  // The hot tail can be a victim only for a client that waits.  And a few tombstones are not worth moving a segment:
  // while clients delete, there are always some.
  bool pins = false;
  std::uint64_t tombstones = 0;
  for (const auto& [generation, index] : segments.in_order()) {
    const Segment& other = segments.at(index);
    if (&other == tail || other.freed_by != Lsn{} || tail->first >= other.last) continue;
    if (IsTail(other) && !(hurried && Gain(other) >= kLeastGain)) continue;
    pins = pins || engine_->usage().of(index).flushes > 0;
    tombstones += engine_->usage().of(index).tombstone_bytes;
  }
  const auto least =
      static_cast<std::uint64_t>(static_cast<double>(log_->pool().geometry().segment_bytes) * kLeastGain);
  if (!pins && tombstones < least) return std::nullopt;
  return tail->index;
}

std::uint64_t Cleaner::DeadBytes(const Segment& segment) const {
  const std::uint64_t size = log_->pool().geometry().segment_bytes, needed = NeededBytes(segment);
  // Space that the segment never used is not gained by moving its records, because large records leave as much space
  // unused in other segments.  But a segment that is not even half full was left early, at the end of a term or because
  // of its age, and all of its unused space is gained.  In a segment that is still being filled, the unused space is
  // not lost.
  const bool left_early = !IsTail(segment) && segment.used_bytes < size / 2;
  const std::uint64_t holds = left_early ? size : segment.used_bytes;
  return holds - std::min(holds, needed);
}

// To the dead bytes in the segment, this adds the room in the cold tail.  Clients cannot use that room; it is filled
// with the records that must be moved, so clients get as much more room in the segment that is given back.  Records
// that overflow the cold tail must then fit into the hot tail, or, when the hot tail itself is the victim, into the
// next segment of the hot head.  The cold tail itself overflows into no other head, because the next segment of the
// cold head holds the record that frees it.
double Cleaner::Gain(const Segment& segment) const {
  const std::uint64_t size = log_->pool().geometry().segment_bytes, needed = NeededBytes(segment);
  std::uint64_t gain = DeadBytes(segment);
  if (!IsTail(segment) || segment.head == Head::kHot) {
    const std::uint64_t cold_room = log_->TailRoom(Head::kCold), slack = size / 16;
    const std::uint64_t hot_room = IsTail(segment) ? size : log_->TailRoom(Head::kHot);
    const bool overflow_fits = needed + slack <= cold_room + hot_room;
    if (IsTail(segment) && !overflow_fits) return 0;
    const bool counts = static_cast<double>(cold_room) >= kLeastGain * static_cast<double>(size);
    if (overflow_fits && counts) gain += std::min(cold_room, needed);
  }
  return static_cast<double>(gain) / static_cast<double>(size);
}

// For a client that waits: chooses from all segments, including those that the heads are filling.  In a small pool much
// of what is dead may be in these, and a full pool has no space to fill other segments.
std::optional<std::uint32_t> Cleaner::MostGain(Lsn limit, double least) const {
  std::optional<std::uint32_t> best;
  for (const auto& [generation, index] : log_->segments().in_order()) {
    const Segment& segment = log_->segments().at(index);
    if (!MayGo(segment, limit)) continue;
    const double gain = Gain(segment);
    if (gain < least) continue;
    best = index;
    least = gain;
  }
  return best;
}

// A member that has not received a victim's batches must later be given the whole log.  So the cleaner prefers a victim
// that every member has, and waits if there is none.  But a member that is behind, or gone, must not cost the others
// their space: if space is short, or if sparing that member would mean moving much more, the best victim is taken.
std::optional<std::uint32_t> Cleaner::Choose(Lsn committed, Lsn everywhere, bool hurried) const {
  const bool is_short = hurried || log_->segments().free() + log_->pending_frees() <= Log::kReservedSegments + 1;
  const auto part = [&](std::uint32_t index) { return NeededPart(log_->segments().at(index)); };
  auto best = ChooseUpTo(committed, true);
  if (hurried) {
    const double gain = best ? 1 - part(*best) + kSparing : 1 - kFullest;
    if (const auto better = MostGain(committed, gain)) return better;
  }
  if (!best) return OldColdTail(committed, hurried);
  // A segment that a hold needs gives no space before it was read or the hold is lost: another victim that is about as
  // good is taken, or none for now.
  const bool held = is_short || !log_->Held(*best);
  if (!held) {
    const auto other = ChooseUpTo(committed, false);
    if (!other || part(*other) > part(*best) + kSparing) return std::nullopt;
    best = other;
  }
  if (is_short || log_->segments().at(*best).last <= everywhere) return best;
  const auto kept = ChooseUpTo(std::min(committed, everywhere), held);
  return kept && part(*kept) > part(*best) + kSparing ? best : kept;
}

double Cleaner::Worth(const Segment& segment, double needed) const {
  const auto age = static_cast<double>(log_->segments().last_generation() - segment.generation);
  return (1 - needed) * age / (1 + needed);
}

std::vector<std::uint32_t> Cleaner::BestFirst() const {
  std::vector<std::pair<double, std::uint32_t>> found;
  for (const auto& [generation, index] : log_->segments().in_order()) {
    const Segment& segment = log_->segments().at(index);
    if (engine_->usage().of(index).live_bytes != 0) found.emplace_back(-Worth(segment, NeededPart(segment)), index);
  }
  std::sort(found.begin(), found.end());
  std::vector<std::uint32_t> order;
  order.reserve(found.size());
  for (const auto& [worth, index] : found) order.push_back(index);
  return order;
}

std::optional<std::uint32_t> Cleaner::ChooseUpTo(Lsn limit, bool held) const {
  const SegmentMap& segments = log_->segments();
  const std::uint64_t pool = std::uint64_t{segments.count()} * log_->pool().geometry().segment_bytes;
  const bool oldest = engine_->usage().tombstone_bytes() > pool / kTombstoneShare;
  std::optional<std::uint32_t> best;
  double best_score = 0;
  for (const auto& [generation, index] : segments.in_order()) {
    const Segment& segment = segments.at(index);
    if (!Eligible(segment, limit) || (!held && log_->Held(index))) continue;
    if (oldest) return index;
    const double needed = NeededPart(segment);
    if (needed > kFullest) continue;
    const double score = Worth(segment, needed);
    if (best && score <= best_score) continue;
    best = index;
    best_score = score;
  }
  return best;
}

bool Cleaner::WantsConfig() const {
  if (!victim_) return false;
  const Segment& segment = log_->segments().at(*victim_);
  return segment.first <= config_ && config_ <= segment.last;
}

Result<bool> Cleaner::Step(std::uint64_t bytes, Lsn committed, Lsn everywhere, bool hurried) {
  FAHA_CHECK(!log_->HasOpenBatch(), "the cleaner works between batches");
  if (!log_->pool().damage().ok()) return false;
  hurried_ = hurried || (victim_ && hurried_);
  if (!victim_) {
    // Until what was flushed is taken down it counts as live, and the choice is not the best.  Only who is in a hurry
    // does not wait for that.
    const bool more = engine_->SettleSome();
    if (more && !hurried) return true;
    victim_ = Choose(committed, everywhere, hurried);
    offset_ = 0;
    if (!victim_) return more;
    const Segment& chosen = log_->segments().at(*victim_);
    if (IsTail(chosen)) log_->RetireTail(chosen.head);
    needed_ += (NeededPart(chosen) - needed_) / 4;
    if (NeededBytes(chosen) == 0) offset_ = chosen.used_bytes;  // it has nothing to move
  }
  oldest_ = OldestBut(*victim_);
  const std::uint64_t before = offset_;
  const Segment& segment = log_->segments().at(*victim_);
  const std::byte* start = log_->pool().SegmentBytes(*victim_).data();
  const LogAddress at = log_->pool().SegmentStart(*victim_);
  const std::uint64_t end = std::min(segment.used_bytes, offset_ + std::max<std::uint64_t>(bytes, 1));
  Status status;
  while (status.ok() && offset_ < end) {
    const auto batch = BatchView::Trusted(start + offset_);
    // A moved record gets a new checksum, which must not confirm a record that was damaged since it was written.
    if (!log_->IsIntact(batch, at + offset_)) {
      victim_.reset();
      break;
    }
    status = MoveBatch(batch, at + offset_);
    if (status.ok()) offset_ += batch.PaddedBytes(log_->pool().geometry().granule);
  }
  if (status.ok() && victim_ && offset_ >= segment.used_bytes && !WantsConfig()) {
    status = FreeVictim();
    if (status.ok()) ++stats_.segments;
    // If there is no room for the record that frees this victim, another victim may need less.
    if (status.ok() || status.code() == Code::kNoSpace) victim_.reset();
  }
  // If there is no room for a move, the slice ends before the move, and the next slice tries again.
  const bool stuck = status.code() == Code::kNoSpace;
  const bool worked = log_->HasOpenBatch() || offset_ > before;
  if (status.ok() || stuck) status = log_->Seal();
  if (!status.ok()) return status;
  return worked;
}

Result<Head> Cleaner::HeadFor(std::uint64_t bytes, bool frees) {
  // A tail is freed by a record in the next segment of its head.
  const Segment& victim = log_->segments().at(*victim_);
  const bool leaves_hot = IsTail(victim) && victim.head == Head::kHot, leaves_cold = IsTail(victim) && !leaves_hot;
  const bool overflows = hurried_ && !leaves_cold && !log_->FitsTail(Head::kCold, bytes);
  const bool hot = leaves_hot ? frees || overflows : overflows && log_->FitsTail(Head::kHot, bytes);
  const Head head = hot ? Head::kHot : Head::kCold;
  if (log_->HasOpenBatch() && log_->open_head() != head) {
    if (Status status = log_->Seal(); !status.ok()) return status;
  }
  return head;
}

Status Cleaner::FreeVictim() {
  auto head = HeadFor(engine_->SwapBytes());
  if (!head.ok()) return head.status();
  if (Status status = engine_->MoveSwap(*victim_, *head); !status.ok()) return status;
  head = HeadFor(format::RecordBytes(0, sizeof(format::FreeNote), false), true);
  if (!head.ok()) return head.status();
  return log_->AppendFree(*victim_, *head);
}

Status Cleaner::MoveBatch(const BatchView& batch, LogAddress at) {
  struct Found {
    Record record;
    std::uint64_t hash;
    LogAddress at;
  };
  std::vector<Found> found;
  found.reserve(batch.header().record_count);
  const bool well_formed = batch.ForEach([&](const Record& record, std::uint64_t offset) {
    const WhenCleaned what = InfoOf(record.kind).when_cleaned;
    const bool may_move = what == WhenCleaned::kMovedIfNewest || what == WhenCleaned::kMovedIfHiding;
    if (may_move) found.push_back({record, 0, at + offset});
  });
  FAHA_CHECK(well_formed || !log_->pool().Readable(), "records are checked before a batch enters the log");
  for (std::size_t i = 0; i < std::min(found.size(), kAhead); ++i)
    found[i].hash = engine_->PrepareMove(found[i].record);
  for (std::size_t i = 0; i < found.size(); ++i) {
    if (i + kAhead < found.size()) found[i + kAhead].hash = engine_->PrepareMove(found[i + kAhead].record);
    if (Status status = MoveRecord(found[i].record, found[i].hash, found[i].at, batch.lsn()); !status.ok())
      return status;
  }
  return Status::Ok();
}

Status Cleaner::MoveRecord(const Record& record, std::uint64_t hash, LogAddress at, Lsn lsn) {
  const bool put = InfoOf(record.kind).when_cleaned == WhenCleaned::kMovedIfNewest;
  Lsn of = lsn;
  if (put) {
    if (!engine_->IsNewest(record, hash, at)) return Status::Ok();
  } else {
    if (!record.value.empty()) std::memcpy(&of.value, record.value.data(), sizeof of.value);
    // If everything that is older than the delete is in this same segment, or is gone, the delete hides nothing any
    // more.
    if (oldest_ >= of || engine_->HidesNothing(record)) return Status::Ok();
  }
  // A delete that is moved for the first time gets a value: the LSN of its batch.
  const auto head = HeadFor(record.bytes + (put ? 0 : sizeof of));
  if (!head.ok()) return head.status();
  const Status moved = put ? engine_->MovePut(record, hash, at, *head) : engine_->MoveDelete(record, of, *head);
  if (moved.ok()) stats_.moved_bytes += record.bytes;
  return moved;
}

}  // namespace faha
