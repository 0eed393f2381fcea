// Room in the log: cleaning, giving segments back, and what a writer does that finds no room.
// Thread: main loop only.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "store/cleaner.h"
#include "store/committer.h"
#include "store/part_context.h"
#include "store/primary.h"

namespace faha {

class Space {
 public:
  // All of them must outlive this.
  Space(const PartContext& shared, Committer* committer, Primary* primary);

  // Does a slice of cleaning if space is needed.  `idle`: the call does not follow the end of a turn.
  void Clean(bool idle);
  // Of a primary: makes durable what was sealed since the last commit.
  void DrainSealed();
  // Gives back the segments that are freed, whose free is committed, and that nobody reads any more.
  void ReleaseFreed();
  // Cleans and commits until `bytes` fit and `reserve` segments stay free, for at most persist-timeout.  Errors:
  // NoSpace, and those of CheckServing and of a failure of the medium.
  Status MakeRoom(std::uint64_t bytes, std::uint32_t reserve);
  // The term has ended.
  void Abandon();

  // About so many bytes of keys and values can be added before NOSPACE; 0 if NOSPACE was the last answer.
  [[nodiscard]] std::uint64_t WritableBytes() const;
  // The segments that hold keys, in the order in which they would be cleaned.
  [[nodiscard]] std::vector<std::uint32_t> BestFirst() const { return cleaner_.BestFirst(); }
  [[nodiscard]] const CleanerStats& stats() const { return cleaner_.stats(); }

 private:
  Status CleanStep(std::uint64_t bytes, bool hurried, bool& worked);
  Status GainSegment(bool& worked);
  void DropStalled();
  Status Full();
  Status UnitIsTooLarge();
  [[nodiscard]] std::pair<std::uint32_t, std::uint64_t> FreeAndLive() const;

  const Options* options_;
  const Clock* clock_;
  Health* health_;
  const Standing* standing_;
  Replica* replica_;
  Pool* pool_;
  Log* log_;
  Engine* engine_;
  Committer* committer_;
  Primary* primary_;
  Cleaner cleaner_;

  // FreeAndLive() at the time when the last attempt to make room failed; none if a segment was given back since then.
  std::optional<std::pair<std::uint32_t, std::uint64_t>> futile_;
  std::uint64_t sealed_before_ = 0;  // Log::sealed_bytes() after the last slice of cleaning
  std::uint64_t owed_ = 0;           // bytes of victims still to be looked at, for what clients have appended
};

}  // namespace faha
