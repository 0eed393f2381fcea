#include "store/engine.h"

#include <fmt/format.h>

#include "base/check.h"

namespace faha {

using format::RecordKind;

KeySource::Key Engine::KeyAt(LogAddress at) const {
  const Record record = log_->RecordAt(at);
  return {record.db, record.key};
}

std::optional<Entry> Engine::Get(DbId db, std::string_view key) const {
  const LogAddress at = index_.Find(db, key);
  if (at.IsNone()) return std::nullopt;
  const Record record = log_->RecordAt(at);
  return Entry{record.value, record.expire_at};
}

Status Engine::Put(DbId db, std::string_view key, std::string_view value, TimeMs expire_at) {
  const Record record{.kind = RecordKind::kPut, .db = db, .key = key, .value = value, .expire_at = expire_at};
  const auto at = log_->Append(record);
  if (!at.ok()) return at.status();
  index_.Upsert(db, key, at.value());
  touched_ = true;
  return Status::Ok();
}

Status Engine::Delete(DbId db, std::string_view key) {
  if (index_.Find(db, key).IsNone()) return Status::Ok();
  const auto at = log_->Append({.kind = RecordKind::kDelete, .db = db, .key = key, .value = {}});
  if (!at.ok()) return at.status();
  index_.Erase(db, key);
  return Status::Ok();
}

Status Engine::Flush(std::optional<DbId> db) {
  if ((db ? index_.Size(*db) : index_.Size()) == 0) return Status::Ok();
  const Record record{.kind = RecordKind::kFlush, .db = db.value_or(format::kAllDatabases), .key = {}, .value = {}};
  const auto at = log_->Append(record);
  if (!at.ok()) return at.status();
  ApplyRecord(record, at.value());
  return Status::Ok();
}

void Engine::ForEachKey(DbId db, const std::function<void(std::string_view)>& visit) const {
  index_.ForEach([&](LogAddress at) {
    if (const Key key = KeyAt(at); key.db == db) visit(key.key);
  });
}

void Engine::ApplyTo(Lsn target) {
  target = std::min(target, log_->end().lsn);
  while (applied_ < target) {
    const auto batch = log_->Find(applied_.Next(), next_at_);
    FAHA_CHECK(batch.has_value(), "the log holds what was not applied yet");
    ApplyBatch(*batch);
    applied_ = applied_.Next();
    next_at_ = batch->at + batch->bytes.size();
  }
}

void Engine::ApplyBatch(const LocatedBatch& batch) {
  const std::uint16_t flags = batch.view.header().flags;
  if ((flags & format::kUnitContinued) == 0) held_.clear();
  const bool well_formed =
      batch.view.ForEach([&](const Record&, std::uint64_t offset) { held_.push_back(batch.at + offset); });
  FAHA_CHECK(well_formed, "records are checked before a batch enters the log");
  if ((flags & format::kUnitContinues) != 0) return;
  ApplyRecords(held_);
  held_.clear();
}

// Keys are spread over the index and the log, so each costs two cache misses: those of the next ones are fetched while
// one is applied.
void Engine::ApplyRecords(const std::vector<LogAddress>& at) {
  constexpr std::size_t kBucketAhead = 16, kEntryAhead = 8;
  for (std::size_t i = 0; i < at.size(); ++i) {
    if (i + kBucketAhead < at.size()) {
      const Record later = log_->RecordAt(at[i + kBucketAhead]);
      index_.Prefetch(later.db, later.key);
    }
    if (i + kEntryAhead < at.size()) {
      const Record soon = log_->RecordAt(at[i + kEntryAhead]);
      index_.PrefetchEntry(soon.db, soon.key);
    }
    ApplyRecord(log_->RecordAt(at[i]), at[i]);
  }
}

void Engine::ApplyRecord(const Record& record, LogAddress at) {
  switch (record.kind) {
    case RecordKind::kPut:
      index_.Upsert(record.db, record.key, at);
      touched_ = true;
      break;
    case RecordKind::kDelete:
      index_.Erase(record.db, record.key);
      touched_ = true;
      break;
    case RecordKind::kFlush:
      touched_ = true;
      if (record.db == format::kAllDatabases) {
        index_.Clear();
      } else {
        index_.EraseDb(record.db);
      }
      break;
    case RecordKind::kConfig:
    case RecordKind::kEpochStart: break;  // the cluster's, not the keyspace's
  }
}

void Engine::RollBackTo(Lsn keep) {
  index_.Clear();
  held_.clear();
  applied_ = Lsn{};
  next_at_ = LogAddress{};
  touched_ = false;
  ApplyTo(keep);
}

}  // namespace faha
