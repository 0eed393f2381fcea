// What a node is to its cluster at the moment, and what it can become next: one table.  Pure.  Thread: any; values.
// A campaign runs from kSeek until a transition leaves the three phases that have one.  A transition out of kFetching
// ends the reception of the best log, and one out of kLeading ends a term.  So the start and the end of a transition
// alone decide what must be torn down: see Election::Enter.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

namespace faha {

enum class Phase : std::uint8_t {
  kFollowing,  // it follows a primary, or seeks one to follow
  kAsking,     // it campaigns, and asks the members for their state
  kPromised,   // it has promised itself an epoch, and asks the members for the same
  kFetching,   // a majority has promised: it receives what it lacks from the best log among them
  kLeading,    // it is the primary of an epoch, whether a majority answers or not
  kFailed,     // its medium has failed; it stays so until it is started again
};
inline constexpr std::size_t kPhases = 6;

enum class PhaseEvent : std::uint8_t {
  kSeek,      // it begins to seek the primary's role
  kPromise,   // its own promise of an epoch is persistent
  kAskAgain,  // a majority refuses that epoch, or does not answer
  kWin,       // a majority has promised it
  kCatchUp,   // its log reaches as far as the best one of that majority
  kGiveUp,    // its campaign ends: the time is over, or another node leads or is to lead
  kDepose,    // its term ends: a later epoch was promised, or it was told to follow
  kFail,
};
inline constexpr std::size_t kPhaseEvents = 8;

namespace phase_table {
using enum Phase;
inline constexpr std::nullopt_t kNo = std::nullopt;
// clang-format off
inline constexpr std::array<std::array<std::optional<Phase>, kPhaseEvents>, kPhases> kNext{{
    // kSeek,   kPromise,  kAskAgain, kWin,      kCatchUp, kGiveUp,    kDepose,    kFail
    {kAsking,   kNo,       kNo,       kNo,       kNo,      kNo,        kNo,        kFailed},  // kFollowing
    {kNo,       kPromised, kNo,       kNo,       kNo,      kFollowing, kNo,        kFailed},  // kAsking
    {kNo,       kPromised, kAsking,   kFetching, kNo,      kFollowing, kNo,        kFailed},  // kPromised
    {kNo,       kNo,       kNo,       kNo,       kLeading, kFollowing, kNo,        kFailed},  // kFetching
    {kNo,       kNo,       kNo,       kNo,       kNo,      kNo,        kFollowing, kFailed},  // kLeading
    {kNo,       kNo,       kNo,       kNo,       kNo,      kNo,        kNo,        kNo},      // kFailed
}};
// clang-format on
}  // namespace phase_table

// Nothing: this event cannot happen in this phase.
constexpr std::optional<Phase> After(Phase phase, PhaseEvent event) {
  return phase_table::kNext[static_cast<std::size_t>(phase)][static_cast<std::size_t>(event)];
}

constexpr bool HasCampaign(Phase phase) {
  return phase == Phase::kAsking || phase == Phase::kPromised || phase == Phase::kFetching;
}

}  // namespace faha
