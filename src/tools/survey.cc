#include "tools/survey.h"

#include <fmt/format.h>

#include <cstring>
#include <map>

#include "base/zeros.h"

namespace faha {
namespace {

// Bytes of a segment where a batch should be but no whole batch is.
struct Place {
  std::uint32_t segment = 0;
  std::uint64_t offset = 0, bytes = 0;        // in the segment
  std::optional<format::BatchHeader> header;  // the batch's, if it is readable; it may be wrong
};

class Surveyor {
 public:
  Surveyor(const Pool& pool, Survey& survey) : pool_(pool), survey_(survey) {}

  void Run(const LogSink& sink) {
    auto log = ScanPool(pool_, sink, &survey_.found);
    FindPlaces();
    LookAtSuperblock();
    if (log.ok()) {
      survey_.log = std::move(*log);
      survey_.freed_through = survey_.log->freed_through;
      LookAtTable();
      LookAtTail();
      return;
    }
    if (!pool_.installing()) Tell(Grade::kDamaged, log.status().ToString());
    LookAtMedium();
    LookAtUnreadableEntries();
    LookAtMalformed();
    LookAtPlaces();
    Account();
  }

 private:
  void Tell(Grade grade, std::string line) { survey_.findings.push_back({grade, std::move(line)}); }

  // --- Places where no batch is whole.
  [[nodiscard]] std::optional<format::BatchHeader> HeaderAt(const Segment& segment, std::uint64_t offset) const {
    const auto bytes = pool_.SegmentBytes(segment.index);
    format::BatchHeader header{};
    if (offset + sizeof header > bytes.size()) return std::nullopt;
    std::memcpy(&header, bytes.data() + offset, sizeof header);
    const bool likely = header.magic == BatchMagic(pool_.log_key()) && header.version == format::kBatchVersion &&
                        header.generation == segment.generation &&
                        header.payload_bytes <= bytes.size() - offset - sizeof header;
    return likely ? std::optional(header) : std::nullopt;
  }

  [[nodiscard]] std::uint64_t Padded(const format::BatchHeader& header) const {
    return format::AlignUp(sizeof header + header.payload_bytes, pool_.geometry().granule);
  }

  void FindPlaces() {
    for (const ScannedSegment& found : survey_.found) {
      const Segment& run = found.segment;
      std::uint64_t end = run.used_bytes;
      for (const LogAddress at : found.stray) {
        const std::uint64_t offset = at.value - pool_.SegmentStart(run.index).value;
        if (offset < end) continue;
        AddPlaces(run, end, offset);
        end = offset +
              BatchView::Trusted(pool_.SegmentBytes(run.index).data() + offset).PaddedBytes(pool_.geometry().granule);
      }
      if (const auto header = HeaderAt(run, end)) places_.push_back({run.index, end, Padded(*header), header});
    }
  }

  void AddPlaces(const Segment& segment, std::uint64_t from, std::uint64_t to) {
    while (from < to) {
      const auto header = HeaderAt(segment, from);
      const bool fits = header && from + Padded(*header) <= to;
      const std::uint64_t bytes = fits ? Padded(*header) : to - from;
      places_.push_back({segment.index, from, bytes, fits ? header : std::nullopt});
      from += bytes;
    }
  }

  // --- A pool that adds up.
  void LookAtSuperblock() {
    if (pool_.installing()) {
      Tell(Grade::kCorrected,
           "the log was being transferred from a primary and is not whole: the next start drops it and asks again");
    }
    if (const Lsn at = pool_.damaged_at(); at != Lsn{}) {
      Tell(Grade::kCorrected,
           fmt::format("damage was found in the log when it reached batch {}, and is not there any more", at.value));
    }
    for (const std::uint32_t copy : {0U, 1U}) {
      const auto bytes = pool_.media().bytes().subspan(copy * format::kSuperblockStride, sizeof(format::Superblock));
      if (pool_.ReadCopy(copy) || IsZero(bytes)) continue;
      Tell(Grade::kCorrected,
           fmt::format("superblock copy {} is not whole: the other one counts, and the next promise writes it", copy));
    }
  }

  void LookAtTable() {
    for (const std::uint32_t index : survey_.log->damaged) {
      Tell(Grade::kCorrected,
           fmt::format("the table entry of segment {} is damaged: its first batch tells what it said", index));
    }
    for (const std::uint32_t index : survey_.log->stale) {
      Tell(Grade::kCorrected,
           fmt::format("segment {} holds nothing of the log: its table entry would be cleared", index));
    }
  }

  void LookAtTail() {
    const Lsn end = survey_.log->end.lsn;
    if (const std::size_t behind = survey_.log->behind_end.size(); behind > 0) {
      Tell(Grade::kCorrected,
           fmt::format("{} whole batches do not belong to the log, which ends at batch {}: they would be cut, for "
                       "something before them is torn and they were never committed, as far as this pool knows",
                       behind, end.value));
    }
    for (const Place& place : places_) {
      // A damaged batch before the log's end is no part of the log any more: otherwise the log would not add up.
      const bool freed = place.header && place.header->lsn <= end.value;
      Tell(Grade::kCorrected, fmt::format("{} is {}", Describe(place),
                                          freed ? "damaged, but its segment is freed: nothing is lost"
                                                : "torn: as far as this pool knows it was never committed"));
    }
  }

  // --- A pool that does not add up.
  void LookAtMedium() {
    constexpr std::size_t kMostLines = 32;
    const auto ranges = pool_.media().Unreadable();
    for (std::size_t i = 0; i < std::min(ranges.size(), kMostLines); ++i) {
      const auto& [offset, bytes] = ranges[i];
      const std::string where = offset < format::kDataOffset
                                    ? std::string("the pool's header")
                                    : fmt::format("segment {}", pool_.SegmentOf(LogAddress{offset}));
      Tell(Wrong(), fmt::format("{} bytes of the pool from byte {} on cannot be read and count as zeros ({})", bytes,
                                offset, where));
    }
    if (ranges.size() > kMostLines) {
      Tell(Wrong(), fmt::format("{} more places cannot be read", ranges.size() - kMostLines));
    }
  }

  void LookAtUnreadableEntries() {
    for (std::uint32_t i = 0; i < pool_.geometry().segment_count; ++i) {
      const bool known = std::any_of(survey_.found.begin(), survey_.found.end(),
                                     [&](const ScannedSegment& found) { return found.segment.index == i; });
      if (known || !pool_.EntryIsDamaged(i)) continue;
      Tell(Wrong(), fmt::format("neither the table entry of segment {} nor its first batch is whole: what it holds is "
                                "not read",
                                i));
      unreadable_entry_ = true;
    }
  }

  void LookAtMalformed() {
    BatchStream stream(pool_, survey_.found);
    while (const auto next = stream.Next()) {
      if (next->well_formed) continue;
      survey_.lost.insert(next->batch.view.lsn());
      Tell(Wrong(), fmt::format("batch {} in segment {} at byte {} is whole, but holds a record this release does not "
                                "know",
                                next->batch.view.lsn().value, pool_.SegmentOf(next->batch.at),
                                (next->batch.at.value - format::kDataOffset) % pool_.geometry().segment_bytes));
    }
  }

  void LookAtPlaces() {
    for (const Place& place : places_) {
      Tell(Wrong(), fmt::format("{} is damaged or torn", Describe(place)));
      if (place.header) survey_.lost.insert(Lsn{place.header->lsn});
    }
  }

  // The grade of something that is wrong: while the log is being transferred, its gaps are not damage.
  [[nodiscard]] Grade Wrong() const { return pool_.installing() ? Grade::kCorrected : Grade::kDamaged; }

  static std::string Describe(const Place& place) {
    const std::string what = place.header ? fmt::format("batch {} (as its header tells)", place.header->lsn)
                                          : std::string("what stands there");
    return fmt::format("segment {}, {} bytes from byte {} on: {}", place.segment, place.bytes, place.offset, what);
  }

  // Finds out whether the damaged headers account for all that is missing: whether their checksums add up to the
  // difference between the last batch's digest and the batches that are there.
  void Account() {
    std::map<std::uint64_t, std::uint64_t> sums;  // generation -> its batches' checksums, until it is freed
    std::uint64_t sum = 0, missing = 0, gone = 0;
    Lsn last;
    std::set<std::uint64_t> freed;
    BatchStream stream(pool_, survey_.found);
    while (const auto next = stream.Next()) {
      if (!next->follows) continue;
      const format::BatchHeader& header = next->batch.view.header();
      missing = header.digest - sum;
      gone = 0;
      last = next->batch.view.lsn();
      sums[header.generation] += header.checksum;
      sum += header.checksum;
      if (!next->well_formed) continue;
      (void)next->batch.view.ForEach([&](const Record& record, std::uint64_t) {
        const auto note = ReadFreeNote(record);
        if (!note || !freed.insert(note->generation).second) return;
        if (!sums.contains(note->generation)) gone += note->digest;  // only the next batch's digest leaves it out
        sum -= sums[note->generation];
        survey_.freed_through = std::max(survey_.freed_through, Lsn{note->through});
      });
    }
    missing -= gone;
    bool all_known = !unreadable_entry_;
    for (const Place& place : places_) {
      all_known = all_known && place.header;
      if (!place.header || freed.contains(place.header->generation) || place.header->lsn >= last.value) continue;
      missing -= place.header->checksum;
    }
    survey_.all_located = all_known && missing == 0;
  }

  const Pool& pool_;
  Survey& survey_;
  std::vector<Place> places_;
  bool unreadable_entry_ = false;
};

std::uint64_t UnreadableBytes(const Pool& pool) {
  std::uint64_t sum = 0;
  for (const MediaRange& range : pool.media().Unreadable()) sum += range.bytes;
  return sum;
}

}  // namespace

Survey SurveyPool(const Pool& pool, const LogSink& sink) {
  Survey survey;
  Surveyor(pool, survey).Run(sink);
  survey.unreadable_bytes = UnreadableBytes(pool);
  return survey;
}

Status StillReadable(const Pool& pool, const Survey& survey) {
  return UnreadableBytes(pool) == survey.unreadable_bytes ? Status::Ok() : Status(pool.media().Health());
}

}  // namespace faha
