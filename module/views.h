// The collection under a key of a command.  Thread: main loop only.
//
// A handler opens the collection, asks with MayStore(), MayErase() or MayChange() before it changes it, changes it, and
// stores it.  A key that does not exist is an empty collection, and a collection that has become empty is stored by
// deleting its key.  Under a key of another type, too, the handler sees an empty collection; the call is refused then
// (Call::Refuse).
//
// A handler does not know whether a collection is packed or large.  One that becomes too large to be packed gets a
// record for each element when it is stored, or before that where much is put at once.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "faha/collections.h"
#include "module/call.h"

namespace faha::module {

template <typename Kind>
class Opened {
 public:
  Opened(std::unique_ptr<Kind> collection, bool existed, TimeMs expire_at)
      : collection_(std::move(collection)),
        existed_(existed),
        expire_at_(expire_at),
        stored_bytes_(collection_->Bytes().size()) {
    if (existed && collection_->large()) name_ = collection_->Bytes();
  }
  Kind* operator->() { return collection_.get(); }
  const Kind* operator->() const { return collection_.get(); }
  Kind& operator*() { return *collection_; }
  const Kind& operator*() const { return *collection_; }
  // Was the key there when it was opened?
  [[nodiscard]] bool existed() const { return existed_; }
  [[nodiscard]] TimeMs expire_at() const { return expire_at_; }

  // Its elements are in another collection now.
  void Replace(std::unique_ptr<Kind> collection) { collection_ = std::move(collection); }
  // Those that are left are.
  void ShrinkTo(std::unique_ptr<Kind> collection) {
    collection_ = std::move(collection);
    shrunk_ = true;
  }
  // Does the record that the key had when it was opened still say what the key has?
  [[nodiscard]] bool IsStored() const { return collection_->large() && collection_->Bytes() == name_; }
  // Does the key's record become smaller, or so much else that it does not matter?
  [[nodiscard]] bool Shrinks() const { return existed_ && (shrunk_ || collection_->Bytes().size() < stored_bytes_); }

 private:
  std::unique_ptr<Kind> collection_;
  bool existed_;
  TimeMs expire_at_;
  std::uint64_t stored_bytes_;  // of the value that the key had
  bool shrunk_ = false;
  std::string name_;  // that the key had, if the collection was large
};

// For a command that changes the collection.  `Kind` is Hash, Set, SortedSet or List.
template <typename Kind>
Opened<Kind> OpenKey(Call& call, int key);
// For a command that reads: counts a hit or a miss, and reports a missing key.  What the collection returns is valid
// until something is written.
template <typename Kind>
Opened<Kind> ReadKey(Call& call, int key);

// Elements that a command is about to put, new ones or not.
struct Added {
  std::uint64_t bytes = 0, elements = 0;
  std::uint64_t largest = 0;  // element
  static Added One(std::uint64_t its_bytes) { return {its_bytes, 1, its_bytes}; }
  void Add(std::uint64_t its_bytes) {
    bytes += its_bytes;
    ++elements;
    largest = std::max(largest, its_bytes);
  }
};

// --- Is there room for a change of the collection that was opened under the key at argument `key`?  The pool may be
// cleaned, so views of this collection or of others must not be kept over these calls.  Errors: as Call::MayWrite.
//
// For those elements.  If there are many, the collection is made large at once, and must be stored after that.  Whether
// a packed one may have so many elements is asked when it is stored.
template <typename Kind>
Status MayStore(Call& call, int key, Opened<Kind>& opened, const Added& added);
// For an element of `bytes` that is inserted at `index`.
Status MayInsert(Call& call, int key, Opened<List>& list, std::uint64_t index, std::uint64_t bytes);
// For erasing so many elements, whose names have `bytes` in all.  There is room in a full pool as well.
Status MayErase(Call& call, int key, const Collection& collection, std::uint64_t bytes, std::uint64_t elements);
// For an element of `bytes` that goes from one collection to another, or to another place in the same one.
Status MayMoveElement(Call& call, int from_key, const Collection& from, int to_key, const Collection& to,
                      std::uint64_t bytes);

// Removes the elements of a list or a sorted set from rank `first` on, `count` of them, which exist.  Where fewer are
// left than removed, those that are left become another collection, which costs less.  Errors: as MayErase; then
// nothing has changed.
template <typename Kind>
Status RemoveRange(Call& call, int key, Opened<Kind>& opened, std::uint64_t first, std::uint64_t count);

// Erases the elements of a hash, a set or a sorted set with those names, which must not be views of the store, and
// returns how many there were; otherwise as RemoveRange.
template <typename Kind>
Result<std::int64_t> RemoveNamed(Call& call, int key, Opened<Kind>& opened, std::span<const std::string_view> names);
// The same for the names that are the arguments from 2 on, and the key at argument 1.
template <typename Kind>
Result<std::int64_t> RemoveArguments(Call& call, Opened<Kind>& opened);
// Keeps only those elements; otherwise as RemoveRange.
Status KeepRange(Call& call, int key, Opened<List>& list, std::uint64_t first, std::uint64_t count);

// May a packed collection have so many elements, if it stays one?  Errors: TooLarge.
Status CheckElements(std::uint64_t elements);
// It has more than can be stored: there is no point in adding any.
[[nodiscard]] inline bool IsOverfull(const Collection& collection) {
  return !collection.large() && collection.Size() > kMaxPackedElements;
}

// Writes the collection that was opened, and changed, under the key at argument `key`; then tells watchers, caches and
// subscribers.  `events`: of class `event_class`; an emptied collection's key also has the event "del".
template <typename Kind>
Status StoreKey(Call& call, int key, Opened<Kind>& opened, int event_class, std::span<const char* const> events);
template <typename Kind>
Status StoreKey(Call& call, int key, Opened<Kind>& opened, int event_class, const char* event) {
  return StoreKey(call, key, opened, event_class, std::span(&event, 1));
}

// Puts a collection that the command has made under the key at argument `key`, whatever is there.  If the collection is
// empty, the key is deleted, with the event "del" if it was there.  Errors: as Call::MayWrite.
template <typename Kind>
Status ReplaceKey(Call& call, int key, std::unique_ptr<Kind> collection, int event_class, const char* event);

// For a value that is about to be put under the key at argument `key` as it is: `value` must stay valid until then.  If
// it is a packed collection that is too large to be packed, or `copies` and it is a large one, its elements are written
// as those of a new collection, and `name` becomes what the key is to have.  Errors: as Call::MayWrite; Corrupt.
Result<Entry> Settled(Call& call, int key, const Entry& value, bool copies, std::string& name);

}  // namespace faha::module
