// The store: a keyspace, its commits, and its place in a cluster.  Thread: main loop only; no call blocks except
// Commit(), those of Keyspace that say so, Forget() and HandOver(): they wait for at most persist-timeout plus the time
// that a large write takes.
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
  std::chrono::milliseconds last_error_age{0};  // 0: it still goes on
  Epoch epoch;
  NodeId node;
  ClusterId cluster;
  std::optional<Member> primary;        // the node that this node believes to be the primary
  bool streaming = false;               // a backup that receives the log of `primary`
  bool blank = false;                   // it holds no data of its own and never did: it may join another cluster
  std::chrono::milliseconds silent{0};  // of a backup: since it last heard a primary, or since its start
  Members members;
  Members left_out;  // were members before a node was forced to lead without them, and are none now
  FeatureLevel feature_level = kLowestLevel, offered_level = kHighestLevel;  // the cluster's, and this node's
  std::vector<PeerInfo> peers;
  Lsn last, durable, committed, applied;
  PersistenceDomain domain = PersistenceDomain::kVolatile;
  bool domain_configured = false;             // the administrator's word, not detected
  Transport transport = Transport::kTcp;      // what this node can ship and receive over
  std::string transport_remark;               // why that is not RDMA although RDMA was wanted; otherwise empty
  std::optional<Transport> source_transport;  // what this backup receives over
  std::string pool_path;
  std::uint64_t pool_bytes = 0, pool_used_bytes = 0, segment_bytes = 0;
  // About so many bytes of keys and values can be added before NOSPACE; 0 if NOSPACE was the last answer.
  std::uint64_t pool_writable_bytes = 0;
  // Of a backup that serves reads: everything that was committed this long ago is applied here.  Nothing: it serves no
  // reads.
  std::optional<std::chrono::milliseconds> staleness;
  std::uint64_t pool_usable_bytes = 0;  // that the log may use: the segments that the pools of all members have
  std::uint32_t granule = 0;
  std::uint32_t segments = 0, free_segments = 0;
  std::uint64_t live_bytes = 0, tombstone_bytes = 0;    // of the newest puts, and of deletes
  std::uint64_t cleaned_segments = 0, moved_bytes = 0;  // since the start, as a primary
  bool whole = true;                     // false: damaged or not fully received: it is no copy and does not vote
  std::uint64_t keys = 0, expiring = 0;  // in all databases; how many of them have an expiry
  std::uint64_t index_bytes = 0;         // DRAM
  // Large collections, their elements, and the DRAM that finds these; what is being taken down is included.
  std::uint64_t collections = 0, collection_elements = 0, collection_bytes = 0;
  std::uint64_t packed_collections = 0;  // each of which is one record; what is being taken down is included
  std::uint64_t hot_bytes = 0, hot_used_bytes = 0, hot_keys = 0;  // DRAM: the limit, and what is used
  std::uint64_t hot_hits = 0, hot_misses = 0, hot_admissions = 0, hot_evictions = 0;  // since the start
  std::uint64_t hot_ghost_hits = 0, hot_refreshes = 0;
  std::uint64_t commits = 0, batches = 0, records = 0, record_bytes = 0, batch_bytes = 0;
  std::uint64_t commit_failures = 0;
  std::uint64_t damages = 0;  // damages of the pool's medium found since the start, mended or not
};

// Called from Poll(), Tick() and Commit().
class StoreObserver {
 public:
  virtual ~StoreObserver() = default;
  // This node has become the primary: a majority promised its epoch and holds its log.
  virtual void OnPrimary() = 0;
  // This node follows `primary` from now on.
  virtual void OnFollowing(const Member& primary) = 0;
  // The FaHA node that listens for peers at `node` refused to be followed by this node.
  virtual void OnRefused(const Endpoint& node) { (void)node; }
  // The backup whose Redis listens at `heir` is in sync and asks for the primary's role.  The observer should call
  // HandOver(heir), between turns.
  virtual void OnHandOverAsked(const Endpoint& heir) { (void)heir; }
  // This node served a cluster and does not serve any more: it was deposed or has failed, or no majority has answered
  // for persist-timeout.  Clients should ask another node.
  virtual void OnServiceLost() {}
};

// The seams to the outside world; where a pointer is null, the real implementation is used.  They must outlive the
// store.
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
  // Takes a snapshot of all keys as of the batch that is returned.  ReadHeld() can read it once, in a process that is
  // forked before anything else is called here, or in this process.  The snapshot keeps no space from the log: if the
  // log needs a segment that was not read yet, or gives up the log that holds it, `lost` is called at most once, before
  // the segment is written to.  `lost` must not call back.  Errors: NoQuorum - what was written last is not known to be
  // committed; Unavailable - the log is not whole, or the turn wrote what is not committed; Fenced.
  virtual Result<Lsn> HoldSegments(std::function<void(const Status& why)> lost) = 0;
  // Ends the hold.  `outcome` tells how the copy ended; a failure is shown as last_error.
  virtual void ReleaseSegments(const Status& outcome) = 0;
  // Visits every key, expired or not, in no particular order, until `visit` returns false.  Database kHiddenDb is
  // visited, too.
  // Errors: Unavailable - the snapshot was lost meanwhile; IoError - a part cannot be read; Corrupt - one is damaged.
  // After an error everything that was visited must be thrown away.
  using HeldVisitor = std::function<bool(DbId db, std::string_view key, const Entry& entry)>;
  virtual Status ReadHeld(const HeldVisitor& visit) const = 0;

  // --- What belongs to the node itself.
  // Stores a note that the caller wants to find again after the next start, however this process ends.  It has at most
  // kMaxNote bytes and replaces the note before it.  The call costs a write and a drain of the pool, so it is not for
  // what changes often.  Errors: TooLarge; Fenced.
  static constexpr std::size_t kMaxNote = 190;
  virtual Status Remember(std::string_view note) = 0;
  [[nodiscard]] virtual std::string_view Remembered() const = 0;

  // To be called before a planned stop: writes the index, which makes the next start fast, if options.checkpoint_path
  // says where.  Without it nothing is lost.  Errors: IoError, NoSpace.
  virtual Status Checkpoint() = 0;

  [[nodiscard]] virtual int descriptor() const = 0;  // readable when Poll() has work; -1: none
  virtual void Poll() = 0;                           // never blocks
  virtual void Tick() = 0;                           // call every kTickPeriod
  static constexpr std::chrono::milliseconds kTickPeriod{20};

  [[nodiscard]] virtual StoreInfo Info() const = 0;
  [[nodiscard]] virtual const Options& options() const = 0;
  // Changes options that an operator may change while the node runs.  The change takes effect at once.
  virtual void Tune(const std::function<void(Options&)>& change) = 0;
};

}  // namespace faha
