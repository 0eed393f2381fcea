#include "store/large.h"

#include <array>

#include "base/check.h"

namespace faha {

namespace {
constexpr DbId kElementsDb = 0;  // of all records of elements
}  // namespace

Large::~Large() { totals_->elements -= Size(); }

Large::Large(CollectionId id, ValueType type, const ElementSource& source, CollectionTotals* totals,
             const KeyHash& hash)
    : id_(id), type_(type), source_(source), totals_(totals), tree_(totals) {
  if (type != ValueType::kList) index_.emplace(source, kElementsDb, totals, hash);
}

std::uint64_t Large::RankOf(std::uint64_t order, std::string_view member) const {
  if (type_ == ValueType::kList) return RankOfLabel(order);
  return tree_.CountBefore(order, [&](LogAddress at) {
    const auto record = source_.ElementAt(at, RecordPart::kHead);
    if (!record) source_.Lost();
    return record && SubkeyOf(*record) < member;
  });
}

// Most are at an end.
std::uint64_t Large::RankOfLabel(std::uint64_t label) const {
  if (tree_.Size() == 0 || label <= tree_.First().order) return 0;
  if (label > tree_.Last().order) return tree_.Size();
  if (label == tree_.Last().order) return tree_.Size() - 1;
  return tree_.CountBefore(label, [](LogAddress) { return false; });
}

// Where the record of the element with that label is, which would be at `rank`; none if there is no such element.
LogAddress Large::FindLabel(std::uint64_t label, std::uint64_t rank) const {
  if (rank == tree_.Size()) return {};
  const CountedTree::Entry entry = rank == 0 ? tree_.First() : rank + 1 == tree_.Size() ? tree_.Last() : tree_.At(rank);
  return entry.order == label ? entry.at : LogAddress{};
}

std::optional<std::uint64_t> Large::RankAt(const Record& element, LogAddress at) const {
  const std::uint64_t rank = RankOf(OrderOf(element), SubkeyOf(element));
  if (rank < tree_.Size() && tree_.At(rank).at == at) return rank;
  source_.Lost();
  return std::nullopt;
}

void Large::Insert(const Record& element, LogAddress at) {
  const std::uint64_t order = OrderOf(element);
  tree_.Insert(RankOf(order, SubkeyOf(element)), {order, at});
}

void Large::EraseOrder(const Record& element, LogAddress at) {
  if (const auto rank = RankAt(element, at)) tree_.Erase(*rank);
}

LogAddress Large::Find(std::uint64_t hash, std::string_view key) const {
  if (index_) return index_->Find(hash, key).log_address();
  const std::uint64_t label = LabelOf(key.substr(format::kCollectionIdBytes));
  return FindLabel(label, RankOfLabel(label));
}

bool Large::Holds(const Record& element, std::uint64_t hash, LogAddress at) const {
  return index_ ? index_->Holds(hash, at) : Find(hash, element.key) == at;
}

LogAddress Large::PutInList(const Record& element, LogAddress at) {
  const std::uint64_t label = LabelOf(SubkeyOf(element)), rank = RankOfLabel(label);
  const LogAddress was = FindLabel(label, rank);
  if (!was.IsNone()) {
    tree_.Move(rank, at);
    return was;
  }
  tree_.Insert(rank, {label, at});
  ++totals_->elements;
  return was;
}

LogAddress Large::EraseInList(const Record& element) {
  const std::uint64_t label = LabelOf(SubkeyOf(element)), rank = RankOfLabel(label);
  const LogAddress was = FindLabel(label, rank);
  if (was.IsNone()) return was;
  tree_.Erase(rank);
  --totals_->elements;
  return was;
}

LogAddress Large::Put(const Record& element, std::uint64_t hash, LogAddress at) {
  if (!index_) return PutInList(element, at);
  if (!ordered()) {
    const Place was = index_->Upsert(hash, element.key, at, [at](Place) { return Place::Cold(at); });
    if (was.IsNone()) ++totals_->elements;
    return was.log_address();
  }
  const LogAddress was = Find(hash, element.key);
  if (was.IsNone()) {
    Restore(element, hash, at);
    return was;
  }
  index_->Replace(hash, was, at);
  // The older record still is what the tree names.
  const auto older = source_.ElementAt(was, RecordPart::kAll);
  if (!older) {
    source_.Lost();
  } else if (const auto rank = RankAt(*older, was)) {
    if (OrderOf(*older) == OrderOf(element)) {
      tree_.Move(*rank, at);
    } else {
      tree_.Erase(*rank);
      Insert(element, at);
    }
  }
  return was;
}

LogAddress Large::Erase(const Record& element, std::uint64_t hash) {
  if (!index_) return EraseInList(element);
  const LogAddress was = Find(hash, element.key);
  if (was.IsNone()) return was;
  // The record that says so has no score, so the one that it erases is read.
  const auto older = source_.ElementAt(was, ordered() ? RecordPart::kAll : RecordPart::kHead);
  if (!older) {
    source_.Lost();
    return {};
  }
  Remove(*older, hash, was);
  return was;
}

void Large::Move(const Record& element, std::uint64_t hash, LogAddress from, LogAddress to) {
  if (index_) index_->Move(hash, from, to);
  if (!ordered()) return;
  if (const auto rank = RankAt(element, from)) tree_.Move(*rank, to);
}

void Large::Replace(const Record& element, std::uint64_t hash, LogAddress from, const Record& older, LogAddress to) {
  if (index_) index_->Replace(hash, from, to);
  if (!ordered()) return;
  EraseOrder(element, from);
  Insert(older, to);
}

void Large::Remove(const Record& element, std::uint64_t hash, LogAddress at) {
  const std::uint64_t size = Size();
  if (index_) index_->Remove(hash, at);
  if (ordered()) EraseOrder(element, at);
  totals_->elements -= size - Size();
}

void Large::Restore(const Record& element, std::uint64_t hash, LogAddress at) {
  if (index_) index_->Restore(hash, at);
  if (ordered()) Insert(element, at);
  ++totals_->elements;
}

bool Large::Save(const std::function<bool(std::span<const std::byte>)>& write) const {
  if (index_ && !index_->Save(write)) return false;
  const std::uint64_t entries = tree_.Size();
  bool written = write(std::as_bytes(std::span(&entries, 1)));
  tree_.ForEach(0, ~std::uint64_t{0}, Order::kForward, [&](const CountedTree::Entry& entry) {
    written = written && write(std::as_bytes(std::span(&entry, 1)));
    return written;
  });
  return written;
}

bool Large::Load(const std::function<bool(std::span<std::byte>)>& read, std::uint64_t limit) {
  if (index_ && !index_->Load(read, limit)) return false;
  std::uint64_t entries = 0;
  if (!read(std::as_writable_bytes(std::span(&entries, 1)))) return false;
  if (entries > limit / sizeof(CountedTree::Entry)) return false;
  if (index_ && entries != (ordered() ? index_->Size() : 0)) return false;
  std::uint64_t last = 0;
  for (std::uint64_t i = 0; i < entries; ++i) {
    CountedTree::Entry entry;
    if (!read(std::as_writable_bytes(std::span(&entry, 1))) || entry.order < last) return false;
    last = entry.order;
    tree_.Insert(i, entry);
  }
  totals_->elements += Size();
  return true;
}

void Large::CheckInvariants() const {
  tree_.CheckInvariants();
  if (index_) index_->CheckInvariants();
  if (!ordered()) return;
  FAHA_CHECK(tree_.Size() == Size(), "the tree and the index have the same elements");
  std::optional<Record> last;
  tree_.ForEach(0, ~std::uint64_t{0}, Order::kForward, [&](const CountedTree::Entry& entry) {
    const auto record = source_.ElementAt(entry.at, RecordPart::kAll);
    FAHA_CHECK(record && OrderOf(*record) == entry.order, "the tree has the order of each element");
    const bool sorted = !last || OrderOf(*last) < entry.order || SubkeyOf(*last) < SubkeyOf(*record);
    FAHA_CHECK(sorted, "elements of one order are in the order of their bytes");
    last = record;
    return true;
  });
}

}  // namespace faha
