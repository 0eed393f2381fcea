#include "module/views.h"

#include <string>

namespace faha::module {
namespace {

template <typename Kind>
constexpr ValueType kTypeOf = ValueType::kString;
template <>
constexpr ValueType kTypeOf<Hash> = ValueType::kHash;
template <>
constexpr ValueType kTypeOf<Set> = ValueType::kSet;
template <>
constexpr ValueType kTypeOf<SortedSet> = ValueType::kSortedSet;
template <>
constexpr ValueType kTypeOf<List> = ValueType::kList;

template <typename Kind>
Opened<Kind> OpenEntry(Call& call, const std::optional<Entry>& entry) {
  if (entry) {
    if (auto collection = OpenPacked<Kind>(entry->value)) return {std::move(collection), true, entry->expire_at};
    call.Refuse({Code::kCorrupt,
                 "the value of the key is no collection: delete the key, or take this node's data from "
                 "its peers"});
  }
  return {OpenPacked<Kind>({}), false, kNoExpiry};
}

Status Write(Call& call, int key, const Collection& collection, TimeMs expire_at) {
  if (!call.refused().ok()) return call.refused();
  if (Status status = CheckElements(collection.Size()); !status.ok()) return status;
  if (collection.Size() != 0) {
    if (Status status = call.MayWrite(key, collection.Bytes().size()); !status.ok()) return status;
    return call.store().Put(call.db(), call.arg(key), {collection.Bytes(), expire_at, collection.type()});
  }
  if (Status status = call.store().CheckErase(call.arg(key).size(), 1); !status.ok()) return status;
  return call.store().Delete(call.db(), call.arg(key));
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

Status MayStore(Call& call, int key, const Collection& collection, std::uint64_t bytes, std::uint64_t elements) {
  return call.MayWrite(key, collection.BytesAfter(bytes, elements));
}

Status CheckElements(std::uint64_t elements) {
  if (elements <= kMaxPackedElements) return Status::Ok();
  return {Code::kTooLarge, "the collection may have " + std::to_string(elements) +
                               " elements then, and this release stores " + std::to_string(kMaxPackedElements) +
                               ": split it over several keys"};
}

template <typename Kind>
Status StoreKey(Call& call, int key, const Opened<Kind>& opened, int event_class, const char* event) {
  if (Status status = Write(call, key, *opened, opened.expire_at()); !status.ok()) return status;
  if (!opened.existed()) call.New(key);
  call.Changed(key, event_class, event);
  if (opened->Size() == 0) call.Notify(key, REDISMODULE_NOTIFY_GENERIC, "del");
  return Status::Ok();
}

Status ReplaceKey(Call& call, int key, const Collection& collection, int event_class, const char* event) {
  const bool existed = call.FindAny(key).has_value();
  if (!existed && collection.Size() == 0) return call.refused();
  if (Status status = Write(call, key, collection, kNoExpiry); !status.ok()) return status;
  if (collection.Size() == 0) {
    call.Changed(key, REDISMODULE_NOTIFY_GENERIC, "del");
  } else {
    if (!existed) call.New(key);
    call.Changed(key, event_class, event);
  }
  return Status::Ok();
}

template Opened<Hash> OpenKey<Hash>(Call&, int);
template Opened<Set> OpenKey<Set>(Call&, int);
template Opened<SortedSet> OpenKey<SortedSet>(Call&, int);
template Opened<List> OpenKey<List>(Call&, int);
template Opened<Hash> ReadKey<Hash>(Call&, int);
template Opened<Set> ReadKey<Set>(Call&, int);
template Opened<SortedSet> ReadKey<SortedSet>(Call&, int);
template Opened<List> ReadKey<List>(Call&, int);
template Status StoreKey(Call&, int, const Opened<Hash>&, int, const char*);
template Status StoreKey(Call&, int, const Opened<Set>&, int, const char*);
template Status StoreKey(Call&, int, const Opened<SortedSet>&, int, const char*);
template Status StoreKey(Call&, int, const Opened<List>&, int, const char*);

}  // namespace faha::module
