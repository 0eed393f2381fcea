// A pool: a medium with an identity, a promise and a segment table.  Thread: main loop only.
// Invariants: (1) a promise that SetPromise() returned Ok for survives every crash.
//             (2) a superblock copy is rewritten only while the other one is whole and durable.
//             (3) once a write of the superblock has returned Ok both copies say the same: damage of one takes nothing
//                 back that was promised.
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

// What a node does not know that it gave up: no log reaches so far.
inline constexpr LogEnd kUnknownClaim{Epoch{UINT64_MAX}, Lsn{UINT64_MAX}};

// What pools of a cluster agree on for batches to land at the same addresses: the sizes are equal, and of segments each
// has at least as many as the log uses.
struct Geometry {
  std::uint64_t segment_bytes = 0;
  std::uint32_t segment_count = 0;  // that a log may use
  std::uint32_t granule = 0;
  auto operator<=>(const Geometry&) const = default;
};

// The segment size of a new pool of `pool_bytes`, where nobody has chosen one: a value may take most of a segment, and
// the cleaner wants many of them.
std::uint64_t ChosenSegmentBytes(std::uint64_t pool_bytes);

// What to add to a refusal of a level above `reads`, where it is a setting that is in the way.
constexpr std::string_view OrRaiseLevel(FeatureLevel reads) {
  return reads < kHighestLevel ? ", or take out faha.feature-level, which holds this one back" : "";
}

// Before there is a pool: can one be made like that?  `segment_bytes` 0: chosen.  Errors: PoolSize, BadConfig.
Status CheckNewPool(std::uint64_t pool_bytes, std::uint64_t segment_bytes);

// The segments that a pool of `pool_bytes` has.
std::uint32_t SegmentsThatFit(std::uint64_t pool_bytes, std::uint64_t segment_bytes);

class Pool {
 public:
  // Opens the pool on `media`; formats it as a node of a new cluster if it was never used, and makes one of version 2
  // one of this version.  A medium smaller than `pool_bytes` grows first, and the pool has all the segments that then
  // fit; it never shrinks.
  // Errors: NoSpace - it cannot grow; BadPool - no superblock copy is whole, or it contradicts the medium; PoolVersion
  // - another format version or a higher feature level; PoolSize - too small; BadConfig - segment_bytes is unusable;
  // IoError
  // - also where its header cannot be read.
  // `reads`: the highest feature level that the caller knows.
  static Result<std::unique_ptr<Pool>> Open(std::unique_ptr<Media> media, std::uint64_t segment_bytes,
                                            std::uint64_t pool_bytes = 0, FeatureLevel reads = kHighestLevel);
  // Opens a pool to be looked at: nothing is written to it, not even where it was never used.
  // Errors: as Open; BadPool as well if it was never used.
  static Result<std::unique_ptr<Pool>> Inspect(std::unique_ptr<Media> media);

  [[nodiscard]] Media& media() { return *media_; }
  [[nodiscard]] const Media& media() const { return *media_; }
  // What was whole when it was written, or when the pool was opened, is so no more.  It is forgotten when the log is
  // given to this node as a whole.  Errors of damage(): Corrupt.
  void NoteDamage(Status damage) const {
    if (damage_.ok()) CountDamage();
    damage_ = std::move(damage);
  }
  // One was found while the pool was opened.
  void CountDamage() const { ++damages_; }
  // How often that was so since the pool was opened, however it was mended.
  [[nodiscard]] std::uint64_t damages() const { return damages_; }
  [[nodiscard]] const Status& damage() const { return damage_; }
  // Where this is false, what is read need not make sense, and no check may end the process for it: see Media::Health.
  [[nodiscard]] bool Readable() const { return damage_.ok() && media_->Health().ok(); }
  [[nodiscard]] ClusterId cluster() const;
  [[nodiscard]] NodeId node() const;
  // Of the format; an older one than kPoolVersion only where a pool is looked at.
  [[nodiscard]] std::uint32_t version() const { return version_; }
  // The cluster's: of all batches.  None if the pool began as one of version 2: then values can pass for batches.
  [[nodiscard]] LogKey log_key() const;
  // Of what the log may hold.  It never falls.
  [[nodiscard]] FeatureLevel level() const { return static_cast<FeatureLevel>(super_.features + kLowestLevel); }
  // Before anything of that level, which the caller knows, is written here.  Durable on return.  Errors: IoError.
  Status RaiseLevel(FeatureLevel level);
  // This pool's own random number, for as long as the pool lives.
  [[nodiscard]] std::uint64_t hash_seed() const { return super_.hash_seed; }
  [[nodiscard]] Geometry geometry() const;
  // The log may use `count` segments, all if that is more: a primary must not write where a member's pool has ended.
  void LimitSegments(std::uint32_t count) { limit_ = count; }
  [[nodiscard]] Epoch promised() const { return Epoch{super_.promised_epoch}; }
  [[nodiscard]] NodeId voted_for() const;

  // The primary of the promised epoch, if this node has been it or has followed it; none if that is not known.
  [[nodiscard]] NodeId leader() const;

  // Errors: IoError - whether the promise survives is unknown; the node must fence itself.
  Status SetPromise(Epoch epoch, NodeId voted_for);
  // `leader` is the primary of `epoch`, which is the promised one or a later one, and then a promise to `leader`, too.
  // Before this node gives it a lease, or serves.  Errors: as SetPromise's.
  Status SetLeader(Epoch epoch, NodeId leader);

  // What SetNote() said last, in whatever process; at most kMaxNote bytes, of no meaning here.
  static constexpr std::size_t kMaxNote = sizeof(format::Superblock::note);
  [[nodiscard]] std::string_view note() const;
  // Errors: TooLarge; IoError - the node must fence itself.
  Status SetNote(std::string_view note);

  // The log holds a committed batch, and so it will: from now on an empty one is damage.  Durable on return.  Errors:
  // IoError - the node must fence itself.
  Status NoteLog();
  [[nodiscard]] bool has_log() const { return (super_.state & format::kHasLog) != 0; }

  // Damage was found in the log, which reaches `end`: a later start must not take it for a torn end.  Durable on
  // return.  Errors: IoError - the node must fence itself.
  Status RecordDamage(LogEnd end);
  // The log was found whole after all.  Errors: as above.
  Status ForgetDamage();
  // How far the log reached when damage was recorded; 0: none is, or the log is being given to this node anew.
  [[nodiscard]] Lsn damaged_at() const;

  // The log is being given to this node by a primary and counts for nothing until it is whole.
  [[nodiscard]] bool installing() const { return (super_.state & format::kInstalling) != 0; }
  // Starting it forgets every segment, and what cannot be read; `source`, if its name is not too long, is remembered.
  // `claim`: how far the log reached that is given up, or kUnknownClaim.  Errors: IoError.
  Status BeginInstall(const Endpoint& source, LogEnd claim);
  // The same for a log that lacks something, which is given from its end on: nothing is forgotten.  Errors: IoError.
  Status GoOnInstalling(const Endpoint& source, LogEnd claim);
  // While installing: the highest claim of all that were begun since the log was whole.
  [[nodiscard]] LogEnd claim() const { return {Epoch{super_.claim_epoch}, Lsn{super_.claim_lsn}}; }
  // After a crash in between, whom to ask again.
  [[nodiscard]] std::optional<Endpoint> InstallSource() const;
  Status EndInstall();

  // Becomes an empty node of `cluster`, whose batches have `key`: forgets every segment, promise and claim.  The node
  // keeps its id, its hash seed and its size.  It is installing from then on: before it has the cluster's log it knows
  // no members, and must not take itself for the only one. Errors: PoolSize - the medium cannot hold as much as
  // `geometry`; IoError.
  // `source`: as BeginInstall's, for a crash before that.
  Status Adopt(ClusterId cluster, const Geometry& geometry, const LogKey& key, const Endpoint& source = {});

  // When the pool was opened one superblock copy was not whole, torn or damaged, and was written again.
  [[nodiscard]] bool copy_was_lost() const { return copy_was_lost_; }
  // Copy 0 or 1 of the superblock, if it is whole and of a version that is read; as this version has it.
  [[nodiscard]] std::optional<format::Superblock> ReadCopy(std::uint32_t copy) const;

  // The table's entry of segment `index`, if it is whole and in use.
  [[nodiscard]] std::optional<format::SegmentEntry> ReadEntry(std::uint32_t index) const;
  // Is it neither whole nor empty?
  [[nodiscard]] bool EntryIsDamaged(std::uint32_t index) const;
  // From the next drain on, no scan finds the batch at `at`.  Errors: IoError.
  Status EraseBatch(LogAddress at);
  // Durable with the next drain, as the batch that it opens the segment for: one without the other is a torn end.
  // Errors: IoError.
  Status WriteEntry(std::uint32_t index, std::uint64_t generation, Lsn first_lsn, Head head);
  // Durable on return.  Errors: IoError.
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
  [[nodiscard]] bool Reads(const format::Superblock& super) const;
  // Errors: IoError - superblock or table cannot be read, as far as they were.
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
  FeatureLevel reads_;  // feature levels up to this one
  format::Superblock super_{};
  std::uint32_t version_ = format::kPoolVersion;  // of the copy that counts, as it was found
  std::uint32_t limit_ = UINT32_MAX;              // of segments
  bool settled_ = false;                          // both copies of the superblock are durable as they stand
  bool copy_was_lost_ = false;
  mutable Status damage_;  // seen while the pool is in use
  mutable std::uint64_t damages_ = 0;
};

}  // namespace faha
