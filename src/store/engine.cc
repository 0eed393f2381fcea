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
  const auto record = RecordAt(place, RecordPart::kHead);
  if (record) return {record->db, record->key};
  broken_ = true;
  return {};
}

std::optional<Entry> Engine::Get(DbId db, std::string_view key) {
  db = map_.Stored(db);
  const std::uint64_t hash = index_.Hash(db, key);
  const Place place = index_.Read(hash, db, key);
  if (place.IsNone()) return std::nullopt;
  const auto record = RecordAt(place, RecordPart::kAll);
  if (!record) return std::nullopt;
  hot_.Count(db, hash, place);
  return Entry{record->value, record->expire_at, record->type, record->large};
}

// Each key costs two cache misses, one after the other; here the misses of all keys overlap.
void Engine::Prefetch(DbId db, std::span<const std::string_view> keys) const {
  db = map_.Stored(db);
  std::array<std::uint64_t, Store::kPrefetchKeys> hashes;
  const std::size_t count = std::min(keys.size(), hashes.size());
  for (std::size_t i = 0; i < count; ++i) {
    hashes[i] = Ahead(db, keys[i]);
  }
  for (std::size_t i = 0; i < count; ++i) index_.PrefetchEntry(db, hashes[i]);
}

Result<LogAddress> Engine::Append(const Record& record, Head head) {
  const bool goes_on = log_->InUnit();
  auto at = log_->Append(record, head);
  if (at.ok()) journal_.Open(log_->end().lsn.Next(), goes_on);
  return at;
}

Status Engine::Put(DbId db, std::string_view key, const Entry& entry) {
  db = map_.Stored(db);
  const Record record{.kind = RecordKind::kPut,
                      .db = db,
                      .key = key,
                      .value = entry.value,
                      .expire_at = entry.expire_at,
                      .type = entry.type,
                      .large = entry.large};
  const auto at = Append(record);
  if (!at.ok()) return at.status();
  const Record written = log_->RecordAt(at.value());  // what `entry` viewed may have moved
  ApplyPut(written, {at.value(), index_.Hash(db, written.key), db});
  return Status::Ok();
}

Status Engine::Delete(DbId db, std::string_view key) {
  db = map_.Stored(db);
  const std::uint64_t hash = index_.Hash(db, key);
  if (index_.Find(hash, db, key).IsNone()) return Status::Ok();
  const Record record{.kind = RecordKind::kDelete, .db = db, .key = key, .value = {}};
  const auto at = Append(record);
  if (!at.ok()) return at.status();
  ApplyDelete(record, {at.value(), hash, db});
  return Status::Ok();
}

Status Engine::Flush(std::optional<DbId> db) {
  if (db) db = map_.Stored(*db);
  if ((db ? index_.Size(*db) : index_.Size()) == 0) return Status::Ok();
  if (!HeadsAreWhole(db)) return log_->pool().damage();
  const Record record{.kind = RecordKind::kFlush, .db = db.value_or(format::kAllDatabases), .key = {}, .value = {}};
  const auto at = Append(record);
  if (!at.ok()) return at.status();
  ApplyFlush(record, at.value());
  return Status::Ok();
}

// If both databases are empty, nobody can tell one from the other.
Status Engine::Swap(DbId a, DbId b) {
  if (a == b || (Size(a) == 0 && Size(b) == 0)) return Status::Ok();
  DatabaseMap map = map_;
  map.Swap(a, b);
  const auto swapped = map.swapped();
  const auto at = Append(SwapRecord(swapped));
  if (!at.ok()) return at.status();
  Note(Undo::Kind::kSwap, 0, 0, at.value(), swap_at_.value);
  map_ = std::move(map);
  swap_at_ = at.value();
  touched_ = true;
  return Status::Ok();
}

Status Engine::MoveSwap(std::uint32_t segment, Head head) {
  if (swap_at_ == LogAddress{} || log_->pool().SegmentOf(swap_at_) != segment) return Status::Ok();
  // The new record is built from DRAM, not from a medium that may have damaged the old one.
  const auto swapped = map_.swapped();
  const auto to = Append(SwapRecord(swapped), head);
  if (!to.ok()) return to.status();
  log_->EndUnit();
  Note(Undo::Kind::kSwap, 0, 0, to.value(), swap_at_.value);
  swap_at_ = to.value();
  return Status::Ok();
}

Status Engine::MovePut(const Record& record, std::uint64_t hash, LogAddress at, Head head) {
  const auto to = Append(record, head);
  if (!to.ok()) return to.status();
  log_->EndUnit();
  if (IsElementKind(record.kind)) {
    Note(Undo::Kind::kElementMove, 0, hash, to.value(), at.value);
    collections_->Find(CollectionOf(record))->Move(record, hash, at, to.value());
  } else {
    Note(Undo::Kind::kMove, record.db, hash, to.value(), at.value);
    index_.Move(record.db, hash, at, to.value());
    if (record.large) Bind(record, to.value());
  }
  usage_.DropLive(at, Live::Of(record));
  usage_.AddLive(to.value(), Live::Of(record));
  return Status::Ok();
}

Status Engine::MoveDelete(const Record& record, Lsn of, Head head) {
  Record moved = record;
  moved.value = {reinterpret_cast<const char*>(&of.value), sizeof of.value};
  const auto to = Append(moved, head);
  if (!to.ok()) return to.status();
  log_->EndUnit();
  Note(Undo::Kind::kDelete, record.db, 0, to.value(), 0);
  usage_.AddTombstone(to.value(), moved.Size());
  return Status::Ok();
}

void Engine::DropNamed(const Segment& segment) {
  const Pool& pool = log_->pool();
  const LogAddress start = pool.SegmentStart(segment.index);
  const auto inside = [&](LogAddress at) { return !at.IsNone() && pool.SegmentOf(at) == segment.index; };
  for (std::uint64_t offset = 0; offset < segment.used_bytes;) {
    const auto batch = BatchView::Trusted(log_->BytesAt(start + offset));
    if (!log_->IsIntact(batch, start + offset)) {
      broken_ = true;  // nobody knows which keys the batch held
      return;
    }
    FAHA_CHECK(batch.ForEach([&](const Record& record, std::uint64_t in_batch) {
      const LogAddress at = start + offset + in_batch;
      if (record.kind == RecordKind::kElement) return DropNamedElement(record, at);
      if (record.kind == RecordKind::kPut && IsNewest(record, at)) Erased(index_.Erase(record.db, record.key));
    }),
               "records are checked before a batch enters the log");
    offset += batch.PaddedBytes(pool.geometry().granule);
  }
  std::erase_if(held_, [&](const Held& held) { return inside(held.at); });
  if (inside(swap_at_)) swap_at_ = {};
}

void Engine::ForEachKey(DbId db, const std::function<void(std::string_view)>& visit) const {
  db = map_.Stored(db);
  index_.ForEach(db, [&](Place place) {
    if (const auto record = RecordAt(place, RecordPart::kHead)) visit(record->key);
  });
}

std::uint64_t Engine::Scan(DbId db, std::uint64_t cursor, const Visitor& visit) const {
  return ScanStored(map_.Stored(db), cursor, visit);
}

std::uint64_t Engine::ScanStored(DbId stored, std::uint64_t cursor, const Visitor& visit) const {
  return index_.Scan(stored, cursor, [&](Place place) {
    if (const auto record = RecordAt(place, RecordPart::kHead)) visit(record->key, record->expire_at, record->type);
  });
}

std::uint64_t Engine::ScanExpiring(std::uint64_t cursor, const ExpiryVisitor& visit) const {
  return index_.ScanAll(cursor, [&](Place place) {
    const auto record = RecordAt(place, RecordPart::kHead);
    if (record && record->expire_at != kNoExpiry) visit(map_.Named(record->db), record->key, record->expire_at);
  });
}

bool Engine::RandomKey(DbId db, std::uint64_t random, const Visitor& visit) const {
  db = map_.Stored(db);
  if (index_.Size(db) == 0) return false;
  // Random samples may all fail, though this hardly ever happens: then the first key behind a random cursor is taken.
  constexpr int kTries = 500;
  std::mt19937_64 next(random);
  for (int i = 0; i < kTries; ++i) {
    const Place place = index_.Sample(db, next());
    if (place.IsNone()) continue;
    const auto record = RecordAt(place, RecordPart::kHead);
    if (!record) return false;
    visit(record->key, record->expire_at, record->type);
    return true;
  }
  bool found = false;
  for (std::uint64_t cursor = next(); !found && !misread_;) {
    cursor = ScanStored(db, cursor, [&](std::string_view key, TimeMs expire_at, ValueType type) {
      if (!found) visit(key, expire_at, type);
      found = true;
    });
  }
  return found;
}

bool Engine::Save(const std::function<bool(std::span<const std::byte>)>& write) const {
  const auto swapped = map_.swapped();
  // The retired indexes of flushed databases are not saved, and nobody would take them down after a restart, so the
  // saved usage already leaves out their records.
  Usage usage = usage_;
  const auto drop = [&](Place place, std::uint64_t forgets) {
    const LogAddress at = place.log_address();
    if (usage_.ForgottenSince(at, forgets)) return;
    if (const auto record = RecordAt(place, RecordPart::kHead)) usage.DropLive(at, Live::Of(*record));
  };
  for (const Flushed& flushed : flushed_) {
    if (flushed.covered != 0) continue;
    flushed.table->ForEach([&](Place place) { drop(place, flushed.forgets); });
    flushed.collections.ForEach(
        [&](const Large& large) { large.ForEach([&](LogAddress at) { drop(Place::Cold(at), flushed.forgets); }); });
  }
  collections_->ForEachGone([&](LogAddress at, std::uint64_t forgets) { drop(Place::Cold(at), forgets); });
  const std::uint64_t heads[] = {expiring_.all().size(), swapped.size(), swap_at_.value};
  return write(std::as_bytes(std::span(heads))) && write(std::as_bytes(expiring_.all())) &&
         write(std::as_bytes(std::span(swapped))) && write(std::as_bytes(usage.segments())) && index_.Save(write) &&
         collections_->Save(write);
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
  element_hash_ = HashOfElements();
  collections_ = NewCollections();
  if (!collections_->Load(read, limit)) return false;
  applied_ = log_->end().lsn;
  journal_.Reset(applied_);
  LogIsWhole();
  touched_ = touched_ || index_.Size() > 0 || usage_.tombstone_bytes() > 0 || swap_at_ != LogAddress{};
  return true;
}

void Engine::CheckInvariants() const {
  index_.CheckInvariants();
  collections_->CheckInvariants();
  hot_.CheckInvariants([this](LogAddress at) { return log_->RecordBytesAt(at); });
  std::uint64_t hot = 0;
  const auto count = [&](Place place) { hot += place.hot() ? 1 : 0; };
  index_.ForEach(count);
  index_.ForEachRetired(count);
  // Parked blocks do not count as keys of the tier, but a retired index may name them.
  FAHA_CHECK(hot == hot_.stats().keys || !flushed_all_.empty(), "every hot slot has its block");
}

}  // namespace faha
