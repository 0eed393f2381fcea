// The collections of collections.h in one packed value each.  A look-up reads them from the front, unless there are
// many between two changes.
#include <algorithm>
#include <bit>
#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "collections/packed.h"
#include "faha/collections.h"

namespace faha {
namespace {

std::string_view BytesOf(const double& score) { return {reinterpret_cast<const char*>(&score), sizeof score}; }

// Where the elements of a collection begin, by number and by name.  It is made when look-ups have cost about as much as
// it does, and forgotten when elements move.
class Places {
 public:
  // The part of an element's first string that names it begins at `skip`.
  Places(const Packed* packed, std::uint32_t strings, std::size_t skip)
      : packed_(packed), strings_(strings), skip_(skip) {}

  // Is it there for one look-up more?
  bool Ready() {
    if (!table_.empty()) return true;
    const std::size_t elements = packed_->count() / strings_;
    if (elements < kFewest || ++lookups_ <= kLookups) return false;
    Make(elements);
    return true;
  }
  void Forget() {
    places_.clear();
    table_.clear();
    lookups_ = 0;
  }
  // An element was put at the end, which was at `at`.
  void Appended(std::size_t at) {
    if (table_.empty()) return;
    places_.push_back(static_cast<std::uint32_t>(at));
    if (2 * places_.size() <= table_.size()) return Enter(static_cast<std::uint32_t>(places_.size() - 1));
    Make(places_.size());
  }
  // Once Ready():
  [[nodiscard]] std::size_t At(std::uint64_t number) const { return places_[number]; }
  // The number of the element with that name.
  [[nodiscard]] std::optional<std::uint64_t> NumberOf(std::string_view name) const {
    for (std::size_t slot = SlotOf(name); table_[slot] != 0; slot = (slot + 1) % table_.size()) {
      if (NameAt(table_[slot] - 1) == name) return table_[slot] - 1;
    }
    return std::nullopt;
  }

 private:
  static constexpr std::size_t kFewest = 16;
  static constexpr std::uint32_t kLookups = 4;

  void Make(std::size_t elements) {
    places_.clear();
    for (std::size_t at = packed_->begin_at(); at != packed_->end_at();) {
      places_.push_back(static_cast<std::uint32_t>(at));
      for (std::uint32_t i = 0; i < strings_; ++i) at = packed_->ItemAt(at).end;
    }
    table_.assign(std::bit_ceil(4 * elements), 0);
    for (std::uint32_t number = 0; number < places_.size(); ++number) Enter(number);
  }
  void Enter(std::uint32_t number) {
    std::size_t slot = SlotOf(NameAt(number));
    while (table_[slot] != 0) slot = (slot + 1) % table_.size();
    table_[slot] = number + 1;
  }
  [[nodiscard]] std::string_view NameAt(std::uint32_t number) const {
    return packed_->ItemAt(places_[number]).text.substr(skip_);
  }
  [[nodiscard]] std::size_t SlotOf(std::string_view name) const {
    return std::hash<std::string_view>()(name) % table_.size();
  }

  const Packed* packed_;
  std::uint32_t strings_;
  std::size_t skip_;
  std::uint32_t lookups_ = 0;          // since elements moved last
  std::vector<std::uint32_t> places_;  // by number
  std::vector<std::uint32_t> table_;   // open addressing by name: a number and 1; 0: nothing
};

// What all of them have in common.  `kStrings`: how many strings an element is.
template <typename Base, std::uint32_t kStrings, std::uint64_t kFixedBytes = 0>
class PackedCollection : public Base {
 public:
  explicit PackedCollection(std::string_view bytes) : packed_(bytes), places_(&packed_, kStrings, kFixedBytes) {}
  [[nodiscard]] std::uint64_t Size() const final { return packed_.count() / kStrings; }
  [[nodiscard]] std::string_view Bytes() const final { return packed_.bytes(); }
  void Own() final { packed_.Own(); }
  [[nodiscard]] bool large() const final { return false; }
  [[nodiscard]] std::uint64_t ElementBytes() const final { return packed_.bytes().size(); }
  [[nodiscard]] Cost CostOfPut(std::uint64_t bytes, std::uint64_t elements) const final {
    constexpr std::uint64_t kOverhead = kStrings * Packed::kMaxLengthBytes + kFixedBytes;
    return {Packed::kHeaderBytes + packed_.bytes().size() + bytes + elements * kOverhead, 1};
  }
  [[nodiscard]] Cost CostOfErase(std::uint64_t, std::uint64_t) const final { return {packed_.bytes().size(), 1}; }
  [[nodiscard]] Status status() const final { return Status::Ok(); }

 protected:
  using Item = Packed::Item;
  struct Found {
    Item item;
    std::uint64_t number = 0;
  };
  // Calls visit(Item) for each string that begins an element, until it returns false.
  template <typename Visit>
  void ForEachItem(Visit visit) const {
    for (std::size_t at = packed_.begin_at(); at != packed_.end_at();) {
      const Item item = packed_.ItemAt(at);
      if (!visit(item)) return;
      at = item.end;
      for (std::uint32_t more = 1; more < kStrings; ++more) at = packed_.ItemAt(at).end;
    }
  }
  // The string that begins an element with that name; nothing if there is none.
  [[nodiscard]] std::optional<Found> FindItem(std::string_view name) const {
    std::optional<Found> found;
    if (places_.Ready()) {
      if (const auto number = places_.NumberOf(name)) found = Found{packed_.ItemAt(places_.At(*number)), *number};
      return found;
    }
    std::uint64_t number = 0;
    ForEachItem([&](const Item& item) {
      if (item.text.substr(kFixedBytes) == name) found = Found{item, number};
      ++number;
      return !found;
    });
    return found;
  }
  [[nodiscard]] std::size_t PlaceOf(std::uint64_t number) const {
    return number < Size() && places_.Ready() ? places_.At(number) : packed_.PlaceOf(number * kStrings);
  }
  [[nodiscard]] std::size_t RandomPlace(std::uint64_t random) const { return PlaceOf(random % Size()); }

  Packed packed_;
  mutable Places places_;
};

class PackedHash final : public PackedCollection<Hash, 2> {
 public:
  using PackedCollection::PackedCollection;

  [[nodiscard]] std::optional<std::string_view> Find(std::string_view field) const override {
    const auto item = FindItem(field);
    if (!item) return std::nullopt;
    return packed_.ItemAt(item->item.end).text;
  }
  bool Put(std::string_view field, std::string_view value) override {
    if (const auto item = FindItem(field)) {
      const Item old = packed_.ItemAt(item->item.end);
      // The value may be a view of what is removed, so the new one is inserted first.
      const bool moves = value.size() != old.text.size();
      const std::size_t end = packed_.Insert(old.at, value);
      packed_.Remove(end, end + (old.end - old.at), 1);
      if (moves) places_.Forget();
      return false;
    }
    const std::string owned(value);
    const std::size_t at = packed_.end_at();
    packed_.Insert(packed_.Insert(packed_.end_at(), field), owned);
    places_.Appended(at);
    return true;
  }
  bool Erase(std::string_view field) override {
    const auto found = FindItem(field);
    if (!found) return false;
    packed_.Remove(found->item.at, packed_.ItemAt(found->item.end).end, 2);
    places_.Forget();
    return true;
  }
  void ForEach(const Visitor& visit) const override {
    ForEachItem([&](const Item& item) { return visit(item.text, packed_.ItemAt(item.end).text); });
  }
  std::uint64_t Scan(std::uint64_t, const Visitor& visit) const override {
    ForEach(visit);
    return 0;
  }
  void Random(std::uint64_t random, const Visitor& visit) const override {
    const Item item = packed_.ItemAt(RandomPlace(random));
    visit(item.text, packed_.ItemAt(item.end).text);
  }
};

class PackedSet final : public PackedCollection<Set, 1> {
 public:
  using PackedCollection::PackedCollection;

  [[nodiscard]] bool Contains(std::string_view member) const override { return FindItem(member).has_value(); }
  bool Put(std::string_view member) override {
    if (Contains(member)) return false;
    const std::size_t at = packed_.end_at();
    packed_.Insert(packed_.end_at(), member);
    places_.Appended(at);
    return true;
  }
  bool Erase(std::string_view member) override {
    const auto found = FindItem(member);
    if (!found) return false;
    packed_.Remove(found->item.at, found->item.end, 1);
    places_.Forget();
    return true;
  }
  void ForEach(const Visitor& visit) const override {
    ForEachItem([&](const Item& item) { return visit(item.text); });
  }
  std::uint64_t Scan(std::uint64_t, const Visitor& visit) const override {
    ForEach(visit);
    return 0;
  }
  [[nodiscard]] std::string_view Random(std::uint64_t random) const override {
    return packed_.ItemAt(RandomPlace(random)).text;
  }
};

class PackedSortedSet final : public PackedCollection<SortedSet, 1, sizeof(double)> {
 public:
  using PackedCollection::PackedCollection;

  [[nodiscard]] std::optional<double> ScoreOf(std::string_view member) const override {
    const auto found = FindItem(member);
    return found ? std::optional(Scored(found->item).score) : std::nullopt;
  }
  [[nodiscard]] std::optional<std::uint64_t> RankOf(std::string_view member) const override {
    const auto found = FindItem(member);
    return found ? std::optional(found->number) : std::nullopt;
  }
  bool Put(std::string_view member, double score) override {
    const std::string owned(member);  // it may be a view of this set
    const auto old = FindItem(owned);
    if (old) {
      packed_.Remove(old->item.at, old->item.end, 1);
      places_.Forget();
    }
    const std::size_t at = PlaceFor(owned, score);
    const bool at_end = at == packed_.end_at();
    packed_.Insert(at, BytesOf(score), owned);
    at_end ? places_.Appended(at) : places_.Forget();
    return !old;
  }
  bool Erase(std::string_view member) override {
    const auto found = FindItem(member);
    if (!found) return false;
    packed_.Remove(found->item.at, found->item.end, 1);
    places_.Forget();
    return true;
  }
  [[nodiscard]] std::uint64_t CountBelow(double score, bool inclusive) const override {
    return CountWhile([&](const Element& each) { return each.score < score || (inclusive && each.score == score); });
  }
  [[nodiscard]] std::uint64_t CountBefore(std::string_view member, bool inclusive) const override {
    return CountWhile(
        [&](const Element& each) { return each.member < member || (inclusive && each.member == member); });
  }
  void ForEach(std::uint64_t first, std::uint64_t last, Order order, const Visitor& visit) const override {
    if (Size() == 0 || first > last || first >= Size()) return;
    last = std::min(last, Size() - 1);
    std::vector<std::size_t> places;
    for (std::size_t at = PlaceOf(first); first <= last; ++first) {
      const Item item = packed_.ItemAt(at);
      const Element element = Scored(item);
      if (order == Order::kBackward) {
        places.push_back(at);
      } else if (!visit(element.member, element.score)) {
        return;
      }
      at = item.end;
    }
    for (; !places.empty(); places.pop_back()) {
      const Element element = Scored(packed_.ItemAt(places.back()));
      if (!visit(element.member, element.score)) return;
    }
  }
  std::uint64_t Scan(std::uint64_t, const Visitor& visit) const override {
    ForEach(0, Size(), Order::kForward, visit);
    return 0;
  }

 private:
  struct Element {
    std::string_view member;
    double score = 0;
  };
  // Does the element stand before one with that member and score?
  static bool IsBelow(const Item& item, std::string_view member, double score) {
    const auto [other, its_score] = Scored(item);
    return its_score < score || (its_score == score && other < member);
  }
  [[nodiscard]] std::size_t PlaceFor(std::string_view member, double score) const {
    std::size_t place = packed_.end_at();
    if (Size() != 0 && places_.Ready() && IsBelow(packed_.ItemAt(places_.At(Size() - 1)), member, score)) return place;
    ForEachItem([&](const Item& item) {
      if (IsBelow(item, member, score)) return true;
      place = item.at;
      return false;
    });
    return place;
  }
  static Element Scored(const Item& item) {
    Element element{item.text.substr(sizeof(double))};
    std::memcpy(&element.score, item.text.data(), sizeof element.score);
    return element;
  }
  template <typename Function>
  [[nodiscard]] std::uint64_t CountWhile(Function is_below) const {
    std::uint64_t count = 0;
    ForEachItem([&](const Item& item) {
      if (!is_below(Scored(item))) return false;
      ++count;
      return true;
    });
    return count;
  }
};

class PackedList final : public PackedCollection<List, 1> {
 public:
  using PackedCollection::PackedCollection;

  [[nodiscard]] std::optional<std::string_view> At(std::uint64_t index) const override {
    if (index >= Size()) return std::nullopt;
    return packed_.ItemAt(PlaceOf(index)).text;
  }
  void Insert(std::uint64_t index, std::string_view element) override {
    packed_.Insert(packed_.PlaceOf(index), element);
    places_.Forget();
  }
  [[nodiscard]] Cost CostOfInsert(std::uint64_t, std::uint64_t bytes) const override { return CostOfPut(bytes, 1); }
  void Replace(std::uint64_t index, std::string_view element) override {
    const Item old = packed_.ItemAt(packed_.PlaceOf(index));
    const std::size_t end = packed_.Insert(old.at, element);
    packed_.Remove(end, end + (old.end - old.at), 1);
    places_.Forget();
  }
  void Erase(std::uint64_t first, std::uint64_t count) override {
    if (first >= Size()) return;
    count = std::min(count, Size() - first);
    const std::size_t at = packed_.PlaceOf(first);
    std::size_t end = at;
    for (std::uint64_t i = 0; i < count; ++i) end = packed_.ItemAt(end).end;
    if (count == 0) return;
    packed_.Remove(at, end, static_cast<std::uint32_t>(count));
    places_.Forget();
  }
  void ForEach(std::uint64_t first, std::uint64_t last, Order order, const Visitor& visit) const override {
    if (Size() == 0 || first > last || first >= Size()) return;
    last = std::min(last, Size() - 1);
    std::vector<std::size_t> places;
    std::uint64_t index = first;
    for (std::size_t at = packed_.PlaceOf(first); index <= last; ++index) {
      const Item item = packed_.ItemAt(at);
      if (order == Order::kBackward) {
        places.push_back(at);
      } else if (!visit(index, item.text)) {
        return;
      }
      at = item.end;
    }
    for (; !places.empty(); places.pop_back()) {
      if (!visit(--index, packed_.ItemAt(places.back()).text)) return;
    }
  }
};

template <typename Kind>
std::unique_ptr<Kind> Open(std::string_view packed, ValueType type) {
  return Packed::IsWellFormed(packed, type) ? std::make_unique<Kind>(packed) : nullptr;
}

}  // namespace

void Packer::Add(std::string_view first, std::optional<std::string_view> second) {
  Packed::Append(bytes_, first);
  if (second) Packed::Append(bytes_, *second);
}

void Packer::AddScored(std::string_view member, double score) { Packed::Append(bytes_, BytesOf(score), member); }

template <>
std::unique_ptr<Hash> OpenPacked<Hash>(std::string_view packed) {
  return Open<PackedHash>(packed, ValueType::kHash);
}
template <>
std::unique_ptr<Set> OpenPacked<Set>(std::string_view packed) {
  return Open<PackedSet>(packed, ValueType::kSet);
}
template <>
std::unique_ptr<SortedSet> OpenPacked<SortedSet>(std::string_view packed) {
  return Open<PackedSortedSet>(packed, ValueType::kSortedSet);
}
template <>
std::unique_ptr<List> OpenPacked<List>(std::string_view packed) {
  return Open<PackedList>(packed, ValueType::kList);
}

}  // namespace faha
