// The store: a keyspace whose every change is persistent on a majority before Commit() returns.
// Thread: main loop only; no call blocks but Commit(), and CheckRead(), CheckWrite() and HandOver(), which may commit
// or renew the lease: these wait for persist-timeout at most, and for what a large write takes.
// Invariants: (1) a change is acknowledged only after Commit() returned Ok following it.
//             (2) what Get() returned must not leave before Commit() returned Ok: it may be pending.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <memory_resource>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "faha/clock.h"
#include "faha/fabric.h"
#include "faha/media.h"
#include "faha/options.h"
#include "faha/status.h"
#include "faha/types.h"

namespace faha {

enum class Role { kBackup, kCandidate, kPrimary };
std::string_view RoleName(Role role);

struct Entry {
  std::string_view value;  // valid until the next call that changes the store, or that ends a unit
  TimeMs expire_at = kNoExpiry;
};

// What a node tells of one peer that ships or receives its log.
struct PeerInfo {
  Member member;
  bool voting = false;   // a member, not still joining
  bool in_sync = false;  // every commit waits for it
  bool reached = true;   // where it says that it is, as far as is known
  PersistenceDomain domain = PersistenceDomain::kVolatile;
  Transport transport = Transport::kTcp;  // of the batches
  bool flushed = false;                   // natively: the devices alone make them persistent
  Lsn durable;
  std::string address;                  // the host that its connection comes from
  std::chrono::milliseconds silent{0};  // since it answered last
};

// A snapshot for FAHA.STATUS and INFO faha.
struct StoreInfo {
  Role role = Role::kBackup;
  std::string state;       // one word on what the node waits for: "serving", "no-quorum", "syncing", ...
  std::string last_error;  // the newest refusal or fault, one line; empty when healthy
  std::chrono::milliseconds last_error_age{0};  // 0: it goes on
  Epoch epoch;
  NodeId node;
  ClusterId cluster;
  std::optional<Member> primary;        // whom this node believes to be the primary
  bool streaming = false;               // a backup that receives the log of `primary`
  bool blank = false;                   // it holds nothing of its own, nor has ever: it may join another cluster
  std::chrono::milliseconds silent{0};  // a backup's: since it heard a primary last, or since its start
  Members members;
  FeatureLevel feature_level = kLowestLevel, offered_level = kHighestLevel;  // the cluster's, and this node's
  std::vector<PeerInfo> peers;
  Lsn last, durable, committed, applied;
  PersistenceDomain domain = PersistenceDomain::kVolatile;
  bool domain_configured = false;             // not detected: the administrator's word
  Transport transport = Transport::kTcp;      // what this node can ship and receive over
  std::string transport_remark;               // why that is not RDMA although it was wanted; empty if it is, or was not
  std::optional<Transport> source_transport;  // what this backup receives over
  std::string pool_path;
  std::uint64_t pool_bytes = 0, pool_used_bytes = 0, segment_bytes = 0;
  // Keys and values of about so many bytes can be added before NOSPACE; 0 where it was the last answer.
  std::uint64_t pool_writable_bytes = 0;
  // A backup that serves reads: how long ago all that was committed then was here.  Nothing: it serves none.
  std::optional<std::chrono::milliseconds> staleness;
  std::uint64_t pool_usable_bytes = 0;  // that the log may use: the segments that every member's pool has
  std::uint32_t granule = 0;
  std::uint32_t segments = 0, free_segments = 0;
  std::uint64_t live_bytes = 0, tombstone_bytes = 0;    // of records: puts that count, and deletes
  std::uint64_t cleaned_segments = 0, moved_bytes = 0;  // since the start, as a primary
  bool whole = true;                     // false: damaged or not yet received; it is no copy and does not vote
  std::uint64_t keys = 0, expiring = 0;  // in all databases; those that have an expiry
  std::uint64_t index_bytes = 0;         // DRAM
  std::uint64_t hot_bytes = 0, hot_used_bytes = 0, hot_keys = 0;  // DRAM, the limit and what is used
  std::uint64_t hot_hits = 0, hot_misses = 0, hot_admissions = 0, hot_evictions = 0;  // since the start
  std::uint64_t hot_ghost_hits = 0, hot_refreshes = 0;
  std::uint64_t commits = 0, batches = 0, records = 0, record_bytes = 0, batch_bytes = 0;
  std::uint64_t commit_failures = 0;
  std::uint64_t damages = 0;  // of the pool's medium, that were found since the start, whether they were mended or not
};

// Called from Poll(), Tick() and Commit().
class StoreObserver {
 public:
  virtual ~StoreObserver() = default;
  // This node has become the primary: a majority promised its epoch and holds its log.
  virtual void OnPrimary() = 0;
  // This node follows `primary` from now on.
  virtual void OnFollowing(const Member& primary) = 0;
  // A FaHA node, which listens for peers at `node`, would not be followed by this one.
  virtual void OnRefused(const Endpoint& node) { (void)node; }
  // The backup whose Redis listens at `heir` is in sync and asks for the primary's role: HandOver(heir), between turns.
  virtual void OnHandOverAsked(const Endpoint& heir) { (void)heir; }
  // This node served a cluster, and does not any more: it was deposed or has failed, or no majority has answered for
  // persist-timeout.  Clients should ask elsewhere.
  virtual void OnServiceLost() {}
};

// The seams; what is null is the real thing.  They must outlive the store.
struct Env {
  std::unique_ptr<Media> media;
  Fabric* fabric = nullptr;
  Clock* clock = nullptr;
  std::pmr::memory_resource* memory = nullptr;  // of the index and the hot tier
};

class Store {
 public:
  // Opens or creates the pool and recovers.  A cluster of one serves at once; a node of a larger one
  // waits for its peers.
  // Errors: BadConfig, BadPool, Corrupt, IoError, NoSpace, PoolInUse, PoolVersion, Unavailable.
  static Result<std::unique_ptr<Store>> Open(const Options& options, StoreObserver* observer, Env env = {});
  virtual ~Store() = default;

  // --- The keyspace.
  // May this node answer reads now?  Errors: NotPrimary, NoQuorum, Fenced.
  virtual Status CheckRead() = 0;
  // May this node put `records` records of `bytes` (keys and values together) now?  Without records: may it write at
  // all? May clean the log and commit to make room.  Errors: ReadOnly, NoQuorum, Fenced, NoSpace.
  virtual Status CheckWrite(std::uint64_t bytes, std::uint64_t records) = 0;
  // The same for deletes, for which a full pool keeps a reserve; `bytes`: of the keys.
  virtual Status CheckErase(std::uint64_t bytes, std::uint64_t records) = 0;

  // Would CheckWrite(0, 0) allow a write at once, without waiting for peers?
  [[nodiscard]] virtual bool Serving() const = 0;

  // The entry of `key`, expired or not: expiry is the caller's to judge.
  virtual std::optional<Entry> Get(DbId db, std::string_view key) = 0;
  // `keys` are about to be read or written: fetches ahead, for all at once, what each would wait for.  kPrefetchKeys of
  // them at a time are enough.
  virtual void Prefetch(DbId db, std::span<const std::string_view> keys) const = 0;
  // The same for one key that is needed later: a first part, without waiting for anything.
  virtual void Announce(DbId db, std::string_view key) const = 0;
  static constexpr std::size_t kPrefetchKeys = 16;
  // Errors: as CheckWrite; then nothing has changed.
  virtual Status Put(DbId db, std::string_view key, std::string_view value, TimeMs expire_at) = 0;
  // Absent keys are no error and write nothing.
  virtual Status Delete(DbId db, std::string_view key) = 0;
  // Deletes every key of `db`, or of all databases.
  virtual Status Flush(std::optional<DbId> db) = 0;
  // All keys of `a` are `b`'s from now on, and those of `b` are `a`'s.  Costs the same for however many.
  // Errors: as CheckWrite; then nothing has changed.
  virtual Status Swap(DbId a, DbId b) = 0;
  // Calls visit(key) for every key in `db`, in no order.  `visit` must not change the store.  Reads every key.
  virtual void ForEachKey(DbId db, const std::function<void(std::string_view)>& visit) const = 0;
  // What is visited, expired or not; valid until the store changes, which the visitor must not do.
  using Visitor = std::function<void(std::string_view key, TimeMs expire_at)>;
  // A part of the keys of `db`: visits some, perhaps none, and returns the cursor of the next part.  0 is the first
  // cursor and what comes after the last part.  A key that is there from the first part to the last is visited,
  // whatever is written and deleted meanwhile, and perhaps twice.  Any number is a cursor.
  virtual std::uint64_t Scan(DbId db, std::uint64_t cursor, const Visitor& visit) const = 0;
  // Visits one key of `db`, each with nearly the same probability; false if there is none.
  virtual bool RandomKey(DbId db, std::uint64_t random, const Visitor& visit) const = 0;
  // As Scan, of all databases, but only keys that have an expiry are visited.
  using ExpiryVisitor = std::function<void(DbId db, std::string_view key, TimeMs expire_at)>;
  virtual std::uint64_t ScanExpiring(std::uint64_t cursor, const ExpiryVisitor& visit) const = 0;
  // How many keys have an expiry, in `db` or in all databases.
  [[nodiscard]] virtual std::uint64_t Expiring(DbId db) const = 0;
  [[nodiscard]] virtual std::uint64_t Expiring() const = 0;
  // Keys in `db`, the expired ones that nobody has touched since included.
  [[nodiscard]] virtual std::uint64_t Size(DbId db) const = 0;
  // Could this node take over, as far as it knows?  It is a member with a whole log and does not lag behind a primary.
  [[nodiscard]] virtual bool Promotable() const = 0;
  // DRAM that the hot tier takes.
  [[nodiscard]] virtual std::uint64_t HotUsedBytes() const = 0;
  // The largest key plus value, in bytes.
  [[nodiscard]] virtual std::uint64_t MaxRecordBytes() const = 0;

  // --- Commit.
  // Ends the atomic unit: the writes between two calls recover together or not at all.
  virtual void EndUnit() = 0;
  // Is all that was told since the last Commit() as it was written?  Asked before a reply that somebody may act upon
  // before Commit() fails, as a script does.
  // Errors: Corrupt - a damaged record was met: nothing of this turn will be written or told.
  [[nodiscard]] virtual Status CheckTold() const = 0;
  // Is anything read or written since the last Commit() that must not leave yet?
  [[nodiscard]] virtual bool NeedsCommit() const = 0;
  // Returns Ok once all that was written is persistent here and on the backups, and all that was read
  // was read under a lease.  Waits up to persist-timeout for a backup.
  // Errors: NoQuorum, Fenced, IoError - the outcome is unknown and no reply of this turn may leave.
  virtual Status Commit() = 0;

  // --- The cluster.
  // Follows the node whose Redis listens at `primary` (REPLICAOF).
  virtual void Follow(const Endpoint& primary) = 0;
  // What the server's configuration says at the start, which may be old: `primary` is asked first, but a node that was
  // the primary itself goes on seeking a new epoch.
  virtual void Suggest(const Endpoint& primary) = 0;
  // Seeks a majority's promise for up to `patience`, then calls `done` once.
  // Errors told to `done`: NoPromise, Fenced, IoError.
  virtual void Promote(std::chrono::milliseconds patience, std::function<void(const Status&)> done) = 0;
  // The same where the primary lives, too: then it is asked to hand over, and this node campaigns if it does not.
  // Errors told to `done`: as above.
  virtual void TakeOver(std::chrono::milliseconds patience, std::function<void(const Status&)> done) = 0;
  // Becomes primary of a cluster of this node alone, whatever the members were: for a majority that is lost for good.
  // What this node never received is lost with them, and one that lives on is a second primary until it hears of
  // this one.
  // Errors told to `done`: NoPromise - it has a primary, or its log is not whole; Fenced, IoError.
  virtual void Force(std::function<void(const Status&)> done) = 0;
  // Takes the member whose Redis listens at `member`, which must not be connected, out of the cluster for good.
  // Errors: NotPrimary, NoQuorum, Fenced, NoSpace; Unavailable - there is none, it is connected, or another change is
  // under way.
  virtual Status Forget(const Endpoint& member) = 0;
  // Planned: hands the primary's role to the backup whose Redis listens at `target`, or to the best one.  Commits what
  // the turn has written, offers the role, and waits for persist-timeout at most: an heir in order takes over sooner.
  // If it does not, this node serves on until the heir is promised a later epoch.  Calls `done` once, during this call
  // or later, from Poll(), Tick() or Commit().
  //
  // Errors told to `done`: NotPrimary, NoQuorum, Fenced; Unavailable - there is no such backup in sync, or it did not
  // take over and this node has sought to be the primary again.
  virtual void HandOver(const std::optional<Endpoint>& target, std::function<void(const Status&)> done) = 0;

  // Should somebody be told that this backup's primary is gone?  It hung up and refuses to be dialled, or this backup
  // and a majority of the members have not heard it for a lease, or since they were started.
  [[nodiscard]] virtual bool MissesPrimary() const = 0;

  // Something that the caller wants to find again after the next start, however this process ends: kMaxNote bytes at
  // most; it takes the place of what was remembered before.  A write and a drain of the pool, so not for what changes
  // often.  Errors: TooLarge; Fenced.
  static constexpr std::size_t kMaxNote = 190;
  virtual Status Remember(std::string_view note) = 0;
  [[nodiscard]] virtual std::string_view Remembered() const = 0;

  // --- A copy of all keys, for a process that is forked.
  // What every key is now, as of the batch that is returned, can be read by ReadHeld(), once, in a process that is
  // forked before anything else is called here, or in this one.  It keeps no space from anybody: where the log needs
  // what was not read yet, or what it stands in is given up, `lost` is called instead, at most once, before it is
  // written to. `lost` must not call back. Errors: NoQuorum - what was written last is not known to be committed;
  // Unavailable - the log is not whole, or the turn wrote what is not committed; Fenced.
  virtual Result<Lsn> HoldSegments(std::function<void(const Status& why)> lost) = 0;
  // What became of it; a failure is seen as last_error.
  virtual void ReleaseSegments(const Status& outcome) = 0;
  // Visits every key, expired or not, in no order, until `visit` says no.  Database kHiddenDb is visited as well.
  // Errors: Unavailable - it was lost meanwhile; IoError - a part cannot be read.  Then what was visited is worth
  // nothing.
  using HeldVisitor = std::function<bool(DbId db, std::string_view key, const Entry& entry)>;
  virtual Status ReadHeld(const HeldVisitor& visit) const = 0;

  // Before a planned stop: writes what makes the next start fast, if options.checkpoint_path says where.  Nothing is
  // lost without it.  Errors: IoError, NoSpace.
  virtual Status Checkpoint() = 0;

  [[nodiscard]] virtual int descriptor() const = 0;  // readable when Poll() has work; -1: none
  virtual void Poll() = 0;                           // never blocks
  virtual void Tick() = 0;                           // call every kTickPeriod
  static constexpr std::chrono::milliseconds kTickPeriod{20};

  [[nodiscard]] virtual StoreInfo Info() const = 0;
  [[nodiscard]] virtual Options& options() = 0;  // the tunable ones take effect at once
};

}  // namespace faha
