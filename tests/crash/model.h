// What a store should hold: the keyspace that was acknowledged, and the units issued since, in order.
// A crash may keep the first of those units, each as a whole, and none of the others.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "faha/store.h"
#include "tests/fakes/collections.h"

namespace faha::crash {

using Text = std::shared_ptr<const std::string>;

struct Change {
  // kElement puts an element into the large collection under the key, which is begun if there is none of that type;
  // kErase takes one away; kRename gives `key` the name `other_key`, whatever it has.
  enum Kind { kPut, kDelete, kFlush, kFlushAll, kSwap, kElement, kErase, kRename } kind = kPut;
  DbId db = 0;
  std::string key;
  Text value;
  TimeMs expire_at = kNoExpiry;
  DbId other = 0;  // kSwap: the database that `db` exchanges its keys with; kRename: where the new name is
  std::string other_key = {};
  ValueType type = ValueType::kString;  // kElement, kErase
  // kElement, kErase: a field or a member.  Of a list those of even numbers are put at the end, the others at the
  // front, and the first element is erased.
  std::uint64_t number = 0;
  [[nodiscard]] std::string element() const { return "element " + std::to_string(number); }
  [[nodiscard]] double score() const { return static_cast<double>(value->size() % 5); }
};
using Unit = std::vector<Change>;

struct Value {
  Text text = nullptr;
  TimeMs expire_at = kNoExpiry;
  ValueType type = ValueType::kString;
  std::map<std::string, std::string> elements = {};  // of a hash or a set, and of a sorted set with scores
  std::deque<std::string> list = {};
};
using Keyspace = std::map<std::pair<DbId, std::string>, Value>;

inline void Swap(Keyspace& keys, DbId a, DbId b) {
  Keyspace swapped;
  for (auto& [key, value] : keys)
    swapped[{key.first == a ? b : key.first == b ? a : key.first, key.second}] = std::move(value);
  keys = std::move(swapped);
}

inline void ApplyElement(Keyspace& keys, const Change& change) {
  const std::pair name{change.db, change.key};
  const auto found = keys.find(name);
  const bool is_there = found != keys.end() && found->second.type == change.type;
  if (!is_there && change.kind == Change::kErase) return;
  if (!is_there) keys[name] = {.type = change.type};
  Value& value = keys[name];
  if (change.type == ValueType::kList) {
    if (change.kind == Change::kErase) {
      value.list.pop_front();
    } else {
      value.list.insert(change.number % 2 == 0 ? value.list.end() : value.list.begin(), *change.value);
    }
  } else if (change.kind == Change::kErase) {
    value.elements.erase(change.element());
  } else if (change.type == ValueType::kSortedSet) {
    value.elements[change.element()] = std::to_string(change.score());
  } else {
    value.elements[change.element()] = change.type == ValueType::kSet ? "" : *change.value;
  }
  if (value.elements.empty() && value.list.empty()) keys.erase(name);
}

inline void ApplyRename(Keyspace& keys, const Change& change) {
  const auto found = keys.find({change.db, change.key});
  if (found == keys.end()) return;
  Value value = std::move(found->second);
  keys.erase(found);
  keys[{change.other, change.other_key}] = std::move(value);
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
      case Change::kElement:
      case Change::kErase: ApplyElement(keys, change); break;
      case Change::kRename: ApplyRename(keys, change); break;
    }
  }
}

// Is that what the entry has?
inline bool Has(Store& store, const Entry& entry, const Value& value) {
  if (entry.expire_at != value.expire_at || entry.type != value.type) return false;
  if (value.type == ValueType::kString) return entry.value == *value.text;
  if (!entry.large) return false;
  ElementList elements = ElementsOf(store, entry);
  if (value.type == ValueType::kList) {
    const auto same = [](const auto& element, const std::string& text) { return element.second == text; };
    return std::equal(elements.begin(), elements.end(), value.list.begin(), value.list.end(), same);
  }
  const auto by_score = [](const auto& a, const auto& b) {
    return std::tie(a.second, a.first) < std::tie(b.second, b.first);
  };
  if (value.type == ValueType::kSortedSet && !std::is_sorted(elements.begin(), elements.end(), by_score)) return false;
  std::sort(elements.begin(), elements.end());
  return std::equal(elements.begin(), elements.end(), value.elements.begin(), value.elements.end(),
                    [](const auto& a, const auto& b) { return a.first == b.first && a.second == b.second; });
}

// Carries out a change of a collection, or a rename, as commands do.  There must be room.
template <typename Kind>
Status ChangeElement(Store& store, const Change& change) {
  if (change.kind == Change::kErase && FindLarge<Kind>(store, change.db, change.key) == nullptr) return Status::Ok();
  return ChangeLarge<Kind>(store, change.db, change.key, [&](Kind& collection) {
    if constexpr (std::is_same_v<Kind, List>) {
      if (change.kind == Change::kErase) return collection.Erase(0, 1);
      collection.Insert(change.number % 2 == 0 ? collection.Size() : 0, *change.value);
    } else if (change.kind == Change::kErase) {
      collection.Erase(change.element());
    } else if constexpr (std::is_same_v<Kind, Hash>) {
      collection.Put(change.element(), *change.value);
    } else if constexpr (std::is_same_v<Kind, SortedSet>) {
      collection.Put(change.element(), change.score());
    } else {
      collection.Put(change.element());
    }
  });
}
inline Status Rename(Store& store, const Change& change) {
  const auto entry = store.Get(change.db, change.key);
  if (!entry || (change.db == change.other && change.key == change.other_key)) return Status::Ok();
  const std::string value(entry->value);
  const Entry moved{value, entry->expire_at, entry->type, entry->large};
  const Status status = store.Put(change.other, change.other_key, moved);
  return status.ok() ? store.Delete(change.db, change.key) : status;
}
inline Status CarryOut(Store& store, const Change& change) {
  switch (change.kind) {
    case Change::kPut: return store.Put(change.db, change.key, {*change.value, change.expire_at});
    case Change::kDelete: return store.Delete(change.db, change.key);
    case Change::kFlush: return store.Flush(change.db);
    case Change::kFlushAll: return store.Flush(std::nullopt);
    case Change::kSwap: return store.Swap(change.db, change.other);
    case Change::kRename: return Rename(store, change);
    case Change::kElement:
    case Change::kErase: break;
  }
  return VisitKind(
      change.type, [&]<typename Kind>() { return ChangeElement<Kind>(store, change); }, Status::Ok());
}
// What it writes, at most; `store` has not changed yet.
inline Cost CostOf(Store& store, const Change& change) {
  constexpr std::uint64_t kOwnBytes = 100;  // a swap, or what an element's records have besides its value
  const auto entry = change.kind == Change::kRename ? store.Get(change.db, change.key) : std::nullopt;
  const std::uint64_t value = change.value ? change.value->size() : entry ? entry->value.size() : 0;
  return {kOwnBytes + change.key.size() + change.other_key.size() + value, 3};
}

// Does `store` hold exactly `keys`, however it is asked?
inline bool Holds(Store& store, const Keyspace& keys, DbId databases) {
  std::vector<std::uint64_t> sizes(databases);
  for (const auto& [key, value] : keys) {
    ++sizes[key.first];
    const auto entry = store.Get(key.first, key.second);
    if (!entry || !Has(store, *entry, value)) return false;
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
