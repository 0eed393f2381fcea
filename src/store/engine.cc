#include "store/engine.h"

#include <algorithm>
#include <array>
#include <limits>
#include <random>

#include "base/check.h"

namespace faha {

using format::RecordKind;

namespace {
constexpr std::uint64_t kMaxDatabases = std::uint64_t{std::numeric_limits<DbId>::max()} + 1;

Record SwapRecord(std::span<const format::SwappedDb> swapped) {
  return {.kind = RecordKind::kSwap,
          .key = {},
          .value = {reinterpret_cast<const char*>(swapped.data()), swapped.size_bytes()}};
}
}  // namespace

KeySource::Key Engine::KeyAt(Place place) const {
  const Record record = RecordAt(place);
  return {record.db, record.key};
}

std::optional<Entry> Engine::Get(DbId db, std::string_view key) {
  db = map_.Stored(db);
  const std::uint64_t hash = index_.Hash(db, key);
  const Place place = index_.Read(hash, db, key);
  if (place.IsNone()) return std::nullopt;
  hot_.Count(hash, place);
  const Record record = RecordAt(place);
  return Entry{record.value, record.expire_at};
}

// Each key costs two cache misses, one after the other; here those of all keys overlap.
void Engine::Prefetch(DbId db, std::span<const std::string_view> keys) const {
  db = map_.Stored(db);
  std::array<std::uint64_t, Store::kPrefetchKeys> hashes;
  const std::size_t count = std::min(keys.size(), hashes.size());
  for (std::size_t i = 0; i < count; ++i) {
    hashes[i] = index_.Hash(db, keys[i]);
    index_.Prefetch(hashes[i]);
  }
  for (std::size_t i = 0; i < count; ++i) index_.PrefetchEntry(hashes[i]);
}

Status Engine::Put(DbId db, std::string_view key, std::string_view value, TimeMs expire_at) {
  db = map_.Stored(db);
  const Record record{.kind = RecordKind::kPut, .db = db, .key = key, .value = value, .expire_at = expire_at};
  const auto at = log_->Append(record);
  if (!at.ok()) return at.status();
  ApplyPut(record, {at.value(), index_.Hash(db, key)});
  return Status::Ok();
}

Status Engine::Delete(DbId db, std::string_view key) {
  db = map_.Stored(db);
  if (index_.Find(db, key).IsNone()) return Status::Ok();
  const Record record{.kind = RecordKind::kDelete, .db = db, .key = key, .value = {}};
  const auto at = log_->Append(record);
  if (!at.ok()) return at.status();
  ApplyDelete(record, at.value());
  return Status::Ok();
}

Status Engine::Flush(std::optional<DbId> db) {
  if (db) db = map_.Stored(*db);
  if ((db ? index_.Size(*db) : index_.Size()) == 0) return Status::Ok();
  const Record record{.kind = RecordKind::kFlush, .db = db.value_or(format::kAllDatabases), .key = {}, .value = {}};
  const auto at = log_->Append(record);
  if (!at.ok()) return at.status();
  ApplyFlush(record, at.value());
  return Status::Ok();
}

// Where both hold nothing, nobody can tell one from the other.
Status Engine::Swap(DbId a, DbId b) {
  if (a == b || (Size(a) == 0 && Size(b) == 0)) return Status::Ok();
  DatabaseMap map = map_;
  map.Swap(a, b);
  const auto swapped = map.swapped();
  const auto at = log_->Append(SwapRecord(swapped));
  if (!at.ok()) return at.status();
  map_ = std::move(map);
  swap_at_ = at.value();
  touched_ = true;
  return Status::Ok();
}

Status Engine::MoveSwap(std::uint32_t segment) {
  if (swap_at_ == LogAddress{} || log_->pool().SegmentOf(swap_at_) != segment) return Status::Ok();
  const auto to = log_->Append(log_->RecordAt(swap_at_), Head::kCold);
  if (!to.ok()) return to.status();
  log_->EndUnit();
  swap_at_ = to.value();
  return Status::Ok();
}

Result<bool> Engine::MovePut(const Record& record, std::uint64_t hash, LogAddress at) {
  if (!index_.Holds(hash, at)) return false;
  const auto to = log_->Append(record, Head::kCold);
  if (!to.ok()) return to.status();
  log_->EndUnit();
  index_.Move(hash, at, to.value());
  usage_.DropLive(at, record.bytes);
  usage_.AddLive(to.value(), record.bytes);
  return true;
}

Result<bool> Engine::MoveDelete(const Record& record, Lsn of) {
  if (!index_.Find(record.db, record.key).IsNone()) return false;
  Record moved = record;
  moved.value = {reinterpret_cast<const char*>(&of.value), sizeof of.value};
  const auto to = log_->Append(moved, Head::kCold);
  if (!to.ok()) return to.status();
  log_->EndUnit();
  usage_.AddTombstone(to.value(), moved.Size());
  return true;
}

void Engine::ForEachKey(DbId db, const std::function<void(std::string_view)>& visit) const {
  db = map_.Stored(db);
  index_.ForEach([&](Place place) {
    if (const Key key = KeyAt(place); key.db == db) visit(key.key);
  });
}

std::uint64_t Engine::Scan(DbId db, std::uint64_t cursor, const Visitor& visit) const {
  return ScanStored(map_.Stored(db), cursor, visit);
}

std::uint64_t Engine::ScanStored(DbId stored, std::uint64_t cursor, const Visitor& visit) const {
  return index_.Scan(cursor, [&](Place place) {
    const Record record = RecordAt(place);
    if (record.db == stored) visit(record.key, {record.value, record.expire_at});
  });
}

std::uint64_t Engine::ScanExpiring(std::uint64_t cursor, const ExpiryVisitor& visit) const {
  return index_.Scan(cursor, [&](Place place) {
    const Record record = RecordAt(place);
    if (record.expire_at != kNoExpiry) visit(map_.Named(record.db), record.key, record.expire_at);
  });
}

bool Engine::RandomKey(DbId db, std::uint64_t random, const Visitor& visit) const {
  db = map_.Stored(db);
  if (index_.Size(db) == 0) return false;
  // Chance does not find the few keys of a database among many: then the first behind some place is taken.
  constexpr int kTries = 500;
  std::mt19937_64 next(random);
  for (int i = 0; i < kTries; ++i) {
    const Place place = index_.Sample(next());
    if (place.IsNone()) continue;
    const Record record = RecordAt(place);
    if (record.db != db) continue;
    visit(record.key, {record.value, record.expire_at});
    return true;
  }
  bool found = false;
  for (std::uint64_t cursor = next(); !found;) {
    cursor = ScanStored(db, cursor, [&](std::string_view key, const Entry& entry) {
      if (!found) visit(key, entry);
      found = true;
    });
  }
  return true;
}

bool Engine::Save(const std::function<bool(std::span<const std::byte>)>& write) const {
  const auto swapped = map_.swapped();
  const std::uint64_t heads[] = {expiring_.all().size(), swapped.size(), swap_at_.value};
  return write(std::as_bytes(std::span(heads))) && write(std::as_bytes(expiring_.all())) &&
         write(std::as_bytes(std::span(swapped))) && write(std::as_bytes(usage_.segments())) && index_.Save(write);
}

bool Engine::Load(const std::function<bool(std::span<std::byte>)>& read, std::uint64_t limit) {
  std::vector<SegmentUsage> segments(log_->segments().count());
  std::uint64_t heads[3] = {};
  if (!read(std::as_writable_bytes(std::span(heads)))) return false;
  if (heads[0] > kMaxDatabases || heads[1] > kMaxDatabases) return false;
  std::vector<std::uint64_t> expiring(heads[0]);
  if (!read(std::as_writable_bytes(std::span(expiring)))) return false;
  expiring_.Restore(std::move(expiring));
  std::vector<format::SwappedDb> swapped(heads[1]);
  if (!read(std::as_writable_bytes(std::span(swapped))) || !IsSwap(swapped)) return false;
  map_.Restore(swapped);
  swap_at_ = LogAddress{heads[2]};
  if (!read(std::as_writable_bytes(std::span(segments)))) return false;
  usage_.Restore(std::move(segments));
  if (!index_.Load(read, limit)) return false;
  applied_ = log_->end().lsn;
  touched_ = touched_ || index_.Size() > 0 || usage_.tombstone_bytes() > 0 || swap_at_ != LogAddress{};
  return true;
}

void Engine::Replay(Lsn target) {
  if (index_.Size() == 0) index_.Reserve(log_->records_at_open());
  ApplyTo(target);
  index_.ShrinkToFit();
}

void Engine::ApplyTo(Lsn target) {
  FAHA_CHECK(usage_.segments().size() >= log_->segments().count(), "usage knows every segment");
  target = std::min(target, log_->end().lsn);
  if (applied_ >= target) return;
  cursor_.next = applied_.Next();
  while (applied_ < target) {
    LogCursor ahead = cursor_;
    const auto batch = log_->Next(ahead);
    // The target may lie in a gap: what follows it is for later.
    if (!batch || batch->view.lsn() > target) break;
    cursor_ = ahead;
    Apply(*batch);
    applied_ = batch->view.lsn();
  }
  applied_ = std::max(applied_, target);
}

void Engine::Apply(const LocatedBatch& batch) {
  const std::uint16_t flags = batch.view.header().flags;
  // The rest of what was begun comes at once or never: behind a gap goes on what cleaning has taken.
  const bool goes_on = (flags & format::kUnitContinued) != 0 && batch.view.lsn() == held_through_.Next();
  if (!goes_on) held_.clear();
  held_through_ = batch.view.lsn();
  const bool well_formed = batch.view.ForEach([&](const Record& record, std::uint64_t offset) {
    held_.push_back({batch.at + offset, index_.Hash(record.db, record.key)});
  });
  FAHA_CHECK(well_formed || !log_->pool().Readable(), "records are checked before a batch enters the log");
  if ((flags & format::kUnitContinues) != 0) return;
  ApplyHeld();
}

// Keys are spread over the index and the log, so each costs two cache misses: those of the next ones are fetched while
// one is applied.  All at once would be more than the processor has under way.
void Engine::ApplyHeld() {
  constexpr std::size_t kBucketAhead = 16, kEntryAhead = 8;
  for (std::size_t i = 0; i < held_.size(); ++i) {
    if (i + kBucketAhead < held_.size()) index_.Prefetch(held_[i + kBucketAhead].hash);
    if (i + kEntryAhead < held_.size()) index_.PrefetchEntry(held_[i + kEntryAhead].hash);
    ApplyRecord(log_->RecordAt(held_[i].at), held_[i]);
  }
  held_.clear();
}

void Engine::ApplyRecord(const Record& record, const Held& held) {
  switch (record.kind) {
    case RecordKind::kPut: return ApplyPut(record, held);
    case RecordKind::kDelete: return ApplyDelete(record, held.at);
    case RecordKind::kFlush: return ApplyFlush(record, held.at);
    case RecordKind::kSwap: return ApplySwap(record, held.at);
    case RecordKind::kConfig:
    case RecordKind::kEpochStart:
    case RecordKind::kFree: return;  // the cluster's and the log's, not the keyspace's
  }
}

void Engine::ApplyPut(const Record& record, const Held& held) {
  index_.Upsert(held.hash, record.db, record.key, held.at, [&](Place old) {
    Died(old);
    if (old.hot()) return hot_.Refresh(old, held.at, log_->RecordBytesAt(held.at));
    hot_.Moved(held.hash, Place::Cold(held.at));
    return Place::Cold(held.at);
  });
  usage_.AddLive(held.at, record.Size());
  if (record.expire_at != kNoExpiry) expiring_.Up(record.db);
  touched_ = true;
}

void Engine::ApplyDelete(const Record& record, LogAddress at) {
  const Place old = index_.Erase(record.db, record.key);
  if (!old.IsNone()) Erased(old);
  usage_.AddTombstone(at, record.Size());
  touched_ = true;
}

void Engine::ApplyFlush(const Record& record, LogAddress at) {
  touched_ = true;
  usage_.AddFlush(at);
  if (record.db == format::kAllDatabases || index_.Size(record.db) == index_.Size()) {
    index_.Clear();
    hot_.Clear();
    usage_.DropAllLive();
    expiring_.Clear();
  } else {
    index_.EraseDb(record.db, [&](Place dead) { Erased(dead); });
  }
}

void Engine::ApplySwap(const Record& record, LogAddress at) {
  const auto swapped = ReadSwap(record);
  FAHA_CHECK(swapped.has_value() || !log_->pool().Readable(), "records are checked before a batch enters the log");
  if (!swapped) return;
  map_.Restore(*swapped);
  swap_at_ = at;
  touched_ = true;
}

void Engine::RollBackTo(Lsn keep) {
  index_.Clear();
  map_ = {};
  swap_at_ = {};
  hot_.Clear();
  held_.clear();
  applied_ = Lsn{};
  cursor_ = {};
  usage_.Reset();
  expiring_.Clear();
  touched_ = false;
  ApplyTo(keep);
}

void Engine::CheckInvariants() const {
  index_.CheckInvariants();
  hot_.CheckInvariants([this](LogAddress at) { return log_->RecordBytesAt(at); });
  std::uint64_t hot = 0;
  index_.ForEach([&](Place place) { hot += place.hot() ? 1 : 0; });
  FAHA_CHECK(hot == hot_.stats().keys, "every hot slot has its block");
}

}  // namespace faha
