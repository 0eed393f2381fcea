// The collections that a key can hold, as commands see them: hashes, sets, sorted sets and lists.  A command opens one,
// reads or changes it, and puts its Bytes() back with Keyspace::Put().  Thread: main loop only.
// A small collection is packed: all of it is the value of its key, and a change is only in this object until it is put
// back.  Of a large one each element is a record, and the value of its key is its name: a change is in the store at
// once, and the key is put only if its name is new.
// A view that is returned is valid until the collection, or the store, is changed or a unit ends.  Nothing here fails:
// whether there is room for a change is asked before it, with Keyspace::CheckWrite() or CheckErase() and a Cost.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

#include "faha/status.h"
#include "faha/types.h"

namespace faha {

// What a change writes, at most: so many records, and the bytes of their keys and values.
struct Cost {
  std::uint64_t bytes = 0, records = 0;
  Cost& operator+=(const Cost& other) {
    bytes += other.bytes;
    records += other.records;
    return *this;
  }
};

class Collection {
 public:
  virtual ~Collection() = default;
  [[nodiscard]] virtual ValueType type() const = 0;
  [[nodiscard]] virtual bool large() const = 0;
  // How many elements there are; of a hash: how many fields.
  [[nodiscard]] virtual std::uint64_t Size() const = 0;
  // The bytes that stand in the record of its key.
  [[nodiscard]] virtual std::string_view Bytes() const = 0;
  // How many bytes its elements have, scores included.  Reads every element.
  [[nodiscard]] virtual std::uint64_t ElementBytes() const = 0;
  // From now on the collection keeps its own copy of what it would otherwise view in the store.
  virtual void Own() = 0;
  // What it costs to put `elements` elements of `bytes` in all, new ones or not; of a packed collection with the key's
  // record, but without the key.
  [[nodiscard]] virtual Cost CostOfPut(std::uint64_t bytes, std::uint64_t elements) const = 0;
  // What it costs to erase `elements` elements, whose names (fields, members) have `bytes` in all.
  [[nodiscard]] virtual Cost CostOfErase(std::uint64_t bytes, std::uint64_t elements) const = 0;
  // Ok, or why a change was not written, for which there should have been room.
  [[nodiscard]] virtual Status status() const = 0;
};

// Fields, each with a value.  Visitors are called in no particular order until they return false.
class Hash : public Collection {
 public:
  [[nodiscard]] ValueType type() const final { return ValueType::kHash; }
  [[nodiscard]] virtual std::optional<std::string_view> Find(std::string_view field) const = 0;
  // True: the field is new.
  virtual bool Put(std::string_view field, std::string_view value) = 0;
  // True: the field was there.
  virtual bool Erase(std::string_view field) = 0;
  using Visitor = std::function<bool(std::string_view field, std::string_view value)>;
  virtual void ForEach(const Visitor& visit) const = 0;
  // As Keyspace::Scan.
  virtual std::uint64_t Scan(std::uint64_t cursor, const Visitor& visit) const = 0;
  // Visits one field that `random` chooses, each with nearly the same probability.  There must be one.
  virtual void Random(std::uint64_t random, const Visitor& visit) const = 0;
};

// Members.  Visitors as those of Hash.
class Set : public Collection {
 public:
  [[nodiscard]] ValueType type() const final { return ValueType::kSet; }
  [[nodiscard]] virtual bool Contains(std::string_view member) const = 0;
  // True: the member is new.
  virtual bool Put(std::string_view member) = 0;
  // True: the member was there.
  virtual bool Erase(std::string_view member) = 0;
  using Visitor = std::function<bool(std::string_view member)>;
  virtual void ForEach(const Visitor& visit) const = 0;
  // As Keyspace::Scan.
  virtual std::uint64_t Scan(std::uint64_t cursor, const Visitor& visit) const = 0;
  // One member that `random` chooses, each with nearly the same probability.  There must be one.
  [[nodiscard]] virtual std::string_view Random(std::uint64_t random) const = 0;
};

enum class Order : std::uint8_t { kForward, kBackward };

// Members, each with a score that is a number; ordered by score, and by the bytes of the member where scores are equal.
// A rank is a member's place in that order, from 0 on.
class SortedSet : public Collection {
 public:
  [[nodiscard]] ValueType type() const final { return ValueType::kSortedSet; }
  [[nodiscard]] virtual std::optional<double> ScoreOf(std::string_view member) const = 0;
  [[nodiscard]] virtual std::optional<std::uint64_t> RankOf(std::string_view member) const = 0;
  // True: the member is new.
  virtual bool Put(std::string_view member, double score) = 0;
  // True: the member was there.
  virtual bool Erase(std::string_view member) = 0;
  // How many members have a score below `score`, or equal to it if `inclusive`.
  [[nodiscard]] virtual std::uint64_t CountBelow(double score, bool inclusive) const = 0;
  // How many members are before `member` in the order of their bytes, or equal to it if `inclusive`.  Meaningful only
  // where all scores are equal, as for Redis' ZRANGEBYLEX.
  [[nodiscard]] virtual std::uint64_t CountBefore(std::string_view member, bool inclusive) const = 0;
  // Visits the ranks `first` to `last`, both included, from `first` on or from `last` back, until `visit` returns
  // false.  Ranks that do not exist are left out.
  using Visitor = std::function<bool(std::string_view member, double score)>;
  virtual void ForEach(std::uint64_t first, std::uint64_t last, Order order, const Visitor& visit) const = 0;
  // As Keyspace::Scan, in no particular order.
  virtual std::uint64_t Scan(std::uint64_t cursor, const Visitor& visit) const = 0;
};

// Elements in the order in which they were put, from index 0 on.
class List : public Collection {
 public:
  [[nodiscard]] ValueType type() const final { return ValueType::kList; }
  [[nodiscard]] virtual std::optional<std::string_view> At(std::uint64_t index) const = 0;
  // Puts `element` before the one that is at `index` now; with Size() it becomes the last one.  `index` must not be
  // larger.
  virtual void Insert(std::uint64_t index, std::string_view element) = 0;
  // What that costs with an element of so many bytes: sometimes others must be written as well.
  [[nodiscard]] virtual Cost CostOfInsert(std::uint64_t index, std::uint64_t bytes) const = 0;
  // Both must exist.
  virtual void Replace(std::uint64_t index, std::string_view element) = 0;
  // Removes the elements from `first` on, `count` of them at most.
  virtual void Erase(std::uint64_t first, std::uint64_t count) = 0;
  // Visits the indexes `first` to `last` as SortedSet::ForEach visits ranks.
  using Visitor = std::function<bool(std::uint64_t index, std::string_view element)>;
  virtual void ForEach(std::uint64_t first, std::uint64_t last, Order order, const Visitor& visit) const = 0;
};

template <typename Kind>
inline constexpr ValueType kTypeOf = ValueType::kString;
template <>
inline constexpr ValueType kTypeOf<Hash> = ValueType::kHash;
template <>
inline constexpr ValueType kTypeOf<Set> = ValueType::kSet;
template <>
inline constexpr ValueType kTypeOf<SortedSet> = ValueType::kSortedSet;
template <>
inline constexpr ValueType kTypeOf<List> = ValueType::kList;

// A packed collection is read from the front by each look-up, and each change writes all of it, so it is small: see
// Options::packed_bytes.  Where there are no large collections (Keyspace::HasLarge), it may have so many elements.
inline constexpr std::uint64_t kMaxPackedElements = 4096;

// Packs elements that the caller knows to be distinct, those of a sorted set in its order.
class Packer {
 public:
  // A member or an element; with `second` a field and its value.
  void Add(std::string_view first, std::optional<std::string_view> second = std::nullopt);
  void AddScored(std::string_view member, double score);
  [[nodiscard]] const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

// The collection in `packed`, which must be the value of a key of that type or nothing: then it is empty.  The bytes
// must stay valid until the first change, from which on the collection has its own.  Null: the bytes are damaged.
template <typename Kind>
std::unique_ptr<Kind> OpenPacked(std::string_view packed);
template <>
std::unique_ptr<Hash> OpenPacked<Hash>(std::string_view packed);
template <>
std::unique_ptr<Set> OpenPacked<Set>(std::string_view packed);
template <>
std::unique_ptr<SortedSet> OpenPacked<SortedSet>(std::string_view packed);
template <>
std::unique_ptr<List> OpenPacked<List>(std::string_view packed);

// Calls visit(...), with what a Kind::Visitor is given, for each element; those of sorted sets and lists in their
// order.
template <typename Kind, typename Visit>
void ForEachElement(const Kind& collection, Visit visit) {
  const auto visit_all = [&visit](auto... element) {
    visit(element...);
    return true;
  };
  if constexpr (requires { collection.ForEach(visit_all); }) {
    collection.ForEach(visit_all);
  } else {
    collection.ForEach(0, collection.Size(), Order::kForward, visit_all);
  }
}

// Puts an element, as a Kind::Visitor is given it, into `to`: into a list as its last one.
template <typename Kind, typename... Parts>
void PutLast(Kind& to, Parts... element) {
  to.Put(element...);
}
inline void PutLast(List& to, std::uint64_t, std::string_view element) { to.Insert(to.Size(), element); }

// Puts all elements of `from` into `to`, which is empty.
template <typename Kind>
void CopyElements(const Kind& from, Kind& to) {
  ForEachElement(from, [&to](auto... element) { PutLast(to, element...); });
}

// Calls visit.template operator()<Kind>() with the Kind of that type; `other` is returned for a string.
template <typename Visit, typename Result>
Result VisitKind(ValueType type, Visit visit, Result other) {
  switch (type) {
    case ValueType::kHash: return visit.template operator()<Hash>();
    case ValueType::kSet: return visit.template operator()<Set>();
    case ValueType::kSortedSet: return visit.template operator()<SortedSet>();
    case ValueType::kList: return visit.template operator()<List>();
    case ValueType::kString: break;
  }
  return other;
}

}  // namespace faha
