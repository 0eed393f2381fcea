// The collections of collections.h in one packed value each: every look-up reads them from the front.
#include <algorithm>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "collections/packed.h"
#include "faha/collections.h"

namespace faha {
namespace {

// What all of them have in common.  `kStrings`: how many strings an element is.
template <typename Base, std::uint32_t kStrings, std::uint64_t kFixedBytes = 0>
class PackedCollection : public Base {
 public:
  explicit PackedCollection(std::string_view bytes) : packed_(bytes) {}
  [[nodiscard]] std::uint64_t Size() const final { return packed_.count() / kStrings; }
  [[nodiscard]] std::string_view Bytes() const final { return packed_.bytes(); }
  void Own() final { packed_.Own(); }
  [[nodiscard]] std::uint64_t BytesAfter(std::uint64_t bytes, std::uint64_t elements) const final {
    constexpr std::uint64_t kOverhead = kStrings * Packed::kMaxLengthBytes + kFixedBytes;
    return Packed::kHeaderBytes + packed_.bytes().size() + bytes + elements * kOverhead;
  }

 protected:
  using Item = Packed::Item;
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
  // The string that begins an element and equals `text`; nothing if there is none.
  [[nodiscard]] std::optional<Item> FindItem(std::string_view text) const {
    std::optional<Item> found;
    ForEachItem([&](const Item& item) {
      if (item.text == text) found = item;
      return !found;
    });
    return found;
  }
  [[nodiscard]] std::size_t RandomPlace(std::uint64_t random) const {
    return packed_.PlaceOf(random % Size() * kStrings);
  }

  Packed packed_;
};

class PackedHash final : public PackedCollection<Hash, 2> {
 public:
  using PackedCollection::PackedCollection;

  [[nodiscard]] std::optional<std::string_view> Find(std::string_view field) const override {
    const auto item = FindItem(field);
    if (!item) return std::nullopt;
    return packed_.ItemAt(item->end).text;
  }
  bool Put(std::string_view field, std::string_view value) override {
    if (const auto item = FindItem(field)) {
      const Item old = packed_.ItemAt(item->end);
      // The value may be a view of what is removed, so the new one is inserted first.
      const std::size_t end = packed_.Insert(old.at, value);
      packed_.Remove(end, end + (old.end - old.at), 1);
      return false;
    }
    const std::string owned(value);
    packed_.Insert(packed_.Insert(packed_.end_at(), field), owned);
    return true;
  }
  bool Erase(std::string_view field) override {
    const auto item = FindItem(field);
    if (item) packed_.Remove(item->at, packed_.ItemAt(item->end).end, 2);
    return item.has_value();
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
    packed_.Insert(packed_.end_at(), member);
    return true;
  }
  bool Erase(std::string_view member) override {
    const auto item = FindItem(member);
    if (item) packed_.Remove(item->at, item->end, 1);
    return item.has_value();
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
    const auto found = FindMember(member);
    return found ? std::optional(Scored(found->item).score) : std::nullopt;
  }
  [[nodiscard]] std::optional<std::uint64_t> RankOf(std::string_view member) const override {
    const auto found = FindMember(member);
    return found ? std::optional(found->rank) : std::nullopt;
  }
  bool Put(std::string_view member, double score) override {
    const std::string owned(member);  // it may be a view of this set
    const auto old = FindMember(owned);
    if (old) packed_.Remove(old->item.at, old->item.end, 1);
    std::size_t at = packed_.end_at();
    ForEachItem([&](const Item& item) {
      const auto [other, its_score] = Scored(item);
      if (its_score < score || (its_score == score && other < owned)) return true;
      at = item.at;
      return false;
    });
    packed_.Insert(at, {reinterpret_cast<const char*>(&score), sizeof score}, owned);
    return !old;
  }
  bool Erase(std::string_view member) override {
    const auto found = FindMember(member);
    if (found) packed_.Remove(found->item.at, found->item.end, 1);
    return found.has_value();
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
    for (std::size_t at = packed_.PlaceOf(first); first <= last; ++first) {
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
  struct Found {
    Item item;
    std::uint64_t rank = 0;
  };
  static Element Scored(const Item& item) {
    Element element{item.text.substr(sizeof(double))};
    std::memcpy(&element.score, item.text.data(), sizeof element.score);
    return element;
  }
  [[nodiscard]] std::optional<Found> FindMember(std::string_view member) const {
    std::optional<Found> found;
    std::uint64_t rank = 0;
    ForEachItem([&](const Item& item) {
      if (Scored(item).member == member) found = Found{item, rank};
      ++rank;
      return !found;
    });
    return found;
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
    return packed_.ItemAt(packed_.PlaceOf(index)).text;
  }
  void Insert(std::uint64_t index, std::string_view element) override {
    packed_.Insert(packed_.PlaceOf(index), element);
  }
  void Replace(std::uint64_t index, std::string_view element) override {
    const Item old = packed_.ItemAt(packed_.PlaceOf(index));
    const std::size_t end = packed_.Insert(old.at, element);
    packed_.Remove(end, end + (old.end - old.at), 1);
  }
  void Erase(std::uint64_t first, std::uint64_t count) override {
    if (first >= Size()) return;
    count = std::min(count, Size() - first);
    const std::size_t at = packed_.PlaceOf(first);
    std::size_t end = at;
    for (std::uint64_t i = 0; i < count; ++i) end = packed_.ItemAt(end).end;
    if (count > 0) packed_.Remove(at, end, static_cast<std::uint32_t>(count));
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

std::string_view BytesOf(const double& score) { return {reinterpret_cast<const char*>(&score), sizeof score}; }

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
