#include "keyspace/indexes.h"

#include <algorithm>
#include <limits>

namespace faha {

Index& Indexes::MakeNew(DbId db) {
  if (db >= tables_.size()) tables_.resize(std::size_t{db} + 1);
  tables_[db] = std::make_unique<Index>(keys_, db, memory_, hash_);
  return *tables_[db];
}

Place Indexes::Erase(std::uint64_t hash, DbId db, std::string_view key) {
  Index* table = Of(db);
  if (table == nullptr) return {};
  const Place old = table->Erase(hash, key);
  if (old.IsNone()) return old;
  --size_;
  if (table->Size() == 0) tables_[db].reset();
  return old;
}

Place Indexes::Remove(DbId db, std::uint64_t hash, LogAddress at) {
  FAHA_CHECK(Of(db) != nullptr, "what is removed is held");
  const Place old = Of(db)->Remove(hash, at);
  --size_;
  if (Of(db)->Size() == 0) tables_[db].reset();
  return old;
}

std::size_t Indexes::MemoryBytes() const {
  std::size_t bytes = sizeof *this + (tables_.capacity() + retired_.capacity()) * sizeof tables_[0];
  for (const Tables* tables : {&tables_, &retired_}) {
    for (const auto& table : *tables) bytes += table ? table->MemoryBytes() : 0;
  }
  return bytes;
}

Index* Indexes::Retire(DbId db) {
  FAHA_CHECK(Of(db) != nullptr, "a database that is emptied has keys");
  size_ -= tables_[db]->Size();
  retired_.push_back(std::move(tables_[db]));
  return retired_.back().get();
}

std::unique_ptr<Index> Indexes::TakeRetired(Index* retired) {
  const auto found =
      std::find_if(retired_.begin(), retired_.end(), [&](const auto& table) { return table.get() == retired; });
  FAHA_CHECK(found != retired_.end(), "what is taken was retired");
  std::unique_ptr<Index> taken = std::move(*found);
  retired_.erase(found);
  return taken;
}

void Indexes::Discard(Index* retired) { TakeRetired(retired); }

void Indexes::Revive(Index* retired) {
  const DbId db = retired->db();
  FAHA_CHECK(Size(db) == 0, "what comes back replaces nothing");
  if (db >= tables_.size()) tables_.resize(std::size_t{db} + 1);
  tables_[db] = TakeRetired(retired);
  size_ += tables_[db]->Size();
}

void Indexes::PutBack(Tables tables) {
  FAHA_CHECK(size_ == 0, "what comes back replaces nothing");
  tables_ = std::move(tables);
  for (const auto& table : tables_) size_ += table ? table->Size() : 0;
}

void Indexes::Clear() {
  tables_.clear();
  retired_.clear();
  size_ = 0;
}

void Indexes::Expect(std::uint64_t keys) {
  const auto all = static_cast<double>(size_);
  for (const auto& table : tables_) {
    if (!table) continue;
    const double share = static_cast<double>(table->Size()) / all;
    table->Expect(static_cast<std::uint64_t>(static_cast<double>(keys) * share));
  }
}

void Indexes::ShrinkToFit() {
  for (const auto& table : tables_) {
    if (table) table->ShrinkToFit();
  }
}

// Writes the seed, the number of databases that have keys, and for each of them its number and its index.
bool Indexes::Save(const std::function<bool(std::span<const std::byte>)>& write) const {
  const auto put = [&](std::uint64_t number) { return write(std::as_bytes(std::span(&number, 1))); };
  const auto in_use = std::count_if(tables_.begin(), tables_.end(), [](const auto& table) { return table != nullptr; });
  return put(hash_.seed()) && put(static_cast<std::uint64_t>(in_use)) &&
         std::all_of(tables_.begin(), tables_.end(),
                     [&](const auto& table) { return !table || (put(table->db()) && table->Save(write)); });
}

bool Indexes::Load(const std::function<bool(std::span<std::byte>)>& read, std::uint64_t limit) {
  Clear();
  const auto get = [&](std::uint64_t& number) { return read(std::as_writable_bytes(std::span(&number, 1))); };
  std::uint64_t seed = 0, in_use = 0;
  if (!get(seed) || !get(in_use)) return false;
  hash_ = KeyHash(seed);
  for (std::uint64_t i = 0; i < in_use; ++i) {
    std::uint64_t db = 0;
    if (!get(db) || db > std::numeric_limits<DbId>::max() || Of(static_cast<DbId>(db)) != nullptr) return false;
    Index& table = MakeNew(static_cast<DbId>(db));
    if (!table.Load(read, limit) || table.Size() == 0) return false;
    size_ += table.Size();
  }
  return true;
}

void Indexes::CheckInvariants() const {
  std::uint64_t size = 0;
  for (std::size_t db = 0; db < tables_.size(); ++db) {
    if (!tables_[db]) continue;
    FAHA_CHECK(tables_[db]->db() == db, "an index stands where its database says");
    FAHA_CHECK(tables_[db]->Size() != 0, "a database without keys has no index");
    tables_[db]->CheckInvariants();
    size += tables_[db]->Size();
  }
  FAHA_CHECK(size == size_, "the keys of all databases are counted");
}

}  // namespace faha
