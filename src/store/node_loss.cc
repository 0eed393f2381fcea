// Losing touch: a backup that misses its primary, and a primary that serves no more.  See node.h.
#include <algorithm>

#include "cluster/quorum.h"
#include "store/node.h"

namespace faha {

bool Node::DependsOnPrimary() const { return RoleNow() == Role::kBackup && !candidacy_ && !heir_ && Promotable(); }

bool Node::Silent() const {
  return DependsOnPrimary() && clock_->Now() - heard_at_ > options_.lease && !voter_->LeaseMayRun(clock_->Now());
}

bool Node::MajorityMisses() const { return inquiry_->Missing() + 1 >= Majority(membership_.members().size()); }

bool Node::MissesPrimary() const { return loss_ == Loss::kRefused ? DependsOnPrimary() : Silent() && MajorityMisses(); }

Status Node::Remember(std::string_view note) {
  static_assert(Store::kMaxNote == Pool::kMaxNote);
  if (!failure_.ok()) return failure_;
  const Status status = pool_->SetNote(note);
  return status.ok() || status.code() == Code::kTooLarge ? status : Fail(status);
}

// A primary that only this backup does not hear is not to be replaced: the others are asked.  While the primary was
// there, somebody watches over it, who says which backup is to lead.  A backup that has found none since its start
// stands for all that was down: nobody may have been there to see it.  The old primary, if it is back, comes first, and
// of two backups the one that was started earlier.
void Node::StepSilence() {
  if (!Silent()) return;
  if (inquiry_->Due()) AskMembers(membership_.members());
  if (followed_ || !MajorityMisses() || clock_->Now() - heard_at_ <= 3 * options_.lease / 2) return;
  Note(LogLevel::kNotice,
       "no primary was found since the start, nor by a majority of the members: this node offers itself");
  StartCampaign(Epoch{}, Epoch{}, std::chrono::milliseconds::max(), nullptr);
}

// A lease that lapsed because this node's own main loop stood still is renewed within a round trip: only what stays
// lost ends the service.
void Node::StepService() {
  if (Leads()) {
    served_ = membership_.members().size() > 1;  // one that is alone has nobody to send clients to
    cut_since_ = kForever;
    return;
  }
  if (!served_) return;
  cut_since_ = std::min(cut_since_, clock_->Now());
  const bool may_recover = Leading() && !term_.lease.given_up();
  if (may_recover && clock_->Now() - cut_since_ <= options_.persist_timeout) return;
  served_ = false;
  observer_->OnServiceLost();
}

}  // namespace faha
