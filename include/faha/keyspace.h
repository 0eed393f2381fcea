// The keyspace: what commands read and write.  Every change is persistent on a majority before Commit() returns.
// Thread: main loop only; no call blocks except CheckRead(), CheckWrite(), CheckErase() and Swap(), which may commit or
// renew the lease: they wait for at most persist-timeout plus the time that a large write takes.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "faha/collections.h"
#include "faha/status.h"
#include "faha/types.h"

namespace faha {

struct Entry {
  std::string_view value;  // valid until the next call that changes the store or ends a unit
  TimeMs expire_at = kNoExpiry;
  ValueType type = ValueType::kString;  // of any other type, `value` is a packed collection: see collections.h
  bool large = false;                   // `value` is the name of a large collection
};

class Keyspace {
 public:
  virtual ~Keyspace() = default;

  // May this node answer reads now?  Errors: NotPrimary, NoQuorum, Fenced; BadConfig - it holds keys in databases that
  // clients cannot name; Corrupt - its log is damaged.
  virtual Status CheckRead() = 0;
  // May this node put `records` records of `bytes` (keys and values together) now?  With `records` 0: may it write at
  // all?  The call may clean the log and commit to make room.  Errors: ReadOnly, NoQuorum, Fenced, NoSpace; BadConfig,
  // Corrupt - as CheckRead's.
  virtual Status CheckWrite(std::uint64_t bytes, std::uint64_t records) = 0;
  // The same for deletes, for which a full pool keeps a reserve.  `bytes` is the size of the keys.
  virtual Status CheckErase(std::uint64_t bytes, std::uint64_t records) = 0;

  // Would CheckWrite(0, 0) allow a write at once, without waiting for peers?
  [[nodiscard]] virtual bool Serving() const = 0;

  // The entry of `key`, expired or not: the caller decides about expiry.
  virtual std::optional<Entry> Get(DbId db, std::string_view key) = 0;
  // The keys in `keys` are about to be read or written.  Prefetches, for all of them at once, the memory that each
  // would have to wait for.  It is enough to pass kPrefetchKeys keys at a time.
  virtual void Prefetch(DbId db, std::span<const std::string_view> keys) const = 0;
  // Prefetches the memory that the first step of a later Prefetch() of that key will need, without waiting itself.
  virtual void PrefetchFirst(DbId db, std::string_view key) const = 0;
  static constexpr std::size_t kPrefetchKeys = 16;
  // Errors: as CheckWrite; PeerVersion - the cluster's feature level does not have this.  Then nothing has changed.
  virtual Status Put(DbId db, std::string_view key, const Entry& entry) = 0;
  // Absent keys are no error and write nothing.
  virtual Status Delete(DbId db, std::string_view key) = 0;
  // --- Large collections: see OpenCollection() and NewCollection().
  // Does the cluster's feature level have them?
  [[nodiscard]] virtual bool HasLarge() const = 0;
  // The collection that the value of `entry`, which is large, names; null: it is no name.
  virtual std::unique_ptr<Collection> OpenLarge(const Entry& entry) = 0;
  // A new collection without elements.  It must become the value of a key in the unit in which it is begun.
  virtual std::unique_ptr<Collection> NewLarge(ValueType type) = 0;

  // Deletes every key of `db`, or of all databases.
  virtual Status Flush(std::optional<DbId> db) = 0;
  // From now on all keys of `a` belong to `b`, and those of `b` to `a`.  The cost does not depend on how many keys
  // there are.
  // Errors: as CheckWrite; then nothing has changed.
  virtual Status Swap(DbId a, DbId b) = 0;
  // Calls visit(key) for every key in `db`, in no particular order.  `visit` must not change the store.  Reads every
  // key.
  virtual void ForEachKey(DbId db, const std::function<void(std::string_view)>& visit) const = 0;
  // Called with a key, expired or not.  The key is valid until the store changes, and the visitor must not change the
  // store.
  using Visitor = std::function<void(std::string_view key, TimeMs expire_at, ValueType type)>;
  // Visits a part of the keys of `db`, perhaps none, and returns the cursor of the next part.  The first cursor is 0,
  // and 0 is also returned after the last part.  A key that exists from the first part to the last is visited, whatever
  // is written and deleted meanwhile, and perhaps twice.  Any number is a valid cursor.
  virtual std::uint64_t Scan(DbId db, std::uint64_t cursor, const Visitor& visit) const = 0;
  // Visits one key of `db`, each with nearly the same probability; false if there is none.
  virtual bool RandomKey(DbId db, std::uint64_t random, const Visitor& visit) const = 0;
  // As Scan, but for all databases, and visits only keys that have an expiry.
  using ExpiryVisitor = std::function<void(DbId db, std::string_view key, TimeMs expire_at)>;
  virtual std::uint64_t ScanExpiring(std::uint64_t cursor, const ExpiryVisitor& visit) const = 0;
  // How many keys have an expiry, in `db` or in all databases.
  [[nodiscard]] virtual std::uint64_t Expiring(DbId db) const = 0;
  [[nodiscard]] virtual std::uint64_t Expiring() const = 0;
  // How many keys `db` has, including expired ones that nobody has touched since they expired.
  [[nodiscard]] virtual std::uint64_t Size(DbId db) const = 0;
  // DRAM that the hot tier uses.
  [[nodiscard]] virtual std::uint64_t HotUsedBytes() const = 0;
  // The largest key plus value, in bytes.
  [[nodiscard]] virtual std::uint64_t MaxRecordBytes() const = 0;
};

// The collection that is the value of a key; `entry` must be of that type.  Null: it is damaged.
template <typename Kind>
std::unique_ptr<Kind> OpenCollection(Keyspace& keyspace, const Entry& entry) {
  if (!entry.large) return OpenPacked<Kind>(entry.value);
  return std::unique_ptr<Kind>(static_cast<Kind*>(keyspace.OpenLarge(entry).release()));
}
// The same of any type; null also for a string.
inline std::unique_ptr<Collection> OpenAny(Keyspace& keyspace, const Entry& entry) {
  const auto open = [&]<typename Kind>() -> std::unique_ptr<Collection> {
    return OpenCollection<Kind>(keyspace, entry);
  };
  return VisitKind(entry.type, open, std::unique_ptr<Collection>());
}
// See Keyspace::NewLarge.
template <typename Kind>
std::unique_ptr<Kind> NewCollection(Keyspace& keyspace) {
  return std::unique_ptr<Kind>(static_cast<Kind*>(keyspace.NewLarge(kTypeOf<Kind>).release()));
}

}  // namespace faha
