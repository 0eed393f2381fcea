// Loss of contact: a backup that misses its primary, and a primary that no longer serves.  See node.h.
#include <algorithm>

#include "cluster/quorum.h"
#include "store/node.h"

namespace faha {

bool Node::DependsOnPrimary() const {
  return standing_.role() == Role::kBackup && !candidacy_ && !heir_ && Promotable();
}

bool Node::Silent() const {
  return DependsOnPrimary() && clock_->Now() - follower_->contact().heard_at() > options_.lease &&
         !voter_->LeaseMayRun(clock_->Now());
}

bool Node::MajorityMisses() const { return inquiry_->Missing() + 1 >= Majority(replica_.members().size()); }

bool Node::MissesPrimary() const {
  return follower_->contact().refused() ? DependsOnPrimary() : Silent() && MajorityMisses();
}

Status Node::Remember(std::string_view note) {
  static_assert(Store::kMaxNote == Pool::kMaxNote);
  if (!health_.ok()) return health_.failure();
  const Status status = pool_->SetNote(note);
  return status.ok() || status.code() == Code::kTooLarge ? status : health_.Fail(status);
}

// A primary must not be replaced if only this backup does not hear it: so the other members are asked.  If this backup
// has heard a primary since its start, somebody watches over that primary, and says which backup is to lead.  If this
// backup has found no primary since its start, perhaps everything was down, and nobody may have been there to see it:
// then the backup offers itself.  The old primary, if it is back, comes first, and of two backups the one that was
// started earlier.
void Node::StepSilence() {
  if (!Silent()) return;
  if (inquiry_->Due()) AskMembers(replica_.members());
  if (follower_->contact().followed() || !MajorityMisses() ||
      clock_->Now() - follower_->contact().heard_at() <= 3 * options_.lease / 2)
    return;
  health_.Note(LogLevel::kNotice,
               "no primary was found since the start, nor by a majority of the members: this node offers itself");
  StartCampaign(Epoch{}, Epoch{}, std::chrono::milliseconds::max(), nullptr);
}

void Node::StepService() {
  if (primary_->Leads()) return service_.Serves(replica_.members().size() > 1);
  const bool may_recover = standing_.Leading() && !primary_->LeaseGivenUp();
  if (service_.DoesNot(may_recover, clock_->Now(), options_.persist_timeout)) observer_->OnServiceLost();
}

}  // namespace faha
