// What a store should hold: the keyspace that was acknowledged, and the units issued since, in order.
// A crash may keep the first of those units, each as a whole, and none of the others.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "faha/store.h"

namespace faha::crash {

using Text = std::shared_ptr<const std::string>;

struct Change {
  enum Kind { kPut, kDelete, kFlush, kFlushAll, kSwap } kind = kPut;
  DbId db = 0;
  std::string key;
  Text value;
  TimeMs expire_at = kNoExpiry;
  DbId other = 0;  // kSwap: the database that `db` exchanges its keys with
};
using Unit = std::vector<Change>;

struct Value {
  Text text;
  TimeMs expire_at = kNoExpiry;
};
using Keyspace = std::map<std::pair<DbId, std::string>, Value>;

inline void Swap(Keyspace& keys, DbId a, DbId b) {
  Keyspace swapped;
  for (auto& [key, value] : keys)
    swapped[{key.first == a ? b : key.first == b ? a : key.first, key.second}] = std::move(value);
  keys = std::move(swapped);
}

inline void Apply(Keyspace& keys, const Unit& unit) {
  for (const Change& change : unit) {
    switch (change.kind) {
      case Change::kPut: keys[{change.db, change.key}] = {change.value, change.expire_at}; break;
      case Change::kDelete: keys.erase({change.db, change.key}); break;
      case Change::kFlush:
        std::erase_if(keys, [&](const auto& entry) { return entry.first.first == change.db; });
        break;
      case Change::kFlushAll: keys.clear(); break;
      case Change::kSwap: Swap(keys, change.db, change.other); break;
    }
  }
}

// Does `store` hold exactly `keys`, however it is asked?
inline bool Holds(Store& store, const Keyspace& keys, DbId databases) {
  std::vector<std::uint64_t> sizes(databases);
  for (const auto& [key, value] : keys) {
    ++sizes[key.first];
    const auto entry = store.Get(key.first, key.second);
    if (!entry || entry->value != *value.text || entry->expire_at != value.expire_at) return false;
  }
  for (DbId db = 0; db < databases; ++db) {
    std::map<std::string, int, std::less<>> seen;
    store.ForEachKey(db, [&](std::string_view key) { ++seen[std::string(key)]; });
    if (store.Size(db) != sizes[db] || seen.size() != sizes[db]) return false;
    for (const auto& [key, times] : seen) {
      if (times != 1 || !keys.contains({db, key})) return false;
    }
  }
  return true;
}

class Model {
 public:
  // Of a unit that has ended; a crash may keep it from now on.
  void Issue(Unit unit) { pending_.push_back(std::move(unit)); }
  void Acknowledge() {
    for (const Unit& unit : pending_) Apply(acknowledged_, unit);
    pending_.clear();
  }
  // Is what `store` has recovered the acknowledged keyspace and the first few of the pending units?  Then that is what
  // its clients may see and what must stay.
  bool Recover(Store& store, DbId databases) {
    Keyspace keys = acknowledged_;
    bool found = Holds(store, keys, databases);
    for (const Unit& unit : pending_) {
      if (found) break;
      Apply(keys, unit);
      found = Holds(store, keys, databases);
    }
    if (!found) return false;
    acknowledged_ = std::move(keys);
    pending_.clear();
    return true;
  }
  [[nodiscard]] const Keyspace& acknowledged() const { return acknowledged_; }
  [[nodiscard]] std::size_t pending() const { return pending_.size(); }

 private:
  Keyspace acknowledged_;
  std::vector<Unit> pending_;
};

}  // namespace faha::crash
