// The cleaner: gives back segments whose records are mostly dead.  It appends what is live in a victim again, to the
// log's cold head and through the same commit as everything else, and then the record that frees the victim.  Where a
// client waits for space and the cold head's segment is full, the rest goes to the segment that clients fill.
// Victims are chosen by cost and benefit (Rosenblum & Ousterhout 1992): (1 - u) * age / (1 + u), u being the part that
// is still needed.  Thread: main loop only, between units, on a primary.
// Invariants: (1) what is moved stands in the log before what frees its old place.
//             (2) a tombstone is dropped only when no other segment holds anything older than it.
//             (3) when a slice ends, the open batch is sealed: no record of a client follows a move in one batch.
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
  // To look at so many bytes of a victim takes some 100 us.
  static constexpr std::uint64_t kPieceBytes = 64U << 10;

  Cleaner(Log* log, Engine* engine) : log_(log), engine_(engine) {}

  // Are free segments so few that it should work?  What it has freed counts as free.
  [[nodiscard]] bool Needed() const;
  // Are there so few, whatever it has freed?  A receiver may keep that from being given back.
  [[nodiscard]] bool SpaceIsShort() const;
  // Are they so few that nobody's convenience counts?
  [[nodiscard]] bool Pressed() const { return log_->segments().free() <= Log::kReservedSegments; }
  // Looks at `bytes` of victims, and at one batch at least.  What happens is sealed when it returns.  `committed`,
  // `everywhere`: the last batch that a majority, and that every member, has; a victim is at or before the first, and
  // at or before the second as long as space is not short and that costs little.  False: nothing was done, because
  // there is no victim, no room for what must be moved, the newest configuration must be written again first, or a
  // victim is damaged: see Pool::damage.
  // `hurried`: somebody waits for space.  Errors: IoError - fence.
  Result<bool> Step(std::uint64_t bytes, Lsn committed, Lsn everywhere, bool hurried = false);
  // The victim under way, which holds batches up to its `last`; none between two.
  [[nodiscard]] std::optional<std::uint32_t> victim() const { return victim_; }
  // The batch of the newest configuration: a victim that holds it is not freed before another is appended.
  void SetConfig(Lsn lsn) { config_ = lsn; }
  // The segments that hold keys, those first that would be cleaned first.
  [[nodiscard]] std::vector<std::uint32_t> BestFirst() const;
  // The victim cannot be freed, for it holds the newest configuration.
  [[nodiscard]] bool WantsConfig() const;
  // The head that takes a record of `bytes` of the victim under way, or the one that frees it (`frees`); what is open
  // of the other head is sealed.  Errors: IoError - fence.
  Result<Head> HeadFor(std::uint64_t bytes, bool frees = false);
  // The log was cut or the term ended: what was begun is forgotten.
  void Abandon() { victim_.reset(); }
  [[nodiscard]] const CleanerStats& stats() const { return stats_; }

  // User bytes appended -> bytes of victims to look at for the space to last, as of the last victims.
  [[nodiscard]] std::uint64_t Share(std::uint64_t appended) const;

 private:
  [[nodiscard]] std::optional<std::uint32_t> Choose(Lsn committed, Lsn everywhere, bool hurried) const;
  // The best victim that holds no batch behind `limit`.
  // `held`: also one that a hold needs.
  [[nodiscard]] std::optional<std::uint32_t> ChooseUpTo(Lsn limit, bool held) const;
  [[nodiscard]] double Worth(const Segment& segment, double needed) const;
  [[nodiscard]] std::optional<std::uint32_t> OldColdTail(Lsn limit, bool hurried) const;
  // The segment, tails included, that gives clients most room, if that is `least` of a segment or more.
  [[nodiscard]] std::optional<std::uint32_t> MostGain(Lsn limit, double least) const;
  [[nodiscard]] double Gain(const Segment& segment) const;
  [[nodiscard]] bool IsTail(const Segment& segment) const { return &segment == log_->segments().Tail(segment.head); }
  [[nodiscard]] bool Eligible(const Segment& segment, Lsn limit) const;
  // The same of a tail, if its head fills it no further.
  [[nodiscard]] bool MayGo(const Segment& segment, Lsn limit) const;
  // Of its records, what must be moved before it can be freed.
  [[nodiscard]] std::uint64_t NeededBytes(const Segment& segment) const;
  [[nodiscard]] std::uint64_t DeadBytes(const Segment& segment) const;
  [[nodiscard]] double NeededPart(const Segment& segment) const;
  // The first LSN of the oldest segment besides `victim` that stays.
  [[nodiscard]] Lsn OldestBut(std::uint32_t victim) const;
  Status FreeVictim();
  Status MoveBatch(const BatchView& batch, LogAddress at);
  Status MoveRecord(const Record& record, std::uint64_t hash, LogAddress at, Lsn lsn);

  Log* log_;
  Engine* engine_;
  std::optional<std::uint32_t> victim_;
  bool hurried_ = false;      // somebody waited for space while it was under way
  std::uint64_t offset_ = 0;  // in the victim: what stands before it has been looked at
  Lsn oldest_;                // OldestBut(victim), at the start of a slice
  Lsn config_;
  double needed_ = 0.5;  // the part of recent victims that had to be moved
  CleanerStats stats_;
};

}  // namespace faha
