#include "tools/replay.h"

#include <limits>
#include <vector>

namespace faha {

namespace {
std::vector<std::uint64_t> Generations(const Pool& pool, const Survey& survey) {
  std::vector<std::uint64_t> generations(pool.geometry().segment_count);
  for (const ScannedSegment& found : survey.found) generations[found.segment.index] = found.segment.generation;
  return generations;
}
}  // namespace

Replay::Replay(Pool* pool, const Survey* survey)
    : pool_(pool), survey_(survey), log_(Log::Empty(pool, Generations(*pool, *survey))), engine_(log_.get()) {}

void Replay::Run() {
  BatchStream stream(*pool_, survey_->found);
  while (const auto next = stream.Next()) {
    if (!survey_->Counts(*next)) continue;
    Count(*next);
    Apply(next->batch);
  }
  if (unit_open_) ++totals_.half_units;
  engine_.SettleUsage();
}

void Replay::Count(const StreamedBatch& next) {
  const BatchView& view = next.batch.view;
  if (totals_.batches == 0) totals_.first = view.lsn();
  if (view.lsn() > totals_.last.Next()) {
    ++totals_.gaps;
    if (view.lsn().value - 1 > survey_->freed_through.value) ++totals_.unexplained;
    totals_.missing += view.lsn().value - totals_.last.value - 1;
  }
  if (totals_.batches == 0) totals_.first_epoch = view.epoch();
  if (view.epoch() > totals_.last_epoch) ++totals_.epochs;
  totals_.last = view.lsn();
  totals_.last_epoch = view.epoch();
  ++totals_.batches;
  totals_.bytes += next.batch.bytes.size();
  totals_.padding += next.batch.bytes.size() - sizeof view.header() - view.header().payload_bytes;
  (void)view.ForEach([&](const Record& record, std::uint64_t) {
    KindTotals& kind = totals_.kinds[static_cast<std::size_t>(record.kind) - 1];
    ++kind.records;
    kind.bytes += record.bytes;
    if (record.kind == format::RecordKind::kConfig) totals_.members = record.value;
  });
}

// The engine drops a unit that has no end.  A unit without a beginning looks to the engine like the rest of a unit that
// cleaning has begun to move.  That is right unless the beginning may be lost, so such units are left out here.
void Replay::Apply(const LocatedBatch& batch) {
  const std::uint16_t flags = batch.view.header().flags;
  const bool goes_on = (flags & format::kUnitContinued) != 0 && batch.view.lsn() == applied_.Next();
  if (!goes_on) {
    if (unit_open_) ++totals_.half_units;
    headless_ = (flags & format::kUnitContinued) != 0 && survey_->MayBeLost(Lsn{batch.view.lsn().value - 1});
    if (headless_) ++totals_.headless_units;
  }
  applied_ = batch.view.lsn();
  unit_open_ = !headless_ && (flags & format::kUnitContinues) != 0;
  if (headless_) {
    totals_.headless_records += batch.view.header().record_count;
  } else {
    engine_.Apply(batch);
  }
}

std::vector<DbId> Replay::databases() const {
  std::vector<DbId> databases;
  for (std::uint32_t db = 0; db <= std::numeric_limits<DbId>::max(); ++db) {
    if (engine_.Size(static_cast<DbId>(db)) > 0) databases.push_back(static_cast<DbId>(db));
  }
  return databases;
}

}  // namespace faha
