// Applying records: the one replay, and flushes.  See engine.h.  Thread: main loop only.
#include <algorithm>
#include <utility>
#include <vector>

#include "base/check.h"
#include "store/engine.h"

namespace faha {

using format::RecordKind;

void Engine::Replay(Lsn target) {
  target = std::min(target, log_->end().lsn);
  SettleAt(log_->end().lsn);
  if (index_.Size() == 0 && applied_ < target) {
    // Applying a first part shows to which databases the keys belong.
    ApplyTo(Lsn{applied_.value + (target.value - applied_.value) / 64});
    if (index_.Size() != 0) index_.Expect(log_->records_at_open());
  }
  ApplyTo(target);
  index_.ShrinkToFit();
  Settle();
}

void Engine::ApplyTo(Lsn target) {
  FAHA_CHECK(usage_.segments().size() >= log_->segments().count(), "usage knows every segment");
  target = std::min(target, log_->end().lsn);
  if (applied_ >= target) return;
  Committed(target);
  Advance(target);
  journal_.Reset(applied_);
  Settle();
}

void Engine::ApplyTail() {
  tail_ = true;
  Advance(log_->end().lsn);
  tail_ = false;
  Settle();
}

void Engine::Advance(Lsn target) {
  cursor_.next = applied_.Next();
  while (applied_ < target) {
    LogCursor ahead = cursor_;
    const auto batch = log_->Next(ahead);
    // The target may lie in a gap: the batch that follows the gap is for later.
    if (!batch || batch->view.lsn() > target) break;
    cursor_ = ahead;
    if (!Apply(*batch)) break;
    applied_ = batch->view.lsn();
  }
  if (log_->pool().damage().ok()) applied_ = std::max(applied_, target);
}

// The batch was intact when it landed, but that may be a while ago, so it is checked again.
bool Engine::Apply(const LocatedBatch& batch) {
  if (!log_->IsIntact(batch.view, batch.at)) return false;
  const std::uint16_t flags = batch.view.header().flags;
  // A batch may continue a unit only if the batch just before it has left that unit open.  If that batch is not here,
  // cleaning has taken it, and the rest of the unit is not applied.
  const bool goes_on = (flags & format::kUnitContinued) != 0 && batch.view.lsn() == held_through_.Next();
  if (!goes_on) held_.clear();
  if (held_.empty()) held_from_ = batch.view.lsn();
  held_through_ = batch.view.lsn();
  const bool well_formed = batch.view.ForEach([&](const Record& record, std::uint64_t offset) {
    held_.push_back({batch.at + offset, HashOf(record), record.db});
  });
  FAHA_CHECK(well_formed || !log_->pool().Readable(), "records are checked before a batch enters the log");
  return (flags & format::kUnitContinues) != 0 || ApplyHeld();
}

// Keys are spread over the index and the log, so each costs two cache misses: while one record is applied, those of the
// next ones are prefetched.  Prefetching all at once would exceed what the processor can have under way.
bool Engine::ApplyHeld() {
  // Records of earlier batches have waited since they were checked, so they are checked again.
  const auto damaged = [this](const Held& held) { return !log_->IsAsWritten(held.at, RecordPart::kAll); };
  if (held_from_ != held_through_ && std::any_of(held_.begin(), held_.end(), damaged)) return false;
  if (tail_) {
    journal_.OpenAt(held_through_, held_from_);
  } else {
    journal_.Close();
  }
  constexpr std::size_t kBucketAhead = 16, kEntryAhead = 8;
  for (std::size_t i = 0; i < held_.size(); ++i) {
    if (i + kBucketAhead < held_.size()) {
      index_.Prefetch(held_[i + kBucketAhead].db, held_[i + kBucketAhead].hash);
    }
    if (i + kEntryAhead < held_.size()) {
      index_.PrefetchEntry(held_[i + kEntryAhead].db, held_[i + kEntryAhead].hash);
    }
    ApplyRecord(log_->RecordAt(held_[i].at), held_[i]);
  }
  held_.clear();
  return true;
}

void Engine::ApplyRecord(const Record& record, const Held& held) {
  switch (record.kind) {
    case RecordKind::kPut: return ApplyPut(record, held);
    case RecordKind::kDelete: return ApplyDelete(record, held);
    case RecordKind::kFlush: return ApplyFlush(record, held.at);
    case RecordKind::kSwap: return ApplySwap(record, held.at);
    case RecordKind::kElement: return (void)ApplyElement(record, held);
    case RecordKind::kElementErased: return ApplyElementErased(record, held);
    case RecordKind::kConfig:
    case RecordKind::kEpochStart:
    case RecordKind::kFree: return;  // for the cluster and the log, not for the keyspace
  }
}

void Engine::ApplyPut(const Record& record, const Held& held) {
  LogAddress was;
  // It is bound to its new record before its old one is let go.
  if (record.large) Bind(record, held.at);
  index_.Upsert(held.hash, record.db, record.key, held.at, [&](Place old) {
    was = old.log_address();
    Died(old);
    if (old.hot()) return hot_.Refresh(old, held.at, log_->RecordBytesAt(held.at));
    hot_.Moved(record.db, held.hash, Place::Cold(held.at));
    return Place::Cold(held.at);
  });
  Note(Undo::Kind::kPut, record.db, held.hash, held.at, was.value);
  usage_.AddLive(held.at, Live::Of(record, record.Size()));
  if (record.expire_at != kNoExpiry) expiring_.Up(record.db);
  touched_ = true;
}

void Engine::ApplyDelete(const Record& record, const Held& held) {
  const Place old = index_.Erase(held.hash, record.db, record.key);
  Note(Undo::Kind::kDelete, record.db, held.hash, held.at, old.log_address().value);
  if (!old.IsNone()) Erased(old);
  usage_.AddTombstone(held.at, record.Size());
  touched_ = true;
}

void Engine::ApplyFlush(const Record& record, LogAddress at) {
  Note(Undo::Kind::kFlush, 0, 0, at, 0);
  touched_ = true;
  usage_.AddFlush(at);
  // While a log is replayed, the records that bind the collections of other databases may come later.
  const bool is_all = index_.Size(record.db) == index_.Size() && settled_;
  if (record.db == format::kAllDatabases || is_all) {
    FlushAll(at);
  } else if (index_.Size(record.db) != 0) {
    FlushDb(record.db, at);
  }
}

// For a flush that erases its keys one by one: if it is taken back, each key is put back where it was, and for this the
// key must be readable.
bool Engine::HeadsAreWhole(std::optional<DbId> db) const {
  if ((db ? index_.Size(*db) : index_.Size()) > kFewKeys) return true;
  bool whole = true;
  index_.ForEachDb([&](DbId each) {
    if (db && each != *db) return;
    index_.ForEach(each, [&](Place place) { whole = AsWritten(place, RecordPart::kHead) && whole; });
  });
  return whole;
}

void Engine::FlushAll(LogAddress at) {
  if (!journal_.open()) {
    final_ = 0;
    flushed_.clear();
    index_.Clear();
    collections_ = NewCollections();
    hot_.Clear();
    usage_.DropAllLive();
    expiring_.Clear();
    return;
  }
  // A client may send many flushes that remove only a key or two each before the first of them is committed.
  if (index_.Size() <= kFewKeys) return index_.ForEachDb([&](DbId db) { EraseEach(db, at); });
  Note(Undo::Kind::kFlushAll, 0, 0, at, 0);
  for (Flushed& flushed : flushed_) ++flushed.covered;
  flushed_all_.push_back({index_.TakeAll(), hot_.Park(), usage_.TakeAllLive(), std::exchange(expiring_, {}),
                          std::exchange(collections_, NewCollections())});
}

// If there are many keys, nobody waits until each was looked at: until then their records count as live.
void Engine::FlushDb(DbId db, LogAddress at) {
  if (index_.Size(db) <= kFewKeys) return EraseEach(db, at);
  // One of them may have another key, which replay will only see later.
  if (!settled_) collections_->ForEachOf(db, [this](Large& large) { LetGo(large); });
  Note(Undo::Kind::kFlushDb, db, 0, at, expiring_.Of(db));
  expiring_.Set(db, 0);
  flushed_.emplace_back(index_.Retire(db), usage_.forgets());
  collections_->Flush(db, flushed_.back().collections);
  if (journal_.open()) return;
  final_ = flushed_.size();
  BuryFlushed();
}

void Engine::BuryFlushed() {
  for (std::size_t i = 0; i < final_; ++i) {
    if (flushed_[i].covered == 0) collections_->Bury(flushed_[i].collections, flushed_[i].forgets);
  }
}

void Engine::EraseEach(DbId db, LogAddress at) {
  index_.ForEach(db, [&](Place place) {
    const Key key = KeyAt(place);
    Note(Undo::Kind::kErased, db, index_.Hash(key.db, key.key), at, place.log_address().value);
    Erased(place);
  });
  index_.Discard(index_.Retire(db));
}

bool Engine::TakeDownFlushed() {
  const auto drop = [this](LogAddress at, std::uint64_t forgets) { DropLiveSince(Place::Cold(at), forgets); };
  if (final_ == 0 || flushed_.front().covered != 0) return collections_->TakeDown(drop);
  const Flushed& oldest = flushed_.front();
  const bool more = oldest.table->TakeDown([&](Place place) {
    DropLiveSince(place, oldest.forgets);
    if (place.hot()) hot_.Drop(place.block());
  });
  if (more) return true;
  index_.Discard(oldest.table);
  flushed_.pop_front();
  --final_;
  return true;
}

void Engine::ApplySwap(const Record& record, LogAddress at) {
  const auto swapped = ReadSwap(record);
  FAHA_CHECK(swapped.has_value() || !log_->pool().Readable(), "records are checked before a batch enters the log");
  if (!swapped) return;
  map_.Restore(*swapped);
  swap_at_ = at;
  touched_ = true;
}

}  // namespace faha
