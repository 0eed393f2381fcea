// What this node is to its cluster at the moment: its phase, and which node it takes for the primary.
// Thread: main loop only.
#pragma once

#include "base/check.h"
#include "cluster/phase.h"
#include "faha/leadership.h"
#include "faha/types.h"

namespace faha {

class Standing {
 public:
  // The primary that this node follows, or this node itself; its id is none if none is known.
  [[nodiscard]] const Member& primary() const { return primary_; }
  void SetPrimary(const Member& primary) { primary_ = primary; }
  void ForgetPrimary() { primary_ = {}; }

  [[nodiscard]] Phase phase() const { return phase_; }
  // This node is the primary of an epoch, whether anybody follows it or not.
  [[nodiscard]] bool Leading() const { return phase_ == Phase::kLeading; }
  [[nodiscard]] bool Fetching() const { return phase_ == Phase::kFetching; }
  [[nodiscard]] bool Campaigning() const { return HasCampaign(phase_); }
  [[nodiscard]] Role role() const {
    if (Leading()) return Role::kPrimary;
    return phase_ == Phase::kPromised || Fetching() ? Role::kCandidate : Role::kBackup;
  }
  void Enter(PhaseEvent event) {
    const auto to = After(phase_, event);
    FAHA_CHECK(to.has_value(), "an event that the table of phases does not know");
    phase_ = *to;
  }

 private:
  Member primary_;
  Phase phase_ = Phase::kFollowing;
};

}  // namespace faha
