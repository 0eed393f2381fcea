// The store: a keyspace, its commits, and its place in a cluster.  Thread: main loop only; no call blocks but Commit(),
// and CheckRead(), CheckWrite() and HandOver(), which may commit or renew the lease: these wait for persist-timeout at
// most, and for what a large write takes.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <memory_resource>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "faha/clock.h"
#include "faha/commit.h"
#include "faha/fabric.h"
#include "faha/keyspace.h"
#include "faha/leadership.h"
#include "faha/media.h"
#include "faha/options.h"
#include "faha/status.h"
#include "faha/types.h"

namespace faha {

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

class Store : public Keyspace, public Commits, public Leadership {
 public:
  // Opens or creates the pool and recovers.  A cluster of one serves at once; a node of a larger one
  // waits for its peers.
  // Errors: BadConfig, BadPool, Corrupt, IoError, NoSpace, PoolInUse, PoolVersion, Unavailable.
  static Result<std::unique_ptr<Store>> Open(const Options& options, StoreObserver* observer, Env env = {});

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

  // --- What belongs to the node itself.
  // Something that the caller wants to find again after the next start, however this process ends: kMaxNote bytes at
  // most; it takes the place of what was remembered before.  A write and a drain of the pool, so not for what changes
  // often.  Errors: TooLarge; Fenced.
  static constexpr std::size_t kMaxNote = 190;
  virtual Status Remember(std::string_view note) = 0;
  [[nodiscard]] virtual std::string_view Remembered() const = 0;

  // Before a planned stop: writes what makes the next start fast, if options.checkpoint_path says where.  Nothing is
  // lost without it.  Errors: IoError, NoSpace.
  virtual Status Checkpoint() = 0;

  [[nodiscard]] virtual int descriptor() const = 0;  // readable when Poll() has work; -1: none
  virtual void Poll() = 0;                           // never blocks
  virtual void Tick() = 0;                           // call every kTickPeriod
  static constexpr std::chrono::milliseconds kTickPeriod{20};

  [[nodiscard]] virtual StoreInfo Info() const = 0;
  [[nodiscard]] virtual const Options& options() const = 0;
  // Changes what an operator may change while the node runs; it takes effect at once.
  virtual void Tune(const std::function<void(Options&)>& change) = 0;
};

}  // namespace faha
