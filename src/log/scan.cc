#include "log/scan.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <iterator>
#include <map>
#include <optional>
#include <string_view>
#include <thread>

namespace faha {
namespace {

constexpr unsigned kMaxThreads = 8;
constexpr std::chrono::seconds kProgressPeriod{1};

Segment FromTable(std::uint32_t index, const format::SegmentEntry& entry) {
  return {.index = index,
          .head = entry.head == 0 ? Head::kHot : Head::kCold,
          .generation = entry.generation,
          .first = Lsn{entry.first_lsn}};
}

Segment FromFirstBatch(std::uint32_t index, const BatchView& first) {
  return {
      .index = index, .head = HeadOf(first.header()), .generation = first.header().generation, .first = first.lsn()};
}

// Whether a place holds a segment of the log, and what says so.
struct Listing {
  enum class Entry : std::uint8_t { kWhole, kOutdated, kDamaged, kMissing };
  std::optional<Segment> segment;  // nothing: no segment of the log is there
  Entry entry = Entry::kMissing;
};

std::string_view TextOf(Listing::Entry entry) {
  switch (entry) {
    case Listing::Entry::kWhole: return "whole";
    case Listing::Entry::kOutdated: return "older than what the segment holds";
    case Listing::Entry::kDamaged: return "damaged";
    case Listing::Entry::kMissing: return "missing";
  }
  return "";
}

bool IsOutdated(const Pool& pool, std::uint32_t index, const format::SegmentEntry& entry) {
  const auto bytes = pool.SegmentBytes(index);
  if (pool.log_key().IsNone()) return false;  // the batch could be a client's value
  if (BatchView::Trusted(bytes.data()).header().generation <= entry.generation) return false;
  return BatchView::Parse(bytes, pool.log_key()).has_value();
}

// When a segment is given back, its first batch is erased before its entry, and both are gone before the segment is
// used again.  So if a first batch is there, its segment was opened.  If the entry is then missing or older, it was not
// durable yet or was lost.
Listing ListSegment(const Pool& pool, std::uint32_t index) {
  using Entry = Listing::Entry;
  const auto entry = pool.ReadEntry(index);
  if (entry && !IsOutdated(pool, index, *entry)) return {FromTable(index, *entry), Entry::kWhole};
  const Entry is = entry ? Entry::kOutdated : pool.EntryIsDamaged(index) ? Entry::kDamaged : Entry::kMissing;
  const auto first = BatchView::Parse(pool.SegmentBytes(index), pool.log_key());
  return {first ? std::optional(FromFirstBatch(index, *first)) : std::nullopt, is};
}

class Scanner {
 public:
  // `believes`: a segment whose table entry is empty, but which starts with a whole batch, is taken for one of the log.
  Scanner(const Pool& pool, const LogSink& sink, bool believes) : pool_(pool), sink_(sink), believes_(believes) {}

  Result<ScanResult> Run() {
    ListSegments();
    ScanAll();
    if (!pool_.Readable()) return CannotBeRead();
    for (const ScannedSegment& found : found_) {
      if (!found.malformed) continue;
      return Status{Code::kCorrupt, fmt::format("batch {} is whole but holds a record this release does not know: run "
                                                "the release that wrote it",
                                                found.malformed->value)};
    }
    NoteCommitted();
    DropFreed();
    if (Status status = FindEnd(); !status.ok()) return status;
    if (result_.end.lsn == Lsn{} && pool_.has_log() && !pool_.installing()) return NothingIsLeft();
    if (result_.end.lsn < pool_.damaged_at()) return EndIsLost();
    KeepUpToEnd();
    if (Status status = CheckOrder(); !status.ok()) return status;
    NoteFrees();
    if (Status status = CheckFreed(); !status.ok()) return status;
    if (!pool_.Readable()) return CannotBeRead();
    return std::move(result_);
  }

  // The segments whose table entry was empty, so that only the first batch said that they are part of the log.
  [[nodiscard]] const std::vector<Segment>& unlisted() const { return unlisted_; }

  // What each segment holds by itself, whatever Run() returned.
  std::vector<ScannedSegment> TakeFound() {
    found_.insert(found_.end(), std::make_move_iterator(dropped_.begin()), std::make_move_iterator(dropped_.end()));
    std::sort(found_.begin(), found_.end(), [](const ScannedSegment& a, const ScannedSegment& b) {
      return a.segment.generation < b.segment.generation;
    });
    return std::move(found_);
  }

 private:
  // The bytes that read as zeros may be the log's end, its middle or no part of it, and there is no way to tell.
  [[nodiscard]] Status CannotBeRead() const {
    return {Code::kCorrupt,
            fmt::format("{}; or restore this node from its peers (move the pool away and join it again), "
                        "or save what is readable with faha-check --extract",
                        pool_.media().Health().message())};
  }

  [[nodiscard]] static Status NothingIsLeft() {
    return {
        Code::kCorrupt,
        "the pool has held committed batches, and there is none: data are damaged; restore this node from its peers "
        "(move the pool away and join it again), or save what is readable with faha-check --extract; nothing was "
        "changed"};
  }

  // A damaged batch at the log's end looks as if power had failed while it was written.
  [[nodiscard]] Status EndIsLost() const {
    return {Code::kCorrupt,
            fmt::format("the log ends at batch {}, and reached batch {} when damage was found in it: data are damaged; "
                        "restore this node from its peers (move the pool away and join it again), or save what is "
                        "readable with faha-check --extract; nothing was changed",
                        result_.end.lsn.value, pool_.damaged_at().value)};
  }

  void ListSegments() {
    for (std::uint32_t i = 0; i < pool_.geometry().segment_count; ++i) ListSegment(i);
    std::sort(listed_.begin(), listed_.end(),
              [](const Segment& a, const Segment& b) { return a.generation < b.generation; });
  }

  void ListSegment(std::uint32_t index) {
    const Listing listing = faha::ListSegment(pool_, index);
    if (listing.entry == Listing::Entry::kWhole) return listed_.push_back(*listing.segment);
    const bool missing = listing.entry == Listing::Entry::kMissing;
    if (!listing.segment) {
      if (!missing) result_.stale.push_back(index);
      if (!missing || !pool_.IsErased(index)) HearLost(index);
      return;
    }
    if (missing && !believes_) return result_.stale.push_back(index);
    listed_.push_back(*listing.segment);
    if (missing) unlisted_.push_back(*listing.segment);
    result_.damaged.push_back(index);
    Say(LogLevel::kWarning,
        fmt::format("the table entry of segment {} is {}: taken from its first batch", index, TextOf(listing.entry)));
  }

  // Takes the commit LSN from the batches of a segment whose first batch is not whole: it was torn when the segment was
  // opened, or is damaged or lost.  If it was torn, the other batches are of an earlier use.
  void HearLost(std::uint32_t index) {
    result_.known_committed = std::max(result_.known_committed, CommittedInSegment(pool_, index));
  }

  void ScanAll() {
    found_.resize(listed_.size());
    std::atomic<std::size_t> next{0}, done{0};
    const auto work = [&](bool tells) {
      auto told = std::chrono::steady_clock::now();
      for (std::size_t i = next++; i < listed_.size(); i = next++) {
        found_[i] = ScanSegment(pool_, listed_[i]);
        ++done;
        const auto now = std::chrono::steady_clock::now();
        if (!tells || now - told < kProgressPeriod) continue;
        told = now;
        Say(LogLevel::kNotice, fmt::format("scanned {} of {} segments", done.load(), listed_.size()));
      }
    };
    const auto wanted = std::min<std::size_t>(std::max(1U, std::thread::hardware_concurrency()), kMaxThreads);
    std::vector<std::thread> helpers;
    for (std::size_t i = 1; i < std::min(wanted, listed_.size()); ++i) helpers.emplace_back(work, false);
    work(true);
    for (std::thread& helper : helpers) helper.join();
  }

  // A record that frees a segment which is gone was committed, because a segment is not given back before that.
  void NoteCommitted() {
    for (const ScannedSegment& found : found_) {
      if (found.batches == 0) HearLost(found.segment.index);
      result_.known_committed = std::max(result_.known_committed, found.committed);
    }
    for (const ScannedSegment& found : found_) {
      for (const ScannedFree& free : found.frees) {
        if (Generation(free.note.generation) == nullptr)
          result_.known_committed = std::max(result_.known_committed, free.lsn);
      }
    }
  }

  // A segment that a committed record frees is no part of the log any more, whether it was given back or not: all its
  // live records were moved.  It must not be replayed: if it was given back, and is there again only because the medium
  // has lost the last write to it, then the deletes that hid its records may be gone.
  void DropFreed() {
    std::map<std::uint64_t, Lsn> freed;
    for (const ScannedSegment& found : found_) {
      for (const ScannedFree& free : found.frees) {
        if (free.lsn <= result_.known_committed) freed[free.note.generation] = free.lsn;
      }
    }
    const auto gone = std::stable_partition(found_.begin(), found_.end(), [&](const ScannedSegment& found) {
      return found.batches == 0 || !freed.contains(found.segment.generation);
    });
    // A segment that holds the record that frees another one is itself freed later, and is given back later: a crash in
    // between must not leave the other one without that record.
    std::sort(gone, found_.end(), [&](const ScannedSegment& a, const ScannedSegment& b) {
      return freed.at(a.segment.generation) < freed.at(b.segment.generation);
    });
    for (auto at = gone; at != found_.end(); ++at) result_.freed.push_back(at->segment.index);
    dropped_.assign(std::make_move_iterator(gone), std::make_move_iterator(found_.end()));
    found_.erase(gone, found_.end());
  }

  [[nodiscard]] const ScannedSegment* Generation(std::uint64_t generation) const {
    const auto at = std::lower_bound(
        found_.begin(), found_.end(), generation,
        [](const ScannedSegment& found, std::uint64_t wanted) { return found.segment.generation < wanted; });
    const bool hit = at != found_.end() && at->segment.generation == generation && at->batches > 0;
    return hit ? &*at : nullptr;
  }

  // The correction that frees require to the sum of all batches before `lsn`.  The frees before `lsn` have taken away
  // segments that are still here; the frees from `lsn` on had not yet taken away segments that are gone now.
  [[nodiscard]] std::uint64_t Correction(Lsn lsn) const {
    std::uint64_t sum = 0;
    for (const ScannedSegment& found : found_) {
      for (const ScannedFree& free : found.frees) {
        const ScannedSegment* freed = Generation(free.note.generation);
        if (free.lsn < lsn && freed != nullptr) sum -= freed->segment.digest;
        if (free.lsn >= lsn && freed == nullptr) sum += free.note.digest;
      }
    }
    return sum;
  }

  Status FindEnd() {
    std::vector<ScannedBatch> tail;
    std::uint64_t sum = 0;
    for (const ScannedSegment& found : found_) {
      sum += found.segment.digest;
      const auto batches = BatchesFrom(pool_, found.segment, result_.known_committed);
      tail.insert(tail.end(), batches.begin(), batches.end());
    }
    std::sort(tail.begin(), tail.end(), [](const auto& a, const auto& b) { return a.lsn < b.lsn; });
    for (; !tail.empty(); tail.pop_back()) {
      const ScannedBatch& last = tail.back();
      sum -= last.checksum;
      if (Judge(last.digest == sum + Correction(last.lsn), last.lsn < result_.known_committed) != Verdict::kKeep)
        continue;
      const std::uint64_t taken = FreedIn(last.lsn);
      result_.end = {last.epoch, last.lsn, last.digest + last.checksum - taken};
      return Status::Ok();
    }
    if (Judge(false, Lsn{} < result_.known_committed) != Verdict::kRepair) return Status::Ok();
    return {Code::kCorrupt, Diagnosis()};
  }

  [[nodiscard]] std::uint64_t FreedIn(Lsn lsn) const {
    std::uint64_t sum = 0;
    for (const ScannedSegment& found : found_) {
      for (const ScannedFree& free : found.frees) {
        if (free.lsn == lsn) sum += free.note.digest;
      }
    }
    return sum;
  }

  [[nodiscard]] std::string Diagnosis() const {
    std::string where;
    for (const ScannedSegment& found : found_) {
      if (found.stray.empty()) continue;
      where = fmt::format(" (segment {}: damaged at byte {})", found.segment.index, found.segment.used_bytes);
      break;
    }
    return fmt::format(
        "the pool does not add up to batch {}, which was committed: data before it are damaged{}; "
        "restore this node from its peers (move the pool away and join it again), or save what is "
        "readable with faha-check --extract; nothing was changed",
        result_.known_committed.value, where);
  }

  void KeepUpToEnd() {
    for (const ScannedSegment& found : found_) {
      Segment run = found.segment;
      for (const ScannedBatch& batch : BatchesFrom(pool_, run, result_.end.lsn.Next())) {
        result_.behind_end.push_back(batch.at);
        run.used_bytes -= batch.bytes;
        run.digest -= batch.checksum;
      }
      result_.behind_end.insert(result_.behind_end.end(), found.stray.begin(), found.stray.end());
      result_.unpadded.insert(result_.unpadded.end(), found.unpadded.begin(), found.unpadded.end());
      if (found.batches == 0 || run.used_bytes == 0) {
        result_.stale.push_back(run.index);
        continue;
      }
      if (run.last > result_.end.lsn) run.last = BatchesFrom(pool_, run, Lsn{}).back().lsn;
      // When the segment was opened, the batch that had freed it was known to be committed: so the commit LSN in the
      // first header is at or behind that batch.
      run.reused_after = Lsn{BatchView::Trusted(pool_.SegmentBytes(run.index).data()).header().committed};
      result_.segments.push_back(run);
      result_.records += found.records;
      for (const auto& config : found.configs) {
        if (config.first <= result_.end.lsn) result_.configs.push_back(config);
      }
    }
    std::sort(result_.configs.begin(), result_.configs.end());
    // The entry of a segment that was taken from its first batch, and then cut, is cleared and not written again.
    std::erase_if(result_.damaged, [&](std::uint32_t index) {
      return std::none_of(result_.segments.begin(), result_.segments.end(),
                          [index](const Segment& segment) { return segment.index == index; });
    });
  }

  // The segments of a head follow each other, as their generations do.
  [[nodiscard]] Status CheckOrder() const {
    std::array<Lsn, kHeads.size()> last{};
    for (const Segment& segment : result_.segments) {
      Lsn& before = last[static_cast<std::size_t>(segment.head)];
      if (segment.first <= before) {
        return {Code::kCorrupt, fmt::format("segment {} starts with batch {}, which an earlier one holds: restore this "
                                            "node from its peers, or save what is readable with faha-check --extract",
                                            segment.index, segment.first.value)};
      }
      before = segment.last;
    }
    return Status::Ok();
  }

  void NoteFrees() {
    for (const ScannedSegment& found : found_) {
      for (const ScannedFree& free : found.frees) {
        if (free.lsn > result_.end.lsn) continue;
        result_.freed_through = std::max(result_.freed_through, Lsn{free.note.through});
        for (Segment& segment : result_.segments) {
          if (segment.generation == free.note.generation) segment.freed_by = free.lsn;
        }
      }
    }
  }

  // No later batch tells whether a freed segment is complete, but the record that frees it does.  An incomplete segment
  // must not be replayed: it may hold a value but not the delete behind it.
  [[nodiscard]] Status CheckFreed() const {
    for (const ScannedSegment& found : found_) {
      for (const ScannedFree& free : found.frees) {
        const ScannedSegment* freed = free.lsn <= result_.end.lsn ? Generation(free.note.generation) : nullptr;
        if (freed != nullptr && freed->segment.digest != free.note.digest) return {Code::kCorrupt, Diagnosis()};
      }
    }
    return Status::Ok();
  }

  void Say(LogLevel level, const std::string& line) const {
    if (sink_) sink_(level, line);
  }

  const Pool& pool_;
  const LogSink& sink_;
  const bool believes_;
  std::vector<Segment> listed_, unlisted_;
  std::vector<ScannedSegment> found_, dropped_;
  ScanResult result_;
};

}  // namespace

std::string NewestConfig(const Pool& pool) {
  std::string newest;
  Lsn at;
  for (std::uint32_t i = 0; i < pool.geometry().segment_count; ++i) {
    const Listing listing = ListSegment(pool, i);
    if (!listing.segment) continue;
    const ScannedSegment found = ScanSegment(pool, *listing.segment);
    const auto take = [&](const BatchView& view) {
      if (view.lsn() <= at || (view.header().flags & format::kHasConfig) == 0) return;
      (void)view.ForEach([&](const Record& record, std::uint64_t) {
        if (record.kind != format::RecordKind::kConfig) return;
        at = view.lsn();
        newest = record.value;
      });
    };
    for (const auto& [lsn, where] : found.configs) take(BatchView::Trusted(pool.media().bytes().data() + where.value));
    // The batches behind damage may hold one, too.
    for (const LogAddress where : found.stray) {
      const auto rest = pool.SegmentBytes(i).subspan(where.value - pool.SegmentStart(i).value);
      if (const auto view = BatchView::Parse(rest, pool.log_key())) take(*view);
    }
  }
  return newest;
}

Result<ScanResult> ScanPool(const Pool& pool, const LogSink& sink, std::vector<ScannedSegment>* found) {
  Scanner scanner(pool, sink, true);
  auto result = scanner.Run();
  if (found != nullptr) *found = scanner.TakeFound();
  if (result.ok() || scanner.unlisted().empty()) return result;
  // The batch at the front of such a segment may be an old one, which an earlier release had left there when power
  // failed as it was about to open the segment.  So the pool is scanned once more without these segments.  That result
  // counts if the log then ends at or behind the first batch of each of them.
  Scanner again(pool, sink, false);
  auto without = again.Run();
  const bool older = without.ok() && std::all_of(scanner.unlisted().begin(), scanner.unlisted().end(),
                                                 [&](const Segment& s) { return s.first <= without->end.lsn; });
  if (!older) return result;
  if (found != nullptr) *found = again.TakeFound();
  return without;
}

}  // namespace faha
