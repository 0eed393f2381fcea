#include "store/large_views.h"

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "log/element.h"

namespace faha {
namespace {

constexpr std::uint64_t kLabelBytes = sizeof(std::uint64_t);

std::string_view ScoreBytes(const double& score) { return {reinterpret_cast<const char*>(&score), sizeof score}; }

// What all of them have in common.  `kOwnBytes`: what an element's record has besides what the caller names (bytes).
template <typename Base, std::uint64_t kOwnBytes>
class LargeCollection : public Base {
 public:
  LargeCollection(const CollectionId& id, const Engine& engine, ElementWriter& writer)
      : id_(id), name_(BytesOf(id)), engine_(engine), writer_(writer) {}

  [[nodiscard]] bool large() const final { return true; }
  [[nodiscard]] std::uint64_t Size() const final {
    const Large* found = elements();
    return found == nullptr ? 0 : found->Size();
  }
  [[nodiscard]] std::string_view Bytes() const final { return {name_.data(), name_.size()}; }
  [[nodiscard]] std::uint64_t ElementBytes() const final {
    std::uint64_t bytes = 0;
    if (const Large* found = elements()) {
      found->ForEach([&](LogAddress at) {
        if (const auto record = engine_.ElementAt(at, RecordPart::kHead)) bytes += BytesIn(*record);
      });
    }
    return bytes;
  }
  void Own() final {}  // nothing here is a view
  [[nodiscard]] Cost CostOfPut(std::uint64_t bytes, std::uint64_t elements) const final {
    return {bytes + elements * (format::kCollectionIdBytes + kOwnBytes), elements};
  }
  [[nodiscard]] Cost CostOfErase(std::uint64_t bytes, std::uint64_t elements) const final {
    const std::uint64_t names = Base::type() == ValueType::kList ? elements * kLabelBytes : bytes;
    return {names + elements * format::kCollectionIdBytes, elements};
  }
  [[nodiscard]] Status status() const final { return status_; }

 protected:
  [[nodiscard]] const Large* elements() const { return engine_.Find(id_); }
  [[nodiscard]] std::optional<Record> FindRecord(std::string_view subkey) const {
    return engine_.FindElement(id_, subkey);
  }
  // True: the element is new.
  bool PutElement(std::string_view subkey, std::string_view value) {
    return Keep(writer_.PutElement(id_, Base::type(), subkey, value));
  }
  // True: the element was there.
  bool EraseElement(std::string_view subkey) { return Keep(writer_.EraseElement(id_, subkey)); }
  // Calls visit(Record) for the element at `at`.  False: it said so, or the record is damaged, which the engine knows.
  template <typename Visit>
  bool VisitAt(LogAddress at, Visit visit) const {
    const auto record = engine_.ElementAt(at, RecordPart::kAll);
    return record && visit(*record);
  }
  // In no particular order.
  template <typename Visit>
  void ForEachRecord(Visit visit) const {
    const Large* found = elements();
    bool goes_on = found != nullptr;
    for (std::uint64_t cursor = 0; goes_on;) {
      cursor =
          found->index().Scan(cursor, [&](Place place) { goes_on = goes_on && VisitAt(place.log_address(), visit); });
      if (cursor == 0) break;
    }
  }
  template <typename Visit>
  std::uint64_t ScanRecords(std::uint64_t cursor, Visit visit) const {
    const Large* found = elements();
    if (found == nullptr) return 0;
    bool goes_on = true;
    return found->index().Scan(cursor, [&](Place place) { goes_on = goes_on && VisitAt(place.log_address(), visit); });
  }
  template <typename Visit>
  void ForEachRank(std::uint64_t first, std::uint64_t last, Order order, Visit visit) const {
    if (const Large* found = elements()) {
      found->tree().ForEach(first, last, order,
                            [&](const CountedTree::Entry& entry) { return VisitAt(entry.at, visit); });
    }
  }
  // One element that `random` chooses; none if there is nothing.
  template <typename Visit>
  void VisitRandom(std::uint64_t random, Visit visit) const {
    const Large* found = elements();
    if (found == nullptr || found->Size() == 0) return;
    // A sample of the index may name no element.  Each further one is made of the last as in SplitMix64.
    Place place = found->index().Sample(random);
    for (; place.IsNone(); place = found->index().Sample(Mixed(random))) random += 0x9e3779b97f4a7c15;
    (void)VisitAt(place.log_address(), visit);
  }

 private:
  static std::uint64_t Mixed(std::uint64_t random) {
    random = (random ^ (random >> 30)) * 0xbf58476d1ce4e5b9;
    random = (random ^ (random >> 27)) * 0x94d049bb133111eb;
    return random ^ (random >> 31);
  }
  static std::uint64_t BytesIn(const Record& record) {
    return (record.type == ValueType::kList ? 0 : SubkeyOf(record).size()) + record.value.size();
  }
  bool Keep(const Result<bool>& done) {
    if (status_.ok()) status_ = done.status();
    return done.ok() && done.value();
  }

  CollectionId id_;
  CollectionIdBytes name_;
  const Engine& engine_;
  ElementWriter& writer_;
  Status status_;
};

class LargeHash final : public LargeCollection<Hash, 0> {
 public:
  using LargeCollection::LargeCollection;

  [[nodiscard]] std::optional<std::string_view> Find(std::string_view field) const override {
    const auto record = FindRecord(field);
    return record ? std::optional(record->value) : std::nullopt;
  }
  bool Put(std::string_view field, std::string_view value) override { return PutElement(field, value); }
  bool Erase(std::string_view field) override { return EraseElement(field); }
  void ForEach(const Visitor& visit) const override {
    ForEachRecord([&](const Record& record) { return visit(SubkeyOf(record), record.value); });
  }
  std::uint64_t Scan(std::uint64_t cursor, const Visitor& visit) const override {
    return ScanRecords(cursor, [&](const Record& record) { return visit(SubkeyOf(record), record.value); });
  }
  void Random(std::uint64_t random, const Visitor& visit) const override {
    VisitRandom(random, [&](const Record& record) { return visit(SubkeyOf(record), record.value); });
  }
};

class LargeSet final : public LargeCollection<Set, 0> {
 public:
  using LargeCollection::LargeCollection;

  [[nodiscard]] bool Contains(std::string_view member) const override { return FindRecord(member).has_value(); }
  bool Put(std::string_view member) override { return !Contains(member) && PutElement(member, {}); }
  bool Erase(std::string_view member) override { return EraseElement(member); }
  void ForEach(const Visitor& visit) const override {
    ForEachRecord([&](const Record& record) { return visit(SubkeyOf(record)); });
  }
  std::uint64_t Scan(std::uint64_t cursor, const Visitor& visit) const override {
    return ScanRecords(cursor, [&](const Record& record) { return visit(SubkeyOf(record)); });
  }
  [[nodiscard]] std::string_view Random(std::uint64_t random) const override {
    std::string_view member;
    VisitRandom(random, [&](const Record& record) {
      member = SubkeyOf(record);
      return true;
    });
    return member;
  }
};

class LargeSortedSet final : public LargeCollection<SortedSet, sizeof(double)> {
 public:
  using LargeCollection::LargeCollection;

  [[nodiscard]] std::optional<double> ScoreOf(std::string_view member) const override {
    const auto record = FindRecord(member);
    return record ? std::optional(faha::ScoreOf(record->value)) : std::nullopt;
  }
  [[nodiscard]] std::optional<std::uint64_t> RankOf(std::string_view member) const override {
    const auto score = ScoreOf(member);
    return score ? std::optional(elements()->RankOf(OrderOf(*score), member)) : std::nullopt;
  }
  bool Put(std::string_view member, double score) override { return PutElement(member, ScoreBytes(score)); }
  bool Erase(std::string_view member) override { return EraseElement(member); }
  [[nodiscard]] std::uint64_t CountBelow(double score, bool inclusive) const override {
    const Large* found = elements();
    return found == nullptr ? 0 : found->tree().CountBefore(OrderOf(score), [=](LogAddress) { return inclusive; });
  }
  [[nodiscard]] std::uint64_t CountBefore(std::string_view member, bool inclusive) const override {
    if (Size() == 0) return 0;
    const Large& found = *elements();
    const std::uint64_t order = found.tree().At(0).order;
    const std::uint64_t before = found.RankOf(order, member);
    return inclusive && ScoreOf(member) ? before + 1 : before;
  }
  void ForEach(std::uint64_t first, std::uint64_t last, Order order, const Visitor& visit) const override {
    ForEachRank(first, last, order,
                [&](const Record& record) { return visit(SubkeyOf(record), faha::ScoreOf(record.value)); });
  }
  std::uint64_t Scan(std::uint64_t cursor, const Visitor& visit) const override {
    return ScanRecords(cursor,
                       [&](const Record& record) { return visit(SubkeyOf(record), faha::ScoreOf(record.value)); });
  }
};

class LargeList final : public LargeCollection<List, kLabelBytes> {
 public:
  using LargeCollection::LargeCollection;

  [[nodiscard]] std::optional<std::string_view> At(std::uint64_t index) const override {
    std::optional<std::string_view> element;
    ForEachRank(index, index, Order::kForward, [&](const Record& record) {
      element = record.value;
      return true;
    });
    return element;
  }
  void Insert(std::uint64_t index, std::string_view element) override {
    auto label = LabelAt(index);
    if (!label) {
      Respace(index);
      label = LabelAt(index);
    }
    if (label) PutElement(LabelBytes(*label), element);
  }
  [[nodiscard]] Cost CostOfInsert(std::uint64_t index, std::uint64_t bytes) const override {
    Cost cost = CostOfPut(bytes, 1);
    if (LabelAt(index)) return cost;
    const Crowd crowd = CrowdAt(index);
    if (crowd.count == 0) return cost;
    ForEachRank(crowd.first, crowd.first + crowd.count - 1, Order::kForward, [&](const Record& record) {
      cost += CostOfPut(record.value.size(), 1);
      cost += CostOfErase(0, 1);
      return true;
    });
    return cost;
  }
  void Replace(std::uint64_t index, std::string_view element) override {
    PutElement(LabelBytes(elements()->tree().At(index).order), element);
  }
  void Erase(std::uint64_t first, std::uint64_t count) override {
    const std::uint64_t size = Size();
    if (first >= size) return;
    // The last one first, so that what is taken from the end of a node does not move what is left there.
    for (count = std::min(count, size - first); count > 0; --count) {
      if (!EraseElement(LabelBytes(elements()->tree().At(first + count - 1).order))) return;
    }
  }
  void ForEach(std::uint64_t first, std::uint64_t last, Order order, const Visitor& visit) const override {
    const std::uint64_t size = Size();
    if (size == 0 || first > last || first >= size) return;
    std::uint64_t index = order == Order::kForward ? first : std::min(last, size - 1);
    ForEachRank(first, last, order, [&](const Record& record) {
      const bool goes_on = visit(index, record.value);
      order == Order::kForward ? ++index : --index;
      return goes_on;
    });
  }

 private:
  // Elements side by side, and the range of labels that they are to share: `labels` numbers from `least` on.
  struct Crowd {
    std::uint64_t first = 0, count = 0;
    std::uint64_t least = 0, labels = 0;
  };

  // A label for an element that is inserted at `index`; nothing if there is none left.
  [[nodiscard]] std::optional<std::uint64_t> LabelAt(std::uint64_t index) const {
    const std::uint64_t size = Size();
    if (size == 0) return kFirstListLabel;
    const CountedTree& tree = elements()->tree();
    if (index == 0 && tree.First().order >= kListStep) return tree.First().order - kListStep;
    if (index == size && ~tree.Last().order >= kListStep) return tree.Last().order + kListStep;
    const std::uint64_t low = index == 0 ? 0 : tree.At(index - 1).order;
    const std::uint64_t high = index == size ? ~std::uint64_t{0} : tree.At(index).order;
    if (high - low < 2) return std::nullopt;
    return low + (high - low) / 2;
  }
  // The elements that are given new labels so that there is one for another element at `index`: those in the smallest
  // aligned range of 2^i labels of which less than (5/8)^i are in use.
  [[nodiscard]] Crowd CrowdAt(std::uint64_t index) const {
    const CountedTree& tree = elements()->tree();
    const std::uint64_t near = tree.At(std::min(index, tree.Size() - 1)).order;
    const auto rank_of = [&](std::uint64_t label) { return tree.CountBefore(label, [](LogAddress) { return false; }); };
    double most = 1;
    for (int bits = 1; bits < 64; ++bits) {
      most *= 2 * 5.0 / 8;
      const std::uint64_t labels = std::uint64_t{1} << bits;
      const std::uint64_t least = near & ~(labels - 1);
      const std::uint64_t first = rank_of(least);
      const std::uint64_t end = least + labels == 0 ? tree.Size() : rank_of(least + labels);
      const std::uint64_t count = end - first;
      if (index >= first && index <= end && static_cast<double>(count + 1) < most) return {first, count, least, labels};
    }
    return {};  // this would take more elements than any pool can hold
  }
  // Gives the crowd at `index` labels with the same distance from each other.
  void Respace(std::uint64_t index) {
    const Crowd crowd = CrowdAt(index);
    if (crowd.count == 0) return;
    struct Moved {
      std::uint64_t from, to;
      std::string element;
    };
    std::vector<Moved> moved;
    const CountedTree& tree = elements()->tree();
    // There is a gap for the new element: its place is left out.
    const std::uint64_t step = crowd.labels / (crowd.count + 1);
    std::uint64_t to = crowd.least + step / 2;
    for (std::uint64_t rank = crowd.first; rank < crowd.first + crowd.count; ++rank, to += step) {
      if (rank == index) to += step;
      const std::uint64_t from = tree.At(rank).order;
      moved.push_back({from, to, std::string(At(rank).value_or(""))});
    }
    // Old and new labels may be the same numbers, so all are erased before any is put again.
    for (const Moved& each : moved) EraseElement(LabelBytes(each.from));
    for (const Moved& each : moved) PutElement(LabelBytes(each.to), each.element);
  }
};

}  // namespace

std::unique_ptr<Collection> ViewLarge(const CollectionId& id, ValueType type, const Engine& engine,
                                      ElementWriter& writer) {
  switch (type) {
    case ValueType::kHash: return std::make_unique<LargeHash>(id, engine, writer);
    case ValueType::kSet: return std::make_unique<LargeSet>(id, engine, writer);
    case ValueType::kSortedSet: return std::make_unique<LargeSortedSet>(id, engine, writer);
    case ValueType::kList: return std::make_unique<LargeList>(id, engine, writer);
    case ValueType::kString: break;
  }
  return nullptr;
}

}  // namespace faha
