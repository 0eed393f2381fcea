#include "log/scan_segment.h"

#include <algorithm>
#include <cstring>

#include "base/zeros.h"

namespace faha {

namespace {

bool BelongsTo(const format::BatchHeader& header, const Segment& segment) {
  return header.generation == segment.generation && HeadOf(header) == segment.head;
}

// Could a primary have sealed a batch with that header?
bool IsPossible(const format::BatchHeader& header) { return header.committed < header.lsn; }

// A whole batch can only start with the magic, so for most granules only 4 bytes are read.  A checksum is computed only
// for headers of this generation, so batches that an earlier use of the segment has left cost no checksum.
void FindStray(const Pool& pool, ScannedSegment& found) {
  const auto bytes = pool.SegmentBytes(found.segment.index);
  const std::uint32_t granule = pool.geometry().granule;
  const LogKey key = pool.log_key();
  const std::uint32_t magic = BatchMagic(key);
  format::BatchHeader header{};
  for (std::uint64_t offset = found.segment.used_bytes; offset + sizeof header <= bytes.size(); offset += granule) {
    std::memcpy(&header.magic, bytes.data() + offset, sizeof header.magic);
    if (header.magic != magic) continue;
    std::memcpy(&header, bytes.data() + offset, sizeof header);
    if (!BelongsTo(header, found.segment) || !IsPossible(header)) continue;
    if (!BatchView::Parse(bytes.subspan(offset), key)) continue;
    found.stray.push_back(pool.SegmentStart(found.segment.index) + offset);
    found.committed = std::max(found.committed, Lsn{header.committed});
  }
}

// Padding is written with the batch, but no checksum covers it: a write that was torn in the padding leaves a whole
// batch with wrong padding.  Earlier versions of Log::Land refuse such a batch, so Log::Open writes zeros there.
bool IsPadded(std::span<const std::byte> from, const BatchView& view, std::uint32_t granule) {
  const std::uint64_t end = sizeof(format::BatchHeader) + view.header().payload_bytes;
  const std::uint64_t padded = std::min<std::uint64_t>(view.PaddedBytes(granule), from.size());
  return IsZero(from.subspan(end, padded - end));
}

}  // namespace

ScannedSegment ScanSegment(const Pool& pool, const Segment& table) {
  ScannedSegment found{.segment = table};
  Segment& run = found.segment;
  const auto bytes = pool.SegmentBytes(table.index);
  const LogKey key = pool.log_key();
  Epoch epoch;
  while (run.used_bytes < bytes.size()) {
    const auto view = BatchView::Parse(bytes.subspan(run.used_bytes), key);
    if (!view || !BelongsTo(view->header(), run) || !IsPossible(view->header())) break;
    if (view->lsn() <= run.last || view->epoch() < epoch) break;
    if (!IsPadded(bytes.subspan(run.used_bytes), *view, pool.geometry().granule))
      found.unpadded.push_back(pool.SegmentStart(run.index) + run.used_bytes);
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

Lsn CommittedInSegment(const Pool& pool, std::uint32_t index) {
  Lsn committed;
  if (pool.log_key().IsNone()) return committed;  // a batch could be a client's value
  const auto bytes = pool.SegmentBytes(index);
  for (std::uint64_t offset = 0; offset < bytes.size(); offset += pool.geometry().granule) {
    const auto view = BatchView::Parse(bytes.subspan(offset), pool.log_key());
    if (view && IsPossible(view->header())) committed = std::max(committed, Lsn{view->header().committed});
  }
  return committed;
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
