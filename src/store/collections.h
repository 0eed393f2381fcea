// The large collections of all keys.  Thread: main loop only.
//
// A collection is there from the first record of one of its elements on.  It is bound when a key's record names it, and
// unbound when that record is no longer its key's newest; a rename binds it to another key first.  An unbound
// collection is buried: nothing can reach it, and its elements are taken down in slices.
//
// While a log is replayed, or is being received with gaps, nobody is buried: the record that binds a collection may
// come later, because the cleaner has moved it.  When the end of what there was is reached, Settle() buries whoever is
// unbound then: their keys are long gone.
//
// Flushing a database makes its collections unreachable at once, however many there are: they are one list, which is
// taken out, and `flushes` tells which of them were bound before the flush.
//
// Invariant: each collection is in one list: that of its database, that of the unbound, or one that was taken out.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "store/large.h"

namespace faha {

class Collections {
 public:
  // A list of collections: a ring, so that a collection leaves a list that it does not know.
  class List {
   public:
    List() = default;
    List(const List&) = delete;
    List& operator=(const List&) = delete;

    void Add(Large& large);
    static void Remove(Large& large);
    // Adds all of `others`, which is empty afterwards.
    void Take(List& others);
    [[nodiscard]] bool empty() const { return ring_.behind == &ring_; }
    [[nodiscard]] Large& first() const { return static_cast<Large&>(*ring_.behind); }
    // Calls fn(Large&) for each; `fn` may remove it.
    template <typename Function>
    void ForEach(Function fn) const {
      for (LargeLink* at = ring_.behind; at != &ring_;) {
        LargeLink* next = at->behind;
        fn(static_cast<Large&>(*at));
        at = next;
      }
    }

   private:
    LargeLink ring_;
  };

  // All of them must outlive this.
  Collections(const ElementSource& source, CollectionTotals* totals, const KeyHash& hash)
      : source_(&source), totals_(totals), hash_(&hash) {}

  // Null: there is none with that name.
  [[nodiscard]] Large* Find(const CollectionId& id) const {
    if (last_ != nullptr && last_->id() == id) return last_;
    const auto found = all_.find(id);
    return found == all_.end() ? nullptr : last_ = found->second.get();
  }
  Large& Make(const CollectionId& id, ValueType type);
  // Does a key have it?
  [[nodiscard]] bool IsBound(const Large& large) const {
    return !large.owner.IsNone() && large.flushes == FlushesOf(large.db);
  }
  // Its key's record is at `owner`, in `db`.
  void Bind(Large& large, LogAddress owner, DbId db);
  void Unbind(Large& large);
  // It was never there.
  void Drop(Large& large);
  // It is unbound, and stays so.  `forgets`: as Usage::forgets() was when it was unbound.
  void Bury(Large& large, std::uint64_t forgets);
  // Buries all that are unbound, except those whose unbinding may be taken back.
  void Settle(std::uint64_t forgets);

  // The collections of `db` are unreachable from now on, and go into `flushed`, which is empty; if the flush is taken
  // back, they are as before.
  void Flush(DbId db, List& flushed);
  void TakeFlushBack(DbId db, List& flushed);
  void Bury(List& flushed, std::uint64_t forgets);

  // Takes down some elements of what is buried: calls dead(LogAddress, forgets) for each.  False: nothing is left.
  template <typename Dead>
  bool TakeDown(Dead dead);
  // Calls fn(LogAddress, forgets) for each element that is still to be taken down, and for those of the unbound, which
  // have been live until now.
  template <typename Function>
  void ForEachGone(Function fn) const;

  // Calls fn(Large&) for each one that is not buried.
  template <typename Function>
  void ForEachBound(Function fn) const {
    for (const List& list : bound_) list.ForEach(fn);
  }
  template <typename Function>
  void ForEachOf(DbId db, Function fn) {
    Of(db).ForEach(fn);
  }
  [[nodiscard]] std::uint64_t Size() const { return all_.size(); }

  // Those that are bound.
  bool Save(const std::function<bool(std::span<const std::byte>)>& write) const;
  bool Load(const std::function<bool(std::span<std::byte>)>& read, std::uint64_t limit);
  void CheckInvariants() const;

 private:
  struct HashOfId {
    std::size_t operator()(const CollectionId& id) const {
      return (id.born * 0x9E3779B97F4A7C15) ^ (id.number * 0xD6E8FEB86659FD93);
    }
  };
  struct Buried {
    explicit Buried(std::uint64_t forgotten) : forgets(forgotten) {}
    List list;
    std::uint64_t forgets;
  };
  [[nodiscard]] std::uint64_t FlushesOf(DbId db) const { return db < flushes_.size() ? flushes_[db] : 0; }
  List& Of(DbId db) {
    while (bound_.size() <= db) bound_.emplace_back();
    return bound_[db];
  }
  List& NewlyBuried(std::uint64_t forgets);
  void Forget(const Large& large) {
    if (last_ == &large) last_ = nullptr;
    all_.erase(CollectionId(large.id()));
  }

  const ElementSource* source_;
  CollectionTotals* totals_;
  const KeyHash* hash_;
  std::unordered_map<CollectionId, std::unique_ptr<Large>, HashOfId> all_;
  std::deque<List> bound_;              // by database
  std::vector<std::uint64_t> flushes_;  // by database: how often it was flushed
  mutable Large* last_ = nullptr;       // that was found last; a command asks for one again and again
  List unbound_;
  std::deque<Buried> buried_;
};

template <typename Dead>
bool Collections::TakeDown(Dead dead) {
  while (!buried_.empty() && buried_.front().list.empty()) buried_.pop_front();
  if (buried_.empty()) return false;
  Buried& oldest = buried_.front();
  Large& large = oldest.list.first();
  if (large.TakeDown([&](LogAddress at) { dead(at, oldest.forgets); })) return true;
  List::Remove(large);
  Forget(large);
  return true;
}

template <typename Function>
void Collections::ForEachGone(Function fn) const {
  unbound_.ForEach([&](const Large& large) { large.ForEach([&](LogAddress at) { fn(at, ~std::uint64_t{0}); }); });
  for (const Buried& buried : buried_) {
    buried.list.ForEach([&](const Large& large) { large.ForEach([&](LogAddress at) { fn(at, buried.forgets); }); });
  }
}

}  // namespace faha
