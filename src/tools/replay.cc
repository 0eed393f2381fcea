#include "tools/replay.h"

#include <algorithm>

namespace faha {

Replay::Replay(Pool* pool, const Survey* survey)
    : pool_(pool), survey_(survey), log_(Log::Empty(pool)), engine_(log_.get()) {}

void Replay::Run() {
  BatchStream stream(*pool_, survey_->found);
  while (const auto next = stream.Next()) {
    if (!survey_->Counts(*next)) continue;
    Count(*next);
    Gather(next->batch);
  }
  if (!unit_.empty()) ++totals_.half_units;
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
    KindTotals& kind = totals_.kinds[static_cast<std::size_t>(record.kind)];
    ++kind.records;
    kind.bytes += record.bytes;
    if (record.kind == format::RecordKind::kConfig) totals_.members = record.value;
  });
}

void Replay::Gather(const LocatedBatch& batch) {
  const std::uint16_t flags = batch.view.header().flags;
  const bool continued = (flags & format::kUnitContinued) != 0;
  const bool adjacent = batch.view.lsn() == gathered_.Next();
  if (!continued || !adjacent) {
    // The end of what was begun before never came.
    if (!unit_.empty()) ++totals_.half_units;
    unit_.clear();
    // Where cleaning took the beginning, it has moved what was still needed of it; damage takes the whole unit.
    headless_ = continued && survey_->MayBeLost(Lsn{batch.view.lsn().value - 1});
    if (headless_) ++totals_.headless_units;
  }
  gathered_ = batch.view.lsn();
  if (headless_) {
    totals_.headless_records += batch.view.header().record_count;
    return;
  }
  unit_.push_back(batch);
  if ((flags & format::kUnitContinues) != 0) return;
  for (const LocatedBatch& part : unit_) engine_.Apply(part);
  unit_.clear();
}

std::vector<DbId> Replay::databases() const {
  std::vector<DbId> databases;
  for (std::uint32_t db = 0; db <= std::numeric_limits<DbId>::max(); ++db) {
    if (engine_.Size(static_cast<DbId>(db)) > 0) databases.push_back(static_cast<DbId>(db));
  }
  return databases;
}

}  // namespace faha
