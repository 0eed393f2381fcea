#include "log/scan_segment.h"

#include <algorithm>
#include <cstring>

namespace faha {

namespace {

bool BelongsTo(const BatchView& view, const Segment& segment) {
  return view.header().generation == segment.generation && HeadOf(view.header()) == segment.head;
}

// A whole batch can only start where the magic stands: looking at 4 bytes is all that most granules cost.
void FindStray(const Pool& pool, ScannedSegment& found) {
  const auto bytes = pool.SegmentBytes(found.segment.index);
  const std::uint32_t granule = pool.geometry().granule;
  for (std::uint64_t offset = found.segment.used_bytes; offset + sizeof(format::BatchHeader) <= bytes.size();
       offset += granule) {
    std::uint32_t magic = 0;
    std::memcpy(&magic, bytes.data() + offset, sizeof magic);
    if (magic != format::kBatchMagic) continue;
    const auto view = BatchView::Parse(bytes.subspan(offset));
    if (!view || !BelongsTo(*view, found.segment)) continue;
    found.stray.push_back(pool.SegmentStart(found.segment.index) + offset);
    found.committed = std::max(found.committed, Lsn{view->header().committed});
  }
}

}  // namespace

ScannedSegment ScanSegment(const Pool& pool, const Segment& table) {
  ScannedSegment found{.segment = table};
  Segment& run = found.segment;
  const auto bytes = pool.SegmentBytes(table.index);
  Epoch epoch;
  while (run.used_bytes < bytes.size()) {
    const auto view = BatchView::Parse(bytes.subspan(run.used_bytes));
    if (!view || !BelongsTo(*view, run)) break;
    const bool in_order = view->lsn() > run.last && view->header().committed < view->header().lsn;
    if (!in_order || view->epoch() < epoch) break;
    if (found.batches == 0) run.first = view->lsn();  // whatever the table says
    const bool known = view->ForEach([&](const Record& record, std::uint64_t) {
      if (const auto note = ReadFreeNote(record)) found.frees.push_back({view->lsn(), *note});
    });
    if (!known) {
      found.malformed = view->lsn();
      break;
    }
    if ((view->header().flags & format::kHasConfig) != 0) {
      found.configs.emplace_back(view->lsn(), pool.SegmentStart(run.index) + run.used_bytes);
    }
    epoch = view->epoch();
    run.last = view->lsn();
    run.digest += view->header().checksum;
    run.used_bytes += view->PaddedBytes(pool.geometry().granule);
    found.committed = std::max(found.committed, Lsn{view->header().committed});
    ++found.batches;
    found.records += view->header().record_count;
  }
  FindStray(pool, found);
  return found;
}

std::vector<ScannedBatch> BatchesFrom(const Pool& pool, const Segment& run, Lsn from) {
  std::vector<ScannedBatch> batches;
  if (run.last < from) return batches;
  const LogAddress start = pool.SegmentStart(run.index);
  const std::byte* base = pool.media().bytes().data();
  for (std::uint64_t offset = 0; offset < run.used_bytes;) {
    const auto view = BatchView::Trusted(base + start.value + offset);
    const std::uint64_t bytes = view.PaddedBytes(pool.geometry().granule);
    const auto& header = view.header();
    if (view.lsn() >= from) {
      batches.push_back({start + offset, view.epoch(), view.lsn(), header.checksum, header.digest, bytes});
    }
    offset += bytes;
  }
  return batches;
}

}  // namespace faha
