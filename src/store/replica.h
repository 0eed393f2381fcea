// What this node holds of its cluster's data: the pool, the log in it, the keys and the members that the log says, and
// whether all of it is there.  It knows nothing of phases and peers.  Thread: main loop only.
//   replica.cc       what is received and given up, what is known to be committed, damage
//   replica_open.cc  opening: recovery, and the checkpoint
//   replica_hold.cc  the keyspace as of one batch, for a forked process
// Invariants: (1) the members are those of the newest configuration in the log, or, while the log is being received,
//                 the ones that were known before.
//             (2) while whole() is false, the log counts as no copy and this node leads nobody.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <memory_resource>
#include <span>
#include <utility>
#include <vector>

#include "cluster/membership.h"
#include "faha/clock.h"
#include "faha/media.h"
#include "faha/options.h"
#include "faha/status.h"
#include "faha/store.h"
#include "faha/types.h"
#include "log/log.h"
#include "log/pool.h"
#include "replication/wire.h"
#include "store/engine.h"
#include "store/health.h"

namespace faha {

class Replica {
 public:
  // All of them must outlive this.
  Replica(const Options* options, const Clock* clock, Health* health)
      : options_(options), clock_(clock), health_(health) {}

  // --- Opening, in this order.
  // Opens the pool and the log in it, and reads the members.  `memory`: for the index and the hot tier.  Errors:
  // Corrupt, if there is no peer that can give this node what is damaged; others, as Store::Open.
  Status Open(std::unique_ptr<Media> media, std::pmr::memory_resource* memory);
  // Reads the index from the checkpoint or from the log, as far as the log is known to be committed.  `alone`: nobody
  // else votes, so all of it is.  Errors: BadConfig; IoError.
  Status Recover(bool alone);
  // Writes the index to the checkpoint if it shows all of the log.  `leads`: this node's own batches are applied when
  // they are appended.
  Status Checkpoint(bool leads);

  [[nodiscard]] Pool& pool() const { return *pool_; }
  [[nodiscard]] Log& log() const { return *log_; }
  [[nodiscard]] Engine& engine() const { return *engine_; }
  [[nodiscard]] const Membership& membership() const { return membership_; }
  [[nodiscard]] const Members& members() const { return membership_.members(); }

  // --- Is all of it there?
  // False: the log is damaged or being installed.  It is no copy, and this node does not vote.
  [[nodiscard]] bool whole() const { return !not_whole_; }
  // The cluster was forced to go on without what this log holds: this node does not vote and leads nobody, until it
  // follows somebody or is forced to lead.
  [[nodiscard]] bool forked_off() const;
  // Errors: Forked.
  [[nodiscard]] Status CheckForkedOff() const;
  // Errors: this node has failed.
  Status SetForkedOff(bool forked_off);
  // This node holds no data of its own and never did.
  [[nodiscard]] bool Blank() const { return !engine_->touched() && members().size() <= 1; }
  // How far this node's log reaches, or how far it reached when it was given up for another one that is not whole yet.
  [[nodiscard]] LogEnd VouchedEnd() const;
  // Can clients name every database that has keys?  Errors: BadConfig.
  [[nodiscard]] Status CheckDatabases() const;
  // Asks that question again.
  void LookAtDatabases();
  // As of the last look, there are keys in databases that clients cannot name.
  [[nodiscard]] bool hides_keys() const { return hides_; }

  // --- Faults of the medium.
  // Errors: Fenced - what was misread must not be told to anybody, and this node has failed.
  Status CheckMedium();
  void RecordDamage();
  void GiveUpDamaged();

  // --- What is committed.
  // The highest commit LSN that this node was told of.
  [[nodiscard]] Lsn heard_committed() const { return heard_committed_; }
  void HearCommitted(Lsn lsn) { heard_committed_ = std::max(heard_committed_, lsn); }
  // What was heard of LSNs behind `end` was said of a history that this node has left: it leads without the others.
  void ForgetCommittedBehind(Lsn end);
  // Of a primary: everything up to `lsn` is committed.
  void Committed(Lsn lsn);

  // --- The log of a primary.
  // Appends and seals a batch of its own that makes `next` the configuration.  It takes effect at once.
  // Errors: as Log::Append.
  Status AppendConfiguration(Configuration next, Head head);
  // Drops what was appended and not sealed.
  void DropUnsealed();
  // The number of segments that the pools of all `members` have.
  [[nodiscard]] std::uint32_t SegmentsOf(const Members& members) const;
  // The same for the present members, but not more than this pool has.
  [[nodiscard]] std::uint64_t UsableSegments() const;

  // --- The log that another node sends.
  // Errors: Protocol; others - this node has failed.
  Status Land(const wire::Batch& batch, std::span<const std::byte> bytes);
  // `source`, whose log is in the segments of the generations `in_use`, no longer has the batch that comes next.  A log
  // that was whole is treated as one that is being installed, from the place where it is now.  Errors: this node has
  // failed.
  Status AllowGap(const Member& source, Lsn whole_at, std::span<const std::uint64_t> in_use);
  // This log ends at `keep`.  Errors: this node has failed.
  Status CutAfter(Lsn keep);
  // Gives up this log in order to take all of that of `source`.  Errors: this node has failed.
  Status BeginInstall(const Member& source);
  // Ends the install if everything that was to be given is durable here.  Errors: Corrupt; others - this node has
  // failed.
  Status EndInstallIfWhole();
  // An empty node leaves its old cluster, of which it was the only member.  Errors: as Pool::Adopt.
  Status Join(const wire::FollowReply& reply);

  // --- Space.
  // Gives back the segments that are freed at or before `committed`, except those that are `claimed`.  True if there
  // are more free segments now.
  bool Release(Lsn committed, const std::function<bool(const Segment&)>& claimed);
  // Gives back memory for a part of the tick that began at `now`, after faha.hot-bytes was lowered or a database was
  // flushed.
  void TendHotTier(MonoTime now);

  // --- For a forked process.  See Store.
  void Hold(const std::vector<std::uint32_t>& segments, std::function<void(const Status&)> lost);
  void EndHold(const Status& outcome);
  Status ReadHeld(const Store::HeldVisitor& visit) const;

 private:
  Status OpenPool(std::unique_ptr<Media> media);
  Status OpenLog();
  Status NoteLog();
  [[nodiscard]] Status CheckPeersAreKnown() const;
  Status ReadMembership();
  Status CheckPromise();
  Status AddConfiguration(Lsn lsn, std::string_view record);
  void ReadCheckpointIfAny();
  // Removes what the index and the usage accounts know of a segment that leaves the log.
  void Leave(const Segment& segment);
  // Forgets the log, of which nothing is left.
  void Empty();
  [[nodiscard]] bool IsHeld(const SegmentHold::Held& held) const;
  Status ReadSegment(const SegmentHold::Held& held, const Store::HeldVisitor& visit, bool& goes_on) const;
  Status ReadLarge(const SegmentHold& hold, const Store::HeldVisitor& visit, bool& goes_on) const;

  const Options* options_;
  const Clock* clock_;
  Health* health_;
  std::unique_ptr<Pool> pool_;
  std::unique_ptr<Log> log_;
  std::unique_ptr<Engine> engine_;
  Membership membership_;
  bool not_whole_ = false;
  bool end_unknown_ = false;  // the log could not be opened, so it is not known where it ended
  Lsn whole_at_;              // while installing: the log is whole when this LSN is durable
  Lsn heard_committed_;
  bool hides_ = false;
};

}  // namespace faha
