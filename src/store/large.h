// One large collection: where its elements are.  Their records are in the log; here are only their addresses, in an
// index by what names them (a hash, a set, a sorted set) and in a tree by their order (a sorted set, a list).
// Thread: main loop only.
// Invariants: (1) the index of a sorted set and its tree have the same elements.
//             (2) the tree of a sorted set is ordered by score, and by the bytes of the members where scores are equal.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string_view>

#include "collections/counted_tree.h"
#include "faha/types.h"
#include "keyspace/index.h"
#include "log/element.h"
#include "store/collection_totals.h"

namespace faha {

// Reads the records of elements.
class ElementSource : public KeySource {
 public:
  // That part of the record at `at`; nothing if the medium has damaged it, which the source takes note of.
  [[nodiscard]] virtual std::optional<Record> ElementAt(LogAddress at, RecordPart part) const = 0;
  // A record that the tree or the index needs cannot be read: it is not known any more where elements are.
  virtual void Lost() const = 0;
};

// Its place in a list of collections.
struct LargeLink {
  LargeLink* before = this;
  LargeLink* behind = this;
};

class Large : public LargeLink {
 public:
  // All of them must outlive this.
  Large(CollectionId id, ValueType type, const ElementSource& source, CollectionTotals* totals, const KeyHash& hash);
  ~Large();
  Large(const Large&) = delete;
  Large& operator=(const Large&) = delete;

  [[nodiscard]] const CollectionId& id() const { return id_; }
  [[nodiscard]] ValueType type() const { return type_; }
  [[nodiscard]] std::uint64_t Size() const { return index_ ? index_->Size() : tree_.Size(); }

  // --- Reading.  `hash` is that of the whole key of the element's record.
  // Where the record of the element with that key is; none if there is no such element.
  [[nodiscard]] LogAddress Find(std::uint64_t hash, std::string_view key) const;
  // Of all but lists.
  [[nodiscard]] const Index& index() const { return *index_; }
  // Of sorted sets and lists.
  [[nodiscard]] const CountedTree& tree() const { return tree_; }
  // How many elements are before that order and, where the orders are equal, before that member.
  [[nodiscard]] std::uint64_t RankOf(std::uint64_t order, std::string_view member) const;

  // --- Changing.  `element` is a well-formed record of an element of this collection.
  // Its record is at `at` now.  Returns where the record before it was; none if the element is new.
  LogAddress Put(const Record& element, std::uint64_t hash, LogAddress at);
  // The element is gone.  Returns where its record was; none if there was no such element.
  LogAddress Erase(const Record& element, std::uint64_t hash);

  // --- For the cleaner and for taking steps back.  `element` is the record at `from` or at `at`, which is the
  // element's newest.
  [[nodiscard]] bool Holds(const Record& element, std::uint64_t hash, LogAddress at) const;
  void Move(const Record& element, std::uint64_t hash, LogAddress from, LogAddress to);
  // The element's record is `older`, at `to`, again.
  void Replace(const Record& element, std::uint64_t hash, LogAddress from, const Record& older, LogAddress to);
  void Remove(const Record& element, std::uint64_t hash, LogAddress at);
  // Adds an element, which is absent.
  void Restore(const Record& element, std::uint64_t hash, LogAddress at);

  // Removes some elements, and calls dead(LogAddress) for each; gives memory back when there are no more.  False when
  // nothing is left.  From the first call on nothing else may be called.
  template <typename Dead>
  bool TakeDown(Dead dead) {
    if (index_) {
      if (index_->TakeDown([&](Place place) { IsDead(place.log_address(), dead); })) return true;
      return tree_.TakeDown([](const CountedTree::Entry&) {});
    }
    return tree_.TakeDown([&](const CountedTree::Entry& entry) { IsDead(entry.at, dead); });
  }
  // Calls fn(LogAddress) for each element, those of lists in their order.
  template <typename Function>
  void ForEach(Function fn) const {
    if (index_) return index_->ForEach([&](Place place) { fn(place.log_address()); });
    tree_.ForEach(0, ~std::uint64_t{0}, Order::kForward, [&](const CountedTree::Entry& entry) {
      fn(entry.at);
      return true;
    });
  }

  // See Index.
  bool Save(const std::function<bool(std::span<const std::byte>)>& write) const;
  bool Load(const std::function<bool(std::span<std::byte>)>& read, std::uint64_t limit);

  // For tests: ends the process if an invariant does not hold.  Reads every element.
  void CheckInvariants() const;

  // --- Whose it is: see collections.h.
  LogAddress owner;           // the record of the key that has this collection; none: no key has it
  DbId db = 0;                // of that key
  std::uint64_t flushes = 0;  // of `db` when it was bound
  bool pending = false;       // a step that may be taken back has unbound it

 private:
  template <typename Function>
  void IsDead(LogAddress at, Function dead) {
    --totals_->elements;
    dead(at);
  }
  [[nodiscard]] bool ordered() const { return type_ == ValueType::kSortedSet || type_ == ValueType::kList; }
  // Of lists.
  [[nodiscard]] std::uint64_t RankOfLabel(std::uint64_t label) const;
  [[nodiscard]] LogAddress FindLabel(std::uint64_t label, std::uint64_t rank) const;
  LogAddress PutInList(const Record& element, LogAddress at);
  LogAddress EraseInList(const Record& element);
  // The rank of the element whose record is at `at`; nothing if it is not found because something cannot be read.
  [[nodiscard]] std::optional<std::uint64_t> RankAt(const Record& element, LogAddress at) const;
  void Insert(const Record& element, LogAddress at);
  void EraseOrder(const Record& element, LogAddress at);

  CollectionId id_;
  ValueType type_;
  const ElementSource& source_;
  CollectionTotals* totals_;
  std::optional<Index> index_;
  CountedTree tree_;
};

}  // namespace faha
