// A pool: a medium with an identity, a promise and a segment table.  Thread: main loop only.
// Invariants: (1) a promise that SetPromise() returned Ok for survives every crash.
//             (2) a superblock copy is rewritten only while the other one is whole and durable.
//             (3) once a write of the superblock has returned Ok both copies say the same, so damage of one of them
//                 takes back nothing that was promised.
#pragma once

#include <bit>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "base/log_key.h"
#include "faha/media.h"
#include "faha/status.h"
#include "faha/types.h"
#include "log/format.h"
#include "log/segments.h"

namespace faha {

// The claim of a node that does not know how far the log reached that it gave up; no log reaches so far.
inline constexpr LogEnd kUnknownClaim{Epoch{UINT64_MAX}, Lsn{UINT64_MAX}};

// What the pools of a cluster must have in common, so that batches land at the same addresses: the sizes are equal, and
// each pool has at least as many segments as the log uses.
struct Geometry {
  std::uint64_t segment_bytes = 0;
  std::uint32_t segment_count = 0;  // how many a log may use
  std::uint32_t granule = 0;
  auto operator<=>(const Geometry&) const = default;
};

// The segment size of a new pool of `pool_bytes`, if nobody has chosen one.  It is a compromise: a value may take most
// of a segment, and the cleaner needs many segments.
std::uint64_t ChosenSegmentBytes(std::uint64_t pool_bytes);

// The text to add to the message that refuses a level above `reads`, if a setting is what limits `reads`.
constexpr std::string_view OrRaiseLevel(FeatureLevel reads) {
  return reads < kHighestLevel ? ", or take out faha.feature-level, which holds this one back" : "";
}

// Before there is a pool: can one be made with these sizes?  `segment_bytes` 0: ChosenSegmentBytes.  Errors: PoolSize,
// BadConfig.
Status CheckNewPool(std::uint64_t pool_bytes, std::uint64_t segment_bytes);

// The segments that a pool of `pool_bytes` has.
std::uint32_t SegmentsThatFit(std::uint64_t pool_bytes, std::uint64_t segment_bytes);

class Pool {
 public:
  // Opens the pool on `media`.  A pool that was never used is formatted as a node of a new cluster, and a pool of
  // version 2 is upgraded to this version.  A medium smaller than `pool_bytes` grows, and the pool gets all the
  // segments that then fit; a pool never shrinks.
  // Errors: NoSpace - it cannot grow; BadPool - no superblock copy is whole, or it contradicts the medium; PoolVersion
  // - another format version or a higher feature level; PoolSize - too small; BadConfig - segment_bytes is unusable;
  // IoError - also where its header cannot be read.
  // `reads`: the highest feature level that the caller knows.
  static Result<std::unique_ptr<Pool>> Open(std::unique_ptr<Media> media, std::uint64_t segment_bytes,
                                            std::uint64_t pool_bytes = 0, FeatureLevel reads = kHighestLevel);
  // Opens a pool for reading only: nothing is written to it, not even if it was never used.
  // Errors: as Open; BadPool as well if it was never used.
  static Result<std::unique_ptr<Pool>> Inspect(std::unique_ptr<Media> media);

  [[nodiscard]] Media& media() { return *media_; }
  [[nodiscard]] const Media& media() const { return *media_; }
  // Bytes that were whole when they were written, or when the pool was opened, were found damaged.  The damage is
  // forgotten when this node is given the whole log anew.  Errors of damage(): Corrupt.
  void NoteDamage(Status damage) const {
    if (damage_.ok()) CountDamage();
    damage_ = std::move(damage);
  }
  // Counts damage.  It is called directly only for damage that was found while the pool was opened.
  void CountDamage() const { ++damages_; }
  // How often damage was found since the pool was opened, whether it was mended or not.
  [[nodiscard]] std::uint64_t damages() const { return damages_; }
  [[nodiscard]] const Status& damage() const { return damage_; }
  // While this is false, the bytes that are read need not make sense, and no FAHA_CHECK may end the process because of
  // them: see Media::Health.
  [[nodiscard]] bool Readable() const { return damage_.ok() && media_->Health().ok(); }
  [[nodiscard]] ClusterId cluster() const;
  [[nodiscard]] NodeId node() const;
  // The version of the format; it is older than kPoolVersion only in a pool that Inspect() opened.
  [[nodiscard]] std::uint32_t version() const { return version_; }
  // The cluster's key for the checksums of all batches.  It is none if the pool began as one of version 2: then values
  // can pass for batches.
  [[nodiscard]] LogKey log_key() const;
  // The feature level of what the log may hold.  It is never lowered.
  [[nodiscard]] FeatureLevel level() const { return static_cast<FeatureLevel>(super_.features + kLowestLevel); }
  // Must be called before anything of that level is written here; the caller must know the level.  Durable on return.
  // Errors: IoError.
  Status RaiseLevel(FeatureLevel level);
  // This pool's own random number, for as long as the pool lives.
  [[nodiscard]] std::uint64_t hash_seed() const { return super_.hash_seed; }
  [[nodiscard]] Geometry geometry() const;
  // From now on the log may use only the first `count` segments (all, if the pool has fewer): a primary must not write
  // behind the end of a member's pool.
  void LimitSegments(std::uint32_t count) { limit_ = count; }
  [[nodiscard]] Epoch promised() const { return Epoch{super_.promised_epoch}; }
  [[nodiscard]] NodeId voted_for() const;

  // The primary of the promised epoch, if this node has been it or has followed it; none if that is not known.
  [[nodiscard]] NodeId leader() const;

  // Errors: IoError - whether the promise survives is unknown; the node must fence itself.
  Status SetPromise(Epoch epoch, NodeId voted_for);
  // Records that `leader` is the primary of `epoch`, which is the promised epoch or a later one.  A later epoch is
  // thereby also promised to `leader`.  Must be called before this node gives `leader` a lease, or serves.  Errors: as
  // SetPromise.
  Status SetLeader(Epoch epoch, NodeId leader);

  // The last text that was given to SetNote(), by this process or an earlier one.  It has at most kMaxNote bytes, which
  // the pool does not interpret.
  static constexpr std::size_t kMaxNote = sizeof(format::Superblock::note);
  [[nodiscard]] std::string_view note() const;
  // Errors: TooLarge; IoError - the node must fence itself.
  Status SetNote(std::string_view note);

  // Records that the log holds a committed batch.  From now on it always will, so an empty log means damage.  Durable
  // on return.  Errors: IoError - the node must fence itself.
  Status NoteLog();
  [[nodiscard]] bool has_log() const { return (super_.state & format::kHasLog) != 0; }

  // Records that the cluster has gone on without what this log holds, or takes that back.  Durable on return.  Errors:
  // IoError - the node must fence itself.
  Status SetForkedOff(bool forked_off);
  [[nodiscard]] bool forked_off() const { return (super_.state & format::kForkedOff) != 0; }

  // Records that damage was found in the log, which reaches `end`: a later start must not take the damage for a torn
  // end.  Durable on return.  Errors: IoError - the node must fence itself.
  Status RecordDamage(LogEnd end);
  // Withdraws RecordDamage(): the log was found whole after all.  Errors: as RecordDamage.
  Status ForgetDamage();
  // How far the log reached when damage was recorded; 0: no damage is recorded, or the log is being given to this node
  // anew.
  [[nodiscard]] Lsn damaged_at() const;

  // A primary is giving this node the log, which must not be used until it is complete.
  [[nodiscard]] bool installing() const { return (super_.state & format::kInstalling) != 0; }
  // Begins an install: every segment is forgotten, and so are the parts of the medium that cannot be read.  `source` is
  // remembered if its name is not too long.
  // `claim`: how far the log reached that is given up, or kUnknownClaim.  Errors: IoError.
  Status BeginInstall(const Endpoint& source, LogEnd claim);
  // Begins an install of a log that lacks something.  It is given from its end on, so nothing is forgotten.  Errors:
  // IoError.
  Status GoOnInstalling(const Endpoint& source, LogEnd claim);
  // While installing: the highest claim of all installs that were begun since the log was complete.
  [[nodiscard]] LogEnd claim() const { return {Epoch{super_.claim_epoch}, Lsn{super_.claim_lsn}}; }
  // Whom to ask again for the log after a crash during an install.
  [[nodiscard]] std::optional<Endpoint> InstallSource() const;
  Status EndInstall();

  // Becomes an empty node of `cluster`, whose batches have `key`: forgets every segment, promise and claim.  The node
  // keeps its id, its hash seed and its size.  It is installing from then on: until it has the cluster's log it knows
  // no members, and must not take itself for the only one.
  // `source`: as for BeginInstall, so that it is remembered even if the node crashes before BeginInstall.
  // Errors: PoolSize - the medium cannot hold as much as `geometry`; IoError.
  Status Adopt(ClusterId cluster, const Geometry& geometry, const LogKey& key, const Endpoint& source = {});

  // When the pool was opened, one superblock copy was torn or damaged, and was written again.
  [[nodiscard]] bool copy_was_lost() const { return copy_was_lost_; }
  // Copy 0 or 1 of the superblock in the form of this version, if it is whole and of a version that can be read.
  [[nodiscard]] std::optional<format::Superblock> ReadCopy(std::uint32_t copy) const;

  // The table's entry of segment `index`, if it is whole and in use.
  [[nodiscard]] std::optional<format::SegmentEntry> ReadEntry(std::uint32_t index) const;
  // Is the entry of segment `index` neither whole nor empty?
  [[nodiscard]] bool EntryIsDamaged(std::uint32_t index) const;
  // Are there only zeros at the start of segment `index`?  This is so if it was given back or was never used.
  [[nodiscard]] bool IsErased(std::uint32_t index) const;
  // Nothing says that segment `index` is in use.
  [[nodiscard]] bool IsForgotten(std::uint32_t index) const {
    return IsErased(index) && !ReadEntry(index) && !EntryIsDamaged(index);
  }
  // From the next drain on, no scan finds the batch at `at`.  Errors: IoError.
  Status EraseBatch(LogAddress at);
  // Writes the entry of a segment that is opened.  It becomes durable with the next drain, like the batch for which the
  // segment is opened; if only one of the two survives, that is a torn end.  Errors: IoError.
  Status WriteEntry(std::uint32_t index, std::uint64_t generation, Lsn first_lsn, Head head);
  // Fills segment `index` with zeros from byte `offset` on.  It becomes durable with the next drain.  Errors: IoError.
  Status EraseFrom(std::uint32_t index, std::uint64_t offset);
  // Empties the entry and erases the segment's first batch.  Durable on return.  Errors: IoError.
  Status ClearEntry(std::uint32_t index);

  [[nodiscard]] LogAddress SegmentStart(std::uint32_t index) const {
    return LogAddress{format::kDataOffset + index * super_.segment_bytes};
  }
  [[nodiscard]] std::uint32_t SegmentOf(LogAddress at) const {
    return static_cast<std::uint32_t>((at.value - format::kDataOffset) >> std::countr_zero(super_.segment_bytes));
  }
  [[nodiscard]] std::span<const std::byte> SegmentBytes(std::uint32_t index) const {
    return media_->bytes().subspan(SegmentStart(index).value, super_.segment_bytes);
  }

 private:
  Pool(std::unique_ptr<Media> media, FeatureLevel reads) : media_(std::move(media)), reads_(reads) {}
  Status Load();
  [[nodiscard]] bool IsForeign(const format::Superblock& super) const;
  [[nodiscard]] bool Reads(const format::Superblock& super) const;
  // Errors: IoError - a part of the superblock or the table could not be read.
  [[nodiscard]] Status HeaderHealth() const;
  Status Format(std::uint64_t segment_bytes);
  Status Upgrade();
  Status ForgetSegments();
  Status Grow(std::uint64_t bytes);
  Status MendCopies();
  Status SettleCopies();
  Status WriteCopy();
  Status WriteSuperblock();
  void Claim(LogEnd end);
  void SetSource(const Endpoint& source);
  [[nodiscard]] bool NeverUsed(std::uint64_t segment_bytes) const;

  std::unique_ptr<Media> media_;
  FeatureLevel reads_;  // the highest feature level that the caller of Open() knows
  format::Superblock super_{};
  std::uint32_t version_ = format::kPoolVersion;  // of the copy that counts, as it was found
  std::uint32_t limit_ = UINT32_MAX;              // of segments
  bool settled_ = false;                          // both copies of the superblock are durable as they stand
  bool copy_was_lost_ = false;
  mutable Status damage_;  // seen while the pool is in use
  mutable std::uint64_t damages_ = 0;
};

}  // namespace faha
