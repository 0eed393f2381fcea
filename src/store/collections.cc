#include "store/collections.h"

#include "base/check.h"

namespace faha {

void Collections::List::Add(Large& large) {
  large.before = ring_.before;
  large.behind = &ring_;
  ring_.before->behind = &large;
  ring_.before = &large;
}

void Collections::List::Remove(Large& large) {
  large.before->behind = large.behind;
  large.behind->before = large.before;
  large.before = large.behind = &large;
}

void Collections::List::Take(List& others) {
  if (others.empty()) return;
  others.ring_.behind->before = ring_.before;
  ring_.before->behind = others.ring_.behind;
  others.ring_.before->behind = &ring_;
  ring_.before = others.ring_.before;
  others.ring_.before = others.ring_.behind = &others.ring_;
}

Large& Collections::Make(const CollectionId& id, ValueType type) {
  if (Large* found = Find(id)) return *found;
  auto& large = all_[id];
  large = std::make_unique<Large>(id, type, *source_, totals_, *hash_);
  unbound_.Add(*large);
  return *large;
}

void Collections::Bind(Large& large, LogAddress owner, DbId db) {
  List::Remove(large);
  large.owner = owner;
  large.db = db;
  large.flushes = FlushesOf(db);
  large.pending = false;
  Of(db).Add(large);
}

void Collections::Unbind(Large& large) {
  List::Remove(large);
  large.owner = {};
  unbound_.Add(large);
}

void Collections::Drop(Large& large) {
  FAHA_CHECK(large.owner.IsNone() && large.Size() == 0, "what is dropped has nothing");
  List::Remove(large);
  Forget(large);
}

Collections::List& Collections::NewlyBuried(std::uint64_t forgets) {
  if (buried_.empty() || buried_.back().forgets != forgets) buried_.emplace_back(forgets);
  return buried_.back().list;
}

void Collections::Bury(Large& large, std::uint64_t forgets) {
  List::Remove(large);
  large.pending = false;
  NewlyBuried(forgets).Add(large);
}

void Collections::Settle(std::uint64_t forgets) {
  unbound_.ForEach([&](Large& large) {
    if (!large.pending) Bury(large, forgets);
  });
}

void Collections::Flush(DbId db, List& flushed) {
  if (flushes_.size() <= db) flushes_.resize(std::size_t{db} + 1);
  ++flushes_[db];
  flushed.Take(Of(db));
}

void Collections::TakeFlushBack(DbId db, List& flushed) {
  FAHA_CHECK(Of(db).empty(), "what was bound since then was taken back before");
  --flushes_[db];
  Of(db).Take(flushed);
}

void Collections::Bury(List& flushed, std::uint64_t forgets) { NewlyBuried(forgets).Take(flushed); }

namespace {
struct SavedLarge {
  std::uint64_t born = 0, owner = 0;
  std::uint32_t number = 0;
  std::uint16_t db = 0;
  std::uint8_t type = 0, reserved = 0;
};
static_assert(sizeof(SavedLarge) == 24);
}  // namespace

bool Collections::Save(const std::function<bool(std::span<const std::byte>)>& write) const {
  std::uint64_t count = 0;
  ForEachBound([&](const Large&) { ++count; });
  bool written = write(std::as_bytes(std::span(&count, 1)));
  ForEachBound([&](const Large& large) {
    const SavedLarge saved{.born = large.id().born,
                           .owner = large.owner.value,
                           .number = large.id().number,
                           .db = large.db,
                           .type = static_cast<std::uint8_t>(large.type())};
    written = written && write(std::as_bytes(std::span(&saved, 1))) && large.Save(write);
  });
  return written;
}

bool Collections::Load(const std::function<bool(std::span<std::byte>)>& read, std::uint64_t limit) {
  std::uint64_t count = 0;
  if (!read(std::as_writable_bytes(std::span(&count, 1)))) return false;
  for (; count > 0; --count) {
    SavedLarge saved;
    if (!read(std::as_writable_bytes(std::span(&saved, 1)))) return false;
    const CollectionId id{saved.born, saved.number};
    const bool is_collection = saved.type > 0 && saved.type <= static_cast<std::uint8_t>(kLastValueType);
    if (!is_collection || saved.owner == 0 || Find(id) != nullptr) return false;
    Large& large = Make(id, static_cast<ValueType>(saved.type));
    if (!large.Load(read, limit)) return false;
    Bind(large, LogAddress{saved.owner}, saved.db);
  }
  return true;
}

void Collections::CheckInvariants() const {
  std::uint64_t listed = 0;
  const auto check = [&](const List& list, bool bound) {
    list.ForEach([&](const Large& large) {
      ++listed;
      FAHA_CHECK(Find(large.id()) == &large, "a collection is found by its name");
      FAHA_CHECK(IsBound(large) == bound, "a collection is in the list where it belongs");
      large.CheckInvariants();
    });
  };
  for (const List& list : bound_) check(list, true);
  check(unbound_, false);
  FAHA_CHECK(listed <= all_.size(), "each collection is in one list");
}

}  // namespace faha
