// Which database holds which keys.  A record names its database by a stored number whose meaning never changes; after
// SWAPDB, a number that clients use means the database of another stored number.  Thread: main loop only.
// Invariant: the map is one to one.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "faha/types.h"
#include "log/format.h"

namespace faha {

class DatabaseMap {
 public:
  // The stored number, which the records of `db` have.  Every operation asks for it; while nothing is swapped, the
  // table is empty.
  [[nodiscard]] DbId Stored(DbId db) const { return db < stored_.size() ? stored_[db] : db; }
  // The number by which clients call the database whose records have the number `stored`.
  [[nodiscard]] DbId Named(DbId stored) const { return stored < named_.size() ? named_[stored] : stored; }

  void Swap(DbId a, DbId b) {
    const std::size_t known = stored_.size();
    const std::size_t size = std::max(known, std::size_t{std::max(a, b)} + 1);
    for (std::size_t db = known; db < size; ++db) {
      stored_.push_back(static_cast<DbId>(db));
      named_.push_back(static_cast<DbId>(db));
    }
    std::swap(stored_[a], stored_[b]);
    std::swap(named_[stored_[a]], named_[stored_[b]]);
    Trim();
  }

  // The databases that hold the keys of other ones, in the form of a kSwap record.
  [[nodiscard]] std::vector<format::SwappedDb> swapped() const {
    std::vector<format::SwappedDb> swapped;
    for (std::size_t db = 0; db < stored_.size(); ++db) {
      if (stored_[db] != db) swapped.push_back({static_cast<DbId>(db), stored_[db]});
    }
    return swapped;
  }
  // `swapped`: well-formed, see ReadSwap.
  void Restore(std::span<const format::SwappedDb> swapped) {
    stored_.clear();
    named_.clear();
    if (swapped.empty()) return;
    for (std::size_t db = 0; db <= swapped.back().db; ++db) stored_.push_back(static_cast<DbId>(db));
    named_ = stored_;
    for (const auto& [db, stored] : swapped) {
      stored_[db] = stored;
      named_[stored] = db;
    }
  }

 private:
  // Makes the last database of the tables a swapped one again.
  void Trim() {
    while (!stored_.empty() && stored_.back() == stored_.size() - 1) {
      stored_.pop_back();
      named_.pop_back();
    }
  }

  std::vector<DbId> stored_, named_;  // of the same size; a database beyond their end is not swapped
};

}  // namespace faha
