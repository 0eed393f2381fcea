#include "module/views.h"

#include <array>
#include <string>
#include <unordered_set>
#include <vector>

namespace faha::module {
namespace {

// What an element's record has, at most, besides what the command names: the collection's name, a label or a score.
constexpr std::uint64_t kElementOwnBytes = 32;

std::uint64_t SizeOf(std::string_view member) { return member.size(); }
std::uint64_t SizeOf(std::string_view field, std::string_view value) { return field.size() + value.size(); }
std::uint64_t SizeOf(std::string_view member, double) { return member.size(); }
std::uint64_t SizeOf(std::uint64_t, std::string_view element) { return element.size(); }

Status Damaged() {
  return {Code::kCorrupt,
          "the value of the key is no collection: delete the key, or take this node's data from its peers"};
}

template <typename Kind>
Opened<Kind> OpenEntry(Call& call, const std::optional<Entry>& entry) {
  if (entry) {
    auto collection = OpenCollection<Kind>(call.store(), *entry);
    if (collection != nullptr) return {std::move(collection), true, entry->expire_at};
    call.Refuse(Damaged());
  }
  return {OpenPacked<Kind>({}), false, kNoExpiry};
}

bool IsTooLargeToPack(const Call& call, std::uint64_t bytes, std::uint64_t elements) {
  const Options& options = call.store().options();
  return bytes > options.packed_bytes || elements > options.packed_elements;
}
bool MustGrow(const Call& call, const Collection& collection) {
  return !collection.large() && IsTooLargeToPack(call, collection.Bytes().size(), collection.Size()) &&
         call.store().HasLarge();
}

Status CheckElementSize(const Call& call, std::uint64_t bytes) {
  const std::uint64_t most = call.store().MaxRecordBytes() - kElementOwnBytes;
  if (bytes <= most) return Status::Ok();
  return {Code::kTooLarge, "an element has " + std::to_string(bytes) + " bytes, the limit is " + std::to_string(most) +
                               ": faha.segment-bytes of the pool sets it"};
}

// What a collection with so many elements costs as a large one that is new.
Cost CostOfNew(const Call& call, int key, std::uint64_t bytes, std::uint64_t elements) {
  return {call.arg(key).size() + bytes + (elements + 1) * kElementOwnBytes, elements + 1};
}

// What it costs to put those elements and to store the collection.
Cost CostOfStore(const Call& call, int key, const Collection& collection, const Added& added) {
  Cost cost = collection.CostOfPut(added.bytes, added.elements);
  cost.bytes += call.arg(key).size();
  const std::uint64_t elements = collection.Size() + added.elements;
  if (collection.large() || !IsTooLargeToPack(call, cost.bytes, elements) || !call.store().HasLarge()) return cost;
  return CostOfNew(call, key, collection.ElementBytes() + added.bytes, elements);
}

// What it costs to erase them and to store the collection, or to delete its key.
Cost CostOfLess(const Call& call, int key, const Collection& collection, std::uint64_t bytes, std::uint64_t elements) {
  Cost cost = collection.CostOfErase(bytes, elements);
  cost += {call.arg(key).size(), 1};
  return cost;
}

Status CheckWrite(const Call& call, const Cost& cost) { return call.store().CheckWrite(cost.bytes, cost.records); }

// A large collection with the same elements.  There must be room.  Null: see `status`.
template <typename Kind>
std::unique_ptr<Kind> Grown(const Call& call, const Kind& collection, Status& status) {
  auto grown = NewCollection<Kind>(call.store());
  CopyElements(collection, *grown);
  status = grown->status();
  return status.ok() ? std::move(grown) : nullptr;
}

// As Grown(), but asks whether there is room.
template <typename Kind>
std::unique_ptr<Kind> GrownIfRoom(const Call& call, int key, const Kind& collection, Status& status) {
  Added all;
  ForEachElement(collection, [&](auto... element) { all.Add(SizeOf(element...)); });
  status = CheckElementSize(call, all.largest);
  if (status.ok()) status = CheckWrite(call, CostOfNew(call, key, all.bytes, all.elements));
  return status.ok() ? Grown(call, collection, status) : nullptr;
}

Status DeleteKey(Call& call, int key) {
  if (Status status = call.store().CheckErase(call.arg(key).size(), 1); !status.ok()) return status;
  return call.store().Delete(call.db(), call.arg(key));
}

Status PutKey(Call& call, int key, const Collection& collection, TimeMs expire_at) {
  return call.store().Put(call.db(), call.arg(key),
                          {collection.Bytes(), expire_at, collection.type(), collection.large()});
}

// There is room in a full pool as well if the record gets smaller.
Status PutPacked(Call& call, int key, const Collection& collection, TimeMs expire_at, bool smaller) {
  if (!call.store().HasLarge()) {
    if (Status status = CheckElements(collection.Size()); !status.ok()) return status;
  }
  const std::uint64_t bytes = collection.Bytes().size();
  Status status = smaller ? call.store().CheckErase(call.arg(key).size() + bytes, 1) : call.MayWrite(key, bytes);
  return status.ok() ? PutKey(call, key, collection, expire_at) : status;
}

template <typename Kind>
Status Write(Call& call, int key, Opened<Kind>& opened) {
  if (!call.refused().ok()) return call.refused();
  if (Status status = opened->status(); !status.ok()) return status;
  const bool empty = opened->Size() == 0;
  // There was room for this when the elements were put or erased.
  if (opened->large() && empty) return call.store().Delete(call.db(), call.arg(key));
  if (opened->large()) return opened.IsStored() ? Status::Ok() : PutKey(call, key, *opened, opened.expire_at());
  if (empty) return DeleteKey(call, key);
  const bool smaller = opened.Shrinks();
  if (MustGrow(call, *opened)) {
    Status status;
    auto grown = GrownIfRoom(call, key, *opened, status);
    if (grown != nullptr) {
      opened.Replace(std::move(grown));
      return PutKey(call, key, *opened, opened.expire_at());
    }
    // It was stored by an earlier release, and can become smaller as it is.
    if (!smaller || status.code() != Code::kNoSpace) return status;
  }
  return PutPacked(call, key, *opened, opened.expire_at(), smaller);
}

// Elements by rank: none, one or two ranges, in their order.
struct Range {
  std::uint64_t first = 0, count = 0;
};
using Ranges = std::array<Range, 2>;
std::uint64_t CountOf(const Ranges& ranges) { return ranges[0].count + ranges[1].count; }
// All elements of a collection of that size that are not in `range`.
Ranges Others(const Range& range, std::uint64_t size) {
  const std::uint64_t end = range.first + range.count;
  return {Range{0, range.first}, Range{end, size - end}};
}

// Calls visit(...) as a Kind::Visitor.
template <typename Kind, typename Visit>
void ForEachIn(const Kind& collection, const Ranges& ranges, Visit visit) {
  for (const Range& range : ranges) {
    if (range.count == 0) continue;
    collection.ForEach(range.first, range.first + range.count - 1, Order::kForward, [&visit](auto... element) {
      visit(element...);
      return true;
    });
  }
}

// What is left, which for_each(visit) visits, becomes another collection.  In a full pool there is as much room for it
// as for deletes, for it is less than what goes.  Errors: NoSpace - the others are to be erased instead.
template <typename Kind, typename ForEach>
Status MoveOut(Call& call, int key, Opened<Kind>& opened, ForEach for_each) {
  Added left;
  for_each([&](auto... element) { left.Add(SizeOf(element...)); });
  const bool large = IsTooLargeToPack(call, left.bytes + left.elements, left.elements);
  const Cost cost = CostOfNew(call, key, left.bytes, left.elements);
  if (Status status = call.store().CheckErase(cost.bytes, cost.records); !status.ok()) return status;
  auto kept = large ? NewCollection<Kind>(call.store()) : OpenPacked<Kind>({});
  for_each([&](auto... element) { PutLast(*kept, element...); });
  if (Status status = kept->status(); !status.ok()) return status;
  opened.ShrinkTo(std::move(kept));
  return Status::Ok();
}

Status EraseRanges(Call& call, int key, List& list, const Ranges& ranges) {
  if (Status status = MayErase(call, key, list, 0, CountOf(ranges)); !status.ok()) return status;
  // From the end on, so that the ranks of the others remain.
  list.Erase(ranges[1].first, ranges[1].count);
  list.Erase(ranges[0].first, ranges[0].count);
  return Status::Ok();
}

Status EraseRanges(Call& call, int key, SortedSet& set, const Ranges& ranges) {
  std::vector<std::string> members;
  std::uint64_t bytes = 0;
  members.reserve(CountOf(ranges));
  ForEachIn(set, ranges, [&](std::string_view member, double) {
    members.emplace_back(member);
    bytes += member.size();
  });
  if (Status status = MayErase(call, key, set, bytes, members.size()); !status.ok()) return status;
  for (const std::string& member : members) set.Erase(member);
  return Status::Ok();
}

template <typename Kind>
Status Remove(Call& call, int key, Opened<Kind>& opened, const Ranges& removed, const Ranges& left) {
  if (!call.refused().ok()) return call.refused();
  if (CountOf(left) == 0) {
    // The key is deleted, and no element is touched.
    opened.Replace(OpenPacked<Kind>({}));
    return Status::Ok();
  }
  if (opened->large() && CountOf(left) < CountOf(removed)) {
    Status status = MoveOut(call, key, opened, [&](auto visit) { ForEachIn(*opened, left, visit); });
    if (status.code() != Code::kNoSpace) return status;
  }
  return EraseRanges(call, key, *opened, removed);
}

bool Has(const Hash& hash, std::string_view field) { return hash.Find(field).has_value(); }
bool Has(const Set& set, std::string_view member) { return set.Contains(member); }
bool Has(const SortedSet& set, std::string_view member) { return set.ScoreOf(member).has_value(); }

std::string_view NameOf(std::string_view name) { return name; }
std::string_view NameOf(std::string_view name, std::string_view) { return name; }
std::string_view NameOf(std::string_view name, double) { return name; }

// For names of more than half of the elements.  False: it is better to erase one by one.
template <typename Kind>
bool RemovedMost(Call& call, int key, Opened<Kind>& opened, std::span<const std::string_view> names,
                 Result<std::int64_t>& removed) {
  std::unordered_set<std::string_view> found;
  for (const std::string_view name : names) {
    if (Has(*opened, name)) found.insert(name);
  }
  const std::uint64_t left = opened->Size() - found.size();
  if (left >= found.size()) return false;
  removed = static_cast<std::int64_t>(found.size());
  if (left == 0) {
    opened.Replace(OpenPacked<Kind>({}));
    return true;
  }
  const Status status = MoveOut(call, key, opened, [&](auto visit) {
    ForEachElement(*opened, [&](auto... element) {
      if (!found.contains(NameOf(element...))) visit(element...);
    });
  });
  if (!status.ok()) removed = status;
  return status.code() != Code::kNoSpace;
}

// The new name of a collection whose elements have been written as those of a large one, in `name`.
template <typename Kind>
Result<Entry> SettledAs(Call& call, int key, const Entry& value, std::string& name) {
  const auto collection = OpenCollection<Kind>(call.store(), value);
  if (collection == nullptr) return Damaged();
  Status status;
  const auto grown = GrownIfRoom(call, key, *collection, status);
  if (grown == nullptr) return status;
  name = grown->Bytes();
  return Entry{name, value.expire_at, value.type, true};
}

}  // namespace

template <typename Kind>
Opened<Kind> OpenKey(Call& call, int key) {
  auto opened = OpenEntry<Kind>(call, call.Find(key, kTypeOf<Kind>));
  opened->Own();
  return opened;
}

template <typename Kind>
Opened<Kind> ReadKey(Call& call, int key) {
  return OpenEntry<Kind>(call, call.Read(key, kTypeOf<Kind>));
}

template <typename Kind>
Status MayStore(Call& call, int key, Opened<Kind>& opened, const Added& added) {
  if (!call.refused().ok()) return call.refused();
  const Cost cost = CostOfStore(call, key, *opened, added);
  if (!call.store().HasLarge()) return call.MayWrite(key, cost.bytes - call.arg(key).size());
  if (Status status = CheckElementSize(call, added.largest); !status.ok()) return status;
  if (Status status = CheckWrite(call, cost); !status.ok()) return status;
  // Many elements would be put one by one into a packed collection, each of which moves those behind it.
  if (opened->large() || !IsTooLargeToPack(call, added.bytes, added.elements)) return Status::Ok();
  Status status;
  if (auto grown = Grown(call, *opened, status)) opened.Replace(std::move(grown));
  return status;
}

Status MayInsert(Call& call, int key, Opened<List>& list, std::uint64_t index, std::uint64_t bytes) {
  if (!list->large() || !call.refused().ok()) return MayStore(call, key, list, Added::One(bytes));
  if (Status status = CheckElementSize(call, bytes); !status.ok()) return status;
  return CheckWrite(call, list->CostOfInsert(index, bytes));
}

Status MayErase(Call& call, int key, const Collection& collection, std::uint64_t bytes, std::uint64_t elements) {
  if (!call.refused().ok() || !collection.large()) return call.refused();
  const Cost cost = CostOfLess(call, key, collection, bytes, elements);
  return call.store().CheckErase(cost.bytes, cost.records);
}

Status MayMoveElement(Call& call, int from_key, const Collection& from, int to_key, const Collection& to,
                      std::uint64_t bytes) {
  if (!call.refused().ok()) return call.refused();
  if (!call.store().HasLarge()) {
    if (Status status = CheckElements(to.Size() + (&from == &to ? 0 : 1)); !status.ok()) return status;
    if (Status status = call.MayWrite(to_key, to.CostOfPut(bytes, 1).bytes); !status.ok()) return status;
  } else if (Status status = CheckElementSize(call, bytes); !status.ok()) {
    return status;
  }
  Cost cost = CostOfStore(call, to_key, to, Added::One(bytes));
  cost += CostOfLess(call, from_key, from, bytes, 1);
  return CheckWrite(call, cost);
}

template <typename Kind>
Status RemoveRange(Call& call, int key, Opened<Kind>& opened, std::uint64_t first, std::uint64_t count) {
  const Range range{first, count};
  return Remove(call, key, opened, {range, {}}, Others(range, opened->Size()));
}

template <typename Kind>
Result<std::int64_t> RemoveNamed(Call& call, int key, Opened<Kind>& opened, std::span<const std::string_view> names) {
  if (!call.refused().ok()) return call.refused();
  Result<std::int64_t> removed = 0;
  if (opened->large() && 2 * names.size() > opened->Size() && RemovedMost(call, key, opened, names, removed))
    return removed;
  std::uint64_t bytes = 0;
  for (const std::string_view name : names) bytes += name.size();
  if (Status status = MayErase(call, key, *opened, bytes, names.size()); !status.ok()) return status;
  std::int64_t count = 0;
  for (const std::string_view name : names) count += opened->Erase(name) ? 1 : 0;
  return count;
}

template <typename Kind>
Result<std::int64_t> RemoveArguments(Call& call, Opened<Kind>& opened) {
  std::vector<std::string_view> names;
  names.reserve(static_cast<std::size_t>(call.size() - 2));
  for (int i = 2; i < call.size(); ++i) names.push_back(call.arg(i));
  return RemoveNamed(call, 1, opened, names);
}

Status KeepRange(Call& call, int key, Opened<List>& list, std::uint64_t first, std::uint64_t count) {
  const Range range{first, count};
  return Remove(call, key, list, Others(range, list->Size()), {range, {}});
}

Status CheckElements(std::uint64_t elements) {
  if (elements <= kMaxPackedElements) return Status::Ok();
  return {Code::kTooLarge, "the collection may have " + std::to_string(elements) +
                               " elements then, and until all members run this release it stores " +
                               std::to_string(kMaxPackedElements) + ": split it over several keys"};
}

template <typename Kind>
Status StoreKey(Call& call, int key, Opened<Kind>& opened, int event_class, std::span<const char* const> events) {
  if (Status status = Write(call, key, opened); !status.ok()) return status;
  if (!opened.existed()) call.New(key);
  for (const char* event : events.first(events.size() - 1)) call.Notify(key, event_class, event);
  call.Changed(key, event_class, events.back());
  if (opened->Size() == 0) call.Notify(key, REDISMODULE_NOTIFY_GENERIC, "del");
  return Status::Ok();
}

template <typename Kind>
Status ReplaceKey(Call& call, int key, std::unique_ptr<Kind> collection, int event_class, const char* event) {
  const bool existed = call.FindAny(key).has_value();
  const bool empty = collection->Size() == 0;
  if (!existed && empty) return call.refused();
  Opened<Kind> opened(std::move(collection), false, kNoExpiry);
  if (Status status = Write(call, key, opened); !status.ok()) return status;
  if (empty) {
    call.Changed(key, REDISMODULE_NOTIFY_GENERIC, "del");
  } else {
    if (!existed) call.New(key);
    call.Changed(key, event_class, event);
  }
  return Status::Ok();
}

Result<Entry> Settled(Call& call, int key, const Entry& value, bool copies, std::string& name) {
  if (value.type == ValueType::kString || (value.large && !copies) || !call.store().HasLarge()) return value;
  const auto settle = [&]<typename Kind>() -> Result<Entry> {
    if (!value.large) {
      const auto packed = OpenPacked<Kind>(value.value);
      if (packed == nullptr) return Damaged();
      if (!MustGrow(call, *packed)) return value;
    }
    return SettledAs<Kind>(call, key, value, name);
  };
  return VisitKind(value.type, settle, Result<Entry>(value));
}

template Opened<Hash> OpenKey<Hash>(Call&, int);
template Opened<Set> OpenKey<Set>(Call&, int);
template Opened<SortedSet> OpenKey<SortedSet>(Call&, int);
template Opened<List> OpenKey<List>(Call&, int);
template Opened<Hash> ReadKey<Hash>(Call&, int);
template Opened<Set> ReadKey<Set>(Call&, int);
template Opened<SortedSet> ReadKey<SortedSet>(Call&, int);
template Opened<List> ReadKey<List>(Call&, int);
template Status MayStore(Call&, int, Opened<Hash>&, const Added&);
template Status MayStore(Call&, int, Opened<Set>&, const Added&);
template Status MayStore(Call&, int, Opened<SortedSet>&, const Added&);
template Status MayStore(Call&, int, Opened<List>&, const Added&);
template Result<std::int64_t> RemoveNamed(Call&, int, Opened<Set>&, std::span<const std::string_view>);
template Result<std::int64_t> RemoveArguments(Call&, Opened<Hash>&);
template Result<std::int64_t> RemoveArguments(Call&, Opened<Set>&);
template Result<std::int64_t> RemoveArguments(Call&, Opened<SortedSet>&);
template Status RemoveRange(Call&, int, Opened<SortedSet>&, std::uint64_t, std::uint64_t);
template Status RemoveRange(Call&, int, Opened<List>&, std::uint64_t, std::uint64_t);
template Status StoreKey(Call&, int, Opened<Hash>&, int, std::span<const char* const>);
template Status StoreKey(Call&, int, Opened<Set>&, int, std::span<const char* const>);
template Status StoreKey(Call&, int, Opened<SortedSet>&, int, std::span<const char* const>);
template Status StoreKey(Call&, int, Opened<List>&, int, std::span<const char* const>);
template Status ReplaceKey(Call&, int, std::unique_ptr<Set>, int, const char*);
template Status ReplaceKey(Call&, int, std::unique_ptr<SortedSet>, int, const char*);
template Status ReplaceKey(Call&, int, std::unique_ptr<List>, int, const char*);

}  // namespace faha::module
