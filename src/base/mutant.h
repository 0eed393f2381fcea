// Mistakes that are made on purpose, to show that the tests detect them.  A product is compiled without FAHA_MUTANTS
// and contains none of them.
#pragma once

#include <cstdint>

namespace faha {

enum class Mutant : std::uint8_t {
  kNone,
  kPromiseNotPersisted,   // a promise is answered and not persisted
  kAckBeforeDrain,        // a backup acknowledges what it has not drained
  kVoterIgnoresEpoch,     // an epoch is promised to any candidate, even if it is old or promised to another
  kReusesEarly,           // a freed segment is given back before its free is committed
  kNoLease,               // a primary answers without a lease
  kUnkeyedChecksum,       // batches are not keyed: a client's value can pass for one
  kWriteErrorIsNoSpace,   // a failed write of a batch is reported as a full pool
  kStalledReceiverStays,  // a receiver that acknowledges nothing keeps its claim on segments
  kGapHidesFrees,         // a node that takes the whole log is not told which segments a gap has freed
  kCandidateInstalls,     // a candidate that is far behind gives its log up for that of the best
  kHungVoterCounts,       // a voter's answer counts for as long as its link stands
  kNothingProves,         // a write that wrote nothing counts as a batch that proves leadership
  kFailsOnce,             // a commit that has failed in the middle of a turn is forgotten at its end
  kMembersCutUnit,        // the members change in the middle of a unit
  kUnitOutlivesCut,       // a batch goes on with a unit whose rest was cut
  kHandOverBlocks,        // a primary that offers its role waits for its successor
  kPromotedWithoutLease,  // a primary that is promoted says so whether a majority answers or not
  // A pool that was full once counts as full whatever was given back since, and moved records wait for a commit.
  kFullForEver,
  // A node that is about to lead, or has just been elected, and is told to lead, asks for a new election.
  kOrderBeginsAnew,
  kElectsUnreached,  // a vote is given to a candidate that cannot be reached at the address that it names
  kPatienceGrows,    // a commit allows for bytes that were acknowledged long ago
  kReadsUnchecked,   // a record is returned as the medium holds it, without looking at its checks
  // A rollback ends at the last sealed batch, although the unit that the batch belongs to has not ended.
  kRollBackKeepsHalfAUnit,
  kHearsTheLeft,     // a node that is forced to lead holds what others have committed without it to be committed
  kForkedOffElects,  // nodes that the cluster has gone on without elect each other
  kSidesNeverMeet,   // a primary does not ask members that are not connected whether another one leads
  kForgetsLeftOut,   // the same, of those that were left out when a node was forced to lead
  kHearsNoQuestion,  // a primary that is asked does not look at who asks: the primary of a later epoch
  kForcesAtOnce,     // a node that is forced to lead leaves the others out although a majority of them would elect it
  kPlacedStays,      // what others have placed behind the log of a node that is forced to lead stays there
  kForgetsForks,     // a node that was forced to lead takes what it never had for something that it has cleaned away
};

#ifdef FAHA_MUTANTS
inline Mutant the_mutant = Mutant::kNone;
inline bool Mutated(Mutant mutant) { return mutant == the_mutant; }
#else
constexpr bool Mutated(Mutant) { return false; }
#endif

}  // namespace faha
