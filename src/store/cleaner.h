// The cleaner: gives back segments whose records are mostly dead.  It appends the live records of a victim again, to
// the log's cold head and through the same commit as everything else, and then the record that frees the victim.  If a
// client waits for space and the segment of the cold head is full, the rest goes to the segment that clients fill.
// Victims are chosen by cost and benefit (Rosenblum & Ousterhout 1992): (1 - u) * age / (1 + u), where u is the part
// that is still needed.  Thread: main loop only, between units, on a primary.
// Invariants: (1) a moved record is in the log before the record that frees its old place.
//             (2) a tombstone is dropped only when no other segment holds anything older than it.
//             (3) when a slice ends, the open batch is sealed: no client's record follows a move in the same batch.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "faha/status.h"
#include "faha/types.h"
#include "log/log.h"
#include "store/engine.h"

namespace faha {

struct CleanerStats {
  std::uint64_t segments = 0;     // freed
  std::uint64_t moved_bytes = 0;  // appended again
};

class Cleaner {
 public:
  // Looking at so many bytes of a victim takes about 100 us.
  static constexpr std::uint64_t kPieceBytes = 64U << 10;

  Cleaner(Log* log, Engine* engine) : log_(log), engine_(engine) {}

  // Are there so few free segments that the cleaner should work?  Segments that it has freed already count as free.
  [[nodiscard]] bool Needed() const;
  // Are there so few, not counting those that were freed but not given back?  A receiver may keep them from being given
  // back.
  [[nodiscard]] bool SpaceIsShort() const;
  // Are there so few that cleaning goes before the latency of clients?
  [[nodiscard]] bool Pressed() const { return log_->segments().free() <= Log::kReservedSegments; }
  // Looks at `bytes` of victims, and at one batch at least.  Everything that it appends is sealed when it returns.
  // `committed`, `everywhere`: the last batch that a majority has, and the last one that every member has.  No victim
  // has batches behind the first one, and none has batches behind the second one as long as space is not short and this
  // costs little.  False: nothing was done, because there is no victim, there is no room for what must be moved, the
  // newest configuration must be written again first, or a victim is damaged: see Pool::damage.
  // `hurried`: somebody waits for space.  Errors: IoError - fence.
  Result<bool> Step(std::uint64_t bytes, Lsn committed, Lsn everywhere, bool hurried = false);
  // The victim that is being cleaned; none between two victims.
  [[nodiscard]] std::optional<std::uint32_t> victim() const { return victim_; }
  // The batch of the newest configuration: a victim that holds it is not freed before the configuration is appended
  // again.
  void SetConfig(Lsn lsn) { config_ = lsn; }
  // The segments that hold keys, in the order in which they would be cleaned.
  [[nodiscard]] std::vector<std::uint32_t> BestFirst() const;
  // The victim cannot be freed because it holds the newest configuration.
  [[nodiscard]] bool WantsConfig() const;
  // The head to which a record of `bytes` is appended: a record of the present victim, or the record that frees it
  // (`frees`).  If the open batch belongs to the other head, it is sealed.  Errors: IoError - fence.
  Result<Head> HeadFor(std::uint64_t bytes, bool frees = false);
  // The log was cut or the term ended: the cleaner forgets the victim.
  void Abandon() { victim_.reset(); }
  [[nodiscard]] const CleanerStats& stats() const { return stats_; }

  // How many bytes of victims must be looked at for `appended` bytes of users so that the space lasts, judged by the
  // last victims.
  [[nodiscard]] std::uint64_t Share(std::uint64_t appended) const;

 private:
  [[nodiscard]] std::optional<std::uint32_t> Choose(Lsn committed, Lsn everywhere, bool hurried) const;
  // The best victim that holds no batch behind `limit`.
  // `held`: it may also be one that a hold needs.
  [[nodiscard]] std::optional<std::uint32_t> ChooseUpTo(Lsn limit, bool held) const;
  [[nodiscard]] double Worth(const Segment& segment, double needed) const;
  [[nodiscard]] std::optional<std::uint32_t> OldColdTail(Lsn limit, bool hurried) const;
  // The segment, tails included, whose cleaning gives clients the most room, if that is at least the part `least` of a
  // segment.
  [[nodiscard]] std::optional<std::uint32_t> MostGain(Lsn limit, double least) const;
  [[nodiscard]] double Gain(const Segment& segment) const;
  [[nodiscard]] bool IsTail(const Segment& segment) const { return &segment == log_->segments().Tail(segment.head); }
  [[nodiscard]] bool Eligible(const Segment& segment, Lsn limit) const;
  // The same for a tail, provided that its head does not fill it any further.
  [[nodiscard]] bool MayGo(const Segment& segment, Lsn limit) const;
  // How many bytes of its records must be moved before the segment can be freed.
  [[nodiscard]] std::uint64_t NeededBytes(const Segment& segment) const;
  [[nodiscard]] std::uint64_t DeadBytes(const Segment& segment) const;
  [[nodiscard]] double NeededPart(const Segment& segment) const;
  // The first LSN of the oldest segment, other than `victim`, that is not freed.
  [[nodiscard]] Lsn OldestBut(std::uint32_t victim) const;
  Status FreeVictim();
  Status MoveBatch(const BatchView& batch, LogAddress at);
  Status MoveRecord(const Record& record, std::uint64_t hash, LogAddress at, Lsn lsn);

  Log* log_;
  Engine* engine_;
  std::optional<std::uint32_t> victim_;
  bool hurried_ = false;      // somebody waited for space while this victim was being cleaned
  std::uint64_t offset_ = 0;  // in the victim: everything before it has been looked at
  Lsn oldest_;                // OldestBut(victim), at the start of a slice
  Lsn config_;
  double needed_ = 0.5;  // the part of recent victims that had to be moved
  CleanerStats stats_;
};

}  // namespace faha
