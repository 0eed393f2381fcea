// Large collections through the store's interface, for tests that write to a store as commands do.  Thread: main only.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "faha/store.h"

namespace faha {

// The large collection of that type under a key; null: the key has none.
template <typename Kind>
std::unique_ptr<Kind> FindLarge(Keyspace& store, DbId db, std::string_view key) {
  const auto entry = store.Get(db, key);
  if (!entry || !entry->large || entry->type != kTypeOf<Kind>) return nullptr;
  return OpenCollection<Kind>(store, *entry);
}

// Calls change(collection) with the collection of that type under a key.  If the key has none, it gets one, in place of
// whatever it has; if the collection is empty afterwards, the key is deleted.  There must be room.
template <typename Kind, typename Change>
Status ChangeLarge(Keyspace& store, DbId db, std::string_view key, Change change) {
  auto collection = FindLarge<Kind>(store, db, key);
  const bool is_new = collection == nullptr;
  if (is_new) collection = NewCollection<Kind>(store);
  change(*collection);
  if (Status status = collection->status(); !status.ok()) return status;
  if (collection->Size() == 0) return is_new ? Status::Ok() : store.Delete(db, key);
  return is_new ? store.Put(db, key, {collection->Bytes(), kNoExpiry, collection->type(), true}) : Status::Ok();
}

// The elements of a large collection: names and values, those of sorted sets (with their scores) and lists (with their
// indexes) in their order.
using ElementList = std::vector<std::pair<std::string, std::string>>;
inline ElementList ElementsOf(Keyspace& store, const Entry& entry) {
  ElementList elements;
  const auto read = [&]<typename Kind>() {
    const auto collection = OpenCollection<Kind>(store, entry);
    if (collection == nullptr) return false;
    ForEachElement(*collection, [&](auto first, auto... second) {
      if constexpr (std::is_same_v<Kind, List>) {
        elements.emplace_back(std::to_string(first), std::string(second...));
      } else if constexpr (std::is_same_v<Kind, SortedSet>) {
        elements.emplace_back(std::string(first), std::to_string(second...));
      } else {
        elements.emplace_back(std::string(first), std::string(second...));
      }
    });
    return true;
  };
  (void)VisitKind(entry.type, read, false);
  return elements;
}

}  // namespace faha
