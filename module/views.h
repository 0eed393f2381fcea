// The collection under a key of a command.  Thread: main loop only.
//
// A handler opens the collection, asks with MayStore() before it changes it, changes it, and stores it.  A key that
// does not exist is an empty collection, and a collection that has become empty is stored by deleting its key.  Under a
// key of another type, too, the handler sees an empty collection; the call is refused then (Call::Refuse).
#pragma once

#include <cstdint>
#include <memory>

#include "faha/collections.h"
#include "module/call.h"

namespace faha::module {

template <typename Kind>
class Opened {
 public:
  Opened(std::unique_ptr<Kind> collection, bool existed, TimeMs expire_at)
      : collection_(std::move(collection)), existed_(existed), expire_at_(expire_at) {}
  Kind* operator->() { return collection_.get(); }
  const Kind* operator->() const { return collection_.get(); }
  Kind& operator*() { return *collection_; }
  const Kind& operator*() const { return *collection_; }
  // Was the key there when it was opened?
  [[nodiscard]] bool existed() const { return existed_; }
  [[nodiscard]] TimeMs expire_at() const { return expire_at_; }

 private:
  std::unique_ptr<Kind> collection_;
  bool existed_;
  TimeMs expire_at_;
};

// For a command that changes the collection.  `Kind` is Hash, Set, SortedSet or List.
template <typename Kind>
Opened<Kind> OpenKey(Call& call, int key);
// For a command that reads: counts a hit or a miss, and reports a missing key.  What the collection returns is valid
// until something is written.
template <typename Kind>
Opened<Kind> ReadKey(Call& call, int key);

// Is there room for the collection under the key at argument `key` with up to `elements` more elements, of `bytes` in
// all?  The pool may be cleaned, so views of this collection or of others must not be kept over the call, unless it was
// opened with OpenKey().  Whether a collection may have so many elements is asked when it is stored.  Errors: as
// Call::MayWrite.
Status MayStore(Call& call, int key, const Collection& collection, std::uint64_t bytes, std::uint64_t elements);

// May a collection have so many elements?  Errors: TooLarge.
Status CheckElements(std::uint64_t elements);
// It has more than can be stored: there is no point in adding any.
[[nodiscard]] inline bool IsOverfull(const Collection& collection) { return collection.Size() > kMaxPackedElements; }

// Writes the collection that was opened, and changed, under the key at argument `key`; then tells watchers, caches and
// subscribers.  `event`: of class `event_class`; an emptied collection's key also has the event "del".
template <typename Kind>
Status StoreKey(Call& call, int key, const Opened<Kind>& opened, int event_class, const char* event);

// Puts a collection that the command has made under the key at argument `key`, whatever is there.  If the collection is
// empty, the key is deleted, with the event "del" if it was there.  Errors: as Call::MayWrite.
Status ReplaceKey(Call& call, int key, const Collection& collection, int event_class, const char* event);

}  // namespace faha::module
