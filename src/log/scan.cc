#include "log/scan.h"

#include <fmt/format.h>

#include <algorithm>

namespace faha {
namespace {

class Scanner {
 public:
  Scanner(const Pool& pool, const LogSink& sink) : pool_(pool), sink_(sink) {}

  Result<ScanResult> Run() {
    ListSegments();
    std::size_t next = 0;
    for (; next < listed_.size(); ++next) {
      const Segment& segment = listed_[next];
      const bool damaged = pool_.EntryIsDamaged(segment.index);
      const bool kept = WalkSegment(segment);
      if (!kept && !damaged) break;
      if (damaged) (kept ? result_.damaged : result_.stale).push_back(segment.index);
    }
    const Lsn torn = result_.end.lsn.Next();
    if (Judge(false, SaysCommitted(torn)) == Verdict::kRepair) {
      return Status{
          Code::kCorrupt,
          fmt::format("batch {} of the pool is damaged, though a later batch says it was committed: restore this "
                      "node from its peers (move the pool away and join it again); nothing was changed",
                      torn.value)};
    }
    if (malformed_)
      return Status{Code::kCorrupt, fmt::format("batch {} is whole but holds a record this release does not "
                                                "know: run the release that wrote it",
                                                torn.value)};
    for (; next < listed_.size(); ++next) result_.stale.push_back(listed_[next].index);
    return std::move(result_);
  }

 private:
  void ListSegments() {
    for (std::uint32_t i = 0; i < pool_.geometry().segment_count; ++i) {
      if (const auto entry = pool_.ReadEntry(i)) {
        listed_.push_back(
            {.index = i, .generation = entry->generation, .first = Lsn{entry->first_lsn}, .last = {}, .used_bytes = 0});
      } else if (pool_.EntryIsDamaged(i)) {
        const auto first = BatchView::Parse(pool_.SegmentBytes(i));
        if (first)
          listed_.push_back({.index = i,
                             .generation = first->header().generation,
                             .first = first->lsn(),
                             .last = {},
                             .used_bytes = 0});
        if (first && sink_)
          sink_(LogLevel::kWarning,
                fmt::format("the table entry of segment {} is damaged: taken from its first batch", i));
        if (!first) result_.stale.push_back(i);
      }
    }
    std::sort(listed_.begin(), listed_.end(),
              [](const Segment& a, const Segment& b) { return a.generation < b.generation; });
  }

  // Keeps the batches of `segment` that follow the chain; false if there is none.
  bool WalkSegment(Segment segment) {
    const auto bytes = pool_.SegmentBytes(segment.index);
    while (segment.used_bytes < bytes.size()) {
      const auto view = BatchView::Parse(bytes.subspan(segment.used_bytes));
      if (!view || Judge(Follows(*view, segment), false) != Verdict::kKeep) break;
      if (!view->ForEach([](const Record&, std::uint64_t) {})) {
        malformed_ = true;
        break;
      }
      if (segment.used_bytes == 0) segment.first = view->lsn();  // whatever the entry says
      result_.end = {view->epoch(), view->lsn(), view->header().checksum};
      result_.known_committed = std::max(result_.known_committed, Lsn{view->header().committed});
      segment.last = view->lsn();
      segment.used_bytes += view->PaddedBytes(pool_.geometry().granule);
    }
    if (segment.used_bytes == 0) return false;
    result_.segments.push_back(segment);
    if (sink_ && result_.segments.size() % 64 == 0) {
      sink_(LogLevel::kNotice, fmt::format("scanned {} of {} segments", result_.segments.size(), listed_.size()));
    }
    return true;
  }

  [[nodiscard]] bool Follows(const BatchView& view, const Segment& segment) const {
    const auto& header = view.header();
    return header.lsn == result_.end.lsn.value + 1 && header.previous == result_.end.checksum &&
           header.epoch >= result_.end.epoch.value && header.generation == segment.generation;
  }

  // Does any whole batch behind the chain's end say that `lsn` was committed?  Batches of a tail that a newer epoch
  // replaced cannot: they were sealed when nothing beyond the fork was committed.
  [[nodiscard]] bool SaysCommitted(Lsn lsn) const {
    for (const Segment& segment : listed_) {
      const auto bytes = pool_.SegmentBytes(segment.index);
      const auto kept = std::find_if(result_.segments.begin(), result_.segments.end(),
                                     [&](const Segment& s) { return s.index == segment.index; });
      if (kept != result_.segments.end() && kept->index != result_.segments.back().index) continue;
      std::uint64_t offset = kept == result_.segments.end() ? 0 : kept->used_bytes;
      for (; offset + sizeof(format::BatchHeader) <= bytes.size(); offset += pool_.geometry().granule) {
        const auto view = BatchView::Parse(bytes.subspan(offset));
        if (view && view->header().generation == segment.generation && Lsn{view->header().committed} >= lsn)
          return true;
      }
    }
    return false;
  }

  const Pool& pool_;
  const LogSink& sink_;
  std::vector<Segment> listed_;
  ScanResult result_;
  bool malformed_ = false;
};

}  // namespace

Result<ScanResult> ScanPool(const Pool& pool, const LogSink& sink) { return Scanner(pool, sink).Run(); }

}  // namespace faha
