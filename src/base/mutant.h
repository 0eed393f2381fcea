// Mistakes that are made on purpose, to show that the tests see them.  A product is compiled without FAHA_MUTANTS and
// holds none of them.
#pragma once

#include <cstdint>

namespace faha {

enum class Mutant : std::uint8_t {
  kNone,
  kPromiseNotPersisted,  // a promise is answered and not persisted
  kAckBeforeDrain,       // a backup acknowledges what it has not drained
  kVoterIgnoresEpoch,    // an epoch is promised to whoever asks, old or given away
  kReusesEarly,          // a freed segment is given back before its free is committed
  kNoLease,              // a primary answers without a lease
  // What is taken back ends with the last sealed batch, although the unit that it belongs to has not ended.
  kRollBackKeepsHalfAUnit,
};

#ifdef FAHA_MUTANTS
inline Mutant the_mutant = Mutant::kNone;
inline bool Mutated(Mutant mutant) { return mutant == the_mutant; }
#else
constexpr bool Mutated(Mutant) { return false; }
#endif

}  // namespace faha
