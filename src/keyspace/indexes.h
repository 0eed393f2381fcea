// The index of everything: one Index for each database that has keys.  Thread: main loop only.
// A database costs nothing while it is empty, and little while it is small.  Flushing a database, however many keys it
// has, only takes its index out.  That index is then retired: nobody finds its keys any more, but the hot tier still
// finds the slots that name its blocks, until the index is taken down or comes back.
// Invariants: (1) a database has an index if it has a key.
//             (2) Size() counts the keys of all databases, but not those of retired indexes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <memory_resource>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "base/check.h"
#include "faha/types.h"
#include "keyspace/index.h"
#include "keyspace/key_hash.h"
#include "keyspace/place.h"

namespace faha {

class Indexes {
 public:
  using Tables = std::vector<std::unique_ptr<Index>>;

  // `keys` and `memory` must outlive this object.  `keys` must be able to read every place from the moment this object
  // is told of it.
  explicit Indexes(const KeySource& keys, std::pmr::memory_resource* memory = std::pmr::get_default_resource(),
                   const KeyHash& hash = KeyHash(KeyHash::RandomSeed()))
      : keys_(keys), memory_(memory), hash_(hash) {}
  Indexes(const Indexes&) = delete;
  Indexes& operator=(const Indexes&) = delete;

  // --- One key.  See Index; `hash` is always that of the key: Hash(db, key).
  [[nodiscard]] std::uint64_t Hash(DbId db, std::string_view key) const { return hash_(db, key); }
  [[nodiscard]] Place Find(std::uint64_t hash, DbId db, std::string_view key) const {
    const Index* table = Of(db);
    return table == nullptr ? Place{} : table->Find(hash, key);
  }
  [[nodiscard]] Place Find(DbId db, std::string_view key) const { return Find(Hash(db, key), db, key); }
  Place Read(std::uint64_t hash, DbId db, std::string_view key) {
    Index* table = Of(db);
    return table == nullptr ? Place{} : table->Read(hash, key);
  }
  [[nodiscard]] const KeyHash& hash() const { return hash_; }
  void Prefetch(DbId db, std::uint64_t hash) const {
    if (const Index* table = Of(db); table != nullptr) table->Prefetch(hash);
  }
  void PrefetchEntry(DbId db, std::uint64_t hash) const {
    if (const Index* table = Of(db); table != nullptr) table->PrefetchEntry(hash);
  }
  template <typename Function>
  Place Upsert(std::uint64_t hash, DbId db, std::string_view key, LogAddress at, Function replace) {
    const Place old = Make(db).Upsert(hash, key, at, replace);
    if (old.IsNone()) ++size_;
    return old;
  }
  Place Upsert(std::uint64_t hash, DbId db, std::string_view key, LogAddress at) {
    return Upsert(hash, db, key, at, [at](Place) { return Place::Cold(at); });
  }
  Place Upsert(DbId db, std::string_view key, LogAddress at) { return Upsert(Hash(db, key), db, key, at); }
  Place Erase(std::uint64_t hash, DbId db, std::string_view key);
  Place Erase(DbId db, std::string_view key) { return Erase(Hash(db, key), db, key); }

  // --- For callers that move records and blocks.  These functions do not read the key; the low 48 bits of its hash are
  // enough.
  // Is the newest record of the key of `db` with that hash at `at`?
  [[nodiscard]] bool Holds(DbId db, std::uint64_t hash, LogAddress at) const {
    const Index* table = Of(db);
    return table != nullptr && table->Holds(hash, at);
  }
  // See Index::Move.
  void Move(DbId db, std::uint64_t hash, LogAddress from, LogAddress to) {
    FAHA_CHECK(Of(db) != nullptr, "what is moved is held");
    Of(db)->Move(hash, from, to);
  }
  // See Index.
  Place Remove(DbId db, std::uint64_t hash, LogAddress at);
  void Restore(DbId db, std::uint64_t hash, LogAddress at) {
    Make(db).Restore(hash, at);
    ++size_;
  }
  Place Replace(DbId db, std::uint64_t hash, LogAddress from, LogAddress to) {
    FAHA_CHECK(Of(db) != nullptr, "what is replaced is held");
    return Of(db)->Replace(hash, from, to);
  }
  // As in Index, but retired indexes are searched as well.
  [[nodiscard]] bool Names(DbId db, std::uint64_t hash, Place place) const {
    return AnyOf(db, [&](const Index& table) { return table.Names(hash, place); });
  }
  template <typename Function>
  bool Change(DbId db, std::uint64_t hash, Place from, Function change) {
    return AnyOf(db, [&](const Index& table) { return const_cast<Index&>(table).Change(hash, from, change); });
  }

  // --- Whole databases.
  [[nodiscard]] std::uint64_t Size(DbId db) const {
    const Index* table = Of(db);
    return table == nullptr ? 0 : table->Size();
  }
  [[nodiscard]] std::uint64_t Size() const { return size_; }
  // Retired indexes included.
  [[nodiscard]] std::size_t MemoryBytes() const;
  // Calls fn(Place) for every key of `db`, in no order.  `fn` must not change the index.
  template <typename Function>
  void ForEach(DbId db, Function fn) const {
    if (const Index* table = Of(db); table != nullptr) table->ForEach(fn);
  }
  // Calls fn(DbId) for every database that has keys; `fn` may empty it.
  template <typename Function>
  void ForEachDb(Function fn) const {
    for (std::size_t db = 0; db < tables_.size(); ++db) {
      if (tables_[db]) fn(static_cast<DbId>(db));
    }
  }
  // Calls fn(Place) for every key of all databases.
  template <typename Function>
  void ForEach(Function fn) const {
    for (const auto& table : tables_) {
      if (table) table->ForEach(fn);
    }
  }
  // The same for every key of the retired indexes.
  template <typename Function>
  void ForEachRetired(Function fn) const {
    for (const auto& table : retired_) table->ForEach(fn);
  }
  // A part of the keys of `db`: see Index.
  template <typename Function>
  std::uint64_t Scan(DbId db, std::uint64_t cursor, Function fn) const {
    const Index* table = Of(db);
    return table == nullptr ? 0 : table->Scan(cursor, fn);
  }
  // The same for all databases, one after the other.  The cursor's highest bits name the database; the low kCursorBits
  // are enough for the Index, whose cursors have no more bits than a bucket's depth.
  template <typename Function>
  std::uint64_t ScanAll(std::uint64_t cursor, Function fn) const {
    std::size_t db = cursor >> kCursorBits;
    if (db >= tables_.size()) return 0;
    std::uint64_t next = 0;
    if (tables_[db]) next = tables_[db]->Scan(cursor & kCursorMask, fn);
    if (next != 0) return std::uint64_t{db} << kCursorBits | (next & kCursorMask);
    do {
      if (++db >= tables_.size()) return 0;
    } while (!tables_[db]);
    return std::uint64_t{db} << kCursorBits;
  }
  [[nodiscard]] Place Sample(DbId db, std::uint64_t random) const {
    const Index* table = Of(db);
    return table == nullptr ? Place{} : table->Sample(random);
  }

  // Empties `db`, which has keys: its index is retired.  The index exists until Discard() or Clear().
  Index* Retire(DbId db);
  void Discard(Index* retired);
  // Puts a retired index back in use; its database must be empty.
  void Revive(Index* retired);
  // Empties all databases and returns their indexes, which must not outlive this object.
  [[nodiscard]] Tables TakeAll() {
    size_ = 0;
    return std::exchange(tables_, {});
  }
  // Puts the indexes from TakeAll() back in use; all databases must be empty.
  void PutBack(Tables tables);
  // Drops all indexes, the retired ones too.
  void Clear();

  // Prepares for about `keys` keys in all, which are shared out among the databases in proportion to the keys that they
  // have now.  ShrinkToFit() is to follow.
  void Expect(std::uint64_t keys);
  void ShrinkToFit();

  // See Index.  Retired indexes are not saved.  The seed of the hash is saved, and Load() takes it over.
  bool Save(const std::function<bool(std::span<const std::byte>)>& write) const;
  bool Load(const std::function<bool(std::span<std::byte>)>& read, std::uint64_t limit);

  // For tests: ends the process if an invariant does not hold.  Reads every key.
  void CheckInvariants() const;

 private:
  static constexpr int kCursorBits = 48;
  static constexpr std::uint64_t kCursorMask = (std::uint64_t{1} << kCursorBits) - 1;

  [[nodiscard]] Index* Of(DbId db) const { return db < tables_.size() ? tables_[db].get() : nullptr; }
  Index& Make(DbId db) {
    if (Index* table = Of(db); table != nullptr) [[likely]]
      return *table;
    return MakeNew(db);
  }
  Index& MakeNew(DbId db);
  std::unique_ptr<Index> TakeRetired(Index* retired);
  template <typename Function>
  bool AnyOf(DbId db, Function fn) const {
    if (const Index* table = Of(db); table != nullptr && fn(*table)) return true;
    for (const auto& table : retired_) {
      if (table->db() == db && table->Size() != 0 && fn(*table)) return true;
    }
    return false;
  }

  const KeySource& keys_;
  std::pmr::memory_resource* memory_;
  KeyHash hash_;
  Tables tables_;  // by DbId, up to the largest that was ever used
  Tables retired_;
  std::uint64_t size_ = 0;
};

}  // namespace faha
