// Planned changes of the primary, and a primary that is missed or cut off.  See election.h.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/mutant.h"
#include "cluster/quorum.h"
#include "store/election.h"

namespace faha {

namespace {
// How often a backup asks its primary to hand over.
constexpr MonoTime kAskPeriod{50'000};
}  // namespace

// --- Planned changes.

// This node serves until it promises the heir's epoch.  An heir that fails, or takes too long, may still take up the
// role that it was offered.  So this node does not wait for it, but takes the offer back by leading a later epoch.
void Election::StepOffer() {
  const Primary::Offer* offer = primary_->offer();
  if (offer == nullptr) return;
  const std::string heir = offer->heir.Redis().ToString();
  const bool late = clock_->Now() >= offer->end;
  if (standing_->Leading()) {
    if (primary_->waiting()) return;  // a commit that waits must not lose its role for this
    const auto& shippers = committer_->shippers();
    const bool alive = std::any_of(shippers.begin(), shippers.end(), [&](const auto& shipper) {
      return shipper->receiver().id == offer->heir.id && shipper->in_sync;
    });
    if (alive && !late) return;
    const Epoch floor = offer->floor;
    primary_->EndOffer(
        {Code::kUnavailable, fmt::format("{} did not take over: this node seeks to be the primary again", heir)});
    StartCampaign(voter_->promised(), floor, std::chrono::milliseconds::max(), nullptr);
  } else if (receiver_->streaming() && !standing_->Fetching()) {
    primary_->EndOffer(standing_->primary().id == offer->heir.id
                           ? Status::Ok()
                           : Status{Code::kUnavailable, fmt::format("{} did not take over: the primary is {}", heir,
                                                                    standing_->primary().Redis().ToString())});
  } else if (late) {
    primary_->EndOffer({Code::kNoQuorum,
                        fmt::format("{} was promised the epoch but is not primary yet: see FAHA.STATUS there", heir)});
  }
}

void Election::HandOverOffered(Epoch epoch) {
  if (epoch != voter_->promised() || replica_->membership().Find(self_.id) == nullptr) return;
  auto done = std::exchange(heir_ ? heir_->done : order_.done, nullptr);
  heir_.reset();
  StartCampaign(epoch, Epoch{}, Primary::kHandOverPatience, std::move(done));
}

void Election::TakeOver(std::chrono::milliseconds patience, Done done) {
  EndTakeOver({Code::kNoPromise, "another attempt has taken its place"});
  if (Status status = replica_->CheckDatabases(); !status.ok()) return done(status);
  const bool asks = receiver_->streaming() && (!candidacy_ || Mutated(Mutant::kOrderBeginsAnew));
  if (!asks || replica_->membership().Find(self_.id) == nullptr) return Promote(patience, std::move(done));
  heir_ = {.patience = patience, .done = std::move(done), .end = clock_->Now() + Primary::kHandOverPatience};
  StepTakeOver();
}

void Election::EndTakeOver(const Status& outcome) {
  if (!heir_) return;
  const auto done = std::move(heir_->done);
  heir_.reset();
  done(outcome);
}

// The primary ignores a backup that is not in sync yet, so the backup asks again.  A primary that has been silent for a
// lease is not asked.
void Election::StepTakeOver() {
  if (!heir_) return;
  const MonoTime now = clock_->Now();
  if (receiver_->streaming() && voter_->LeaseMayRun(now) && now < heir_->end) {
    if (now < heir_->next_ask) return;
    heir_->next_ask = now + kAskPeriod;
    receiver_->AskForHandOver();
    return;
  }
  Heir heir = std::move(*heir_);
  heir_.reset();
  Promote(heir.patience, std::move(heir.done));
}

// A peer has promised an epoch beyond this primary's.  A failed candidate left that promise there, and the peer can
// follow only a primary of a later epoch.  While the role is offered, the candidate is the heir, which gets its time.
void Election::OnLaterEpoch(Epoch epoch) {
  if (primary_->offer() != nullptr) {
    primary_->HeardOfEpoch(epoch);
  } else {
    health_->Note(LogLevel::kNotice,
                  fmt::format("a member has promised epoch {}, of which nobody is the primary", epoch.value));
    StartCampaign(voter_->promised(), epoch, std::chrono::milliseconds::max(), nullptr);
  }
}

void Election::LeadInstead() { StartCampaign(Epoch{}, Epoch{}, std::chrono::milliseconds::max(), nullptr); }

// --- Loss of contact.

bool Election::DependsOnPrimary() const {
  return standing_->role() == Role::kBackup && !candidacy_ && !heir_ && Promotable();
}

bool Election::Silent() const {
  return DependsOnPrimary() && clock_->Now() - follower_->contact().heard_at() > options_->lease &&
         !voter_->LeaseMayRun(clock_->Now());
}

bool Election::MajorityMisses() const { return inquiry_.Missing() + 1 >= Majority(replica_->members().size()); }

bool Election::MissesPrimary() const {
  return follower_->contact().refused() ? DependsOnPrimary() : Silent() && MajorityMisses();
}

// A primary must not be replaced if only this backup does not hear it: so the other members are asked.  If this backup
// has heard a primary since its start, somebody watches over that primary, and says which backup is to lead.  If this
// backup has found no primary since its start, perhaps everything was down, and nobody may have been there to see it:
// then the backup offers itself.  The old primary, if it is back, comes first, and of two backups the one that was
// started earlier.
void Election::StepSilence() {
  if (!Silent()) return;
  if (inquiry_.Due()) AskMembers(replica_->members());
  if (follower_->contact().followed() || !MajorityMisses() ||
      clock_->Now() - follower_->contact().heard_at() <= 3 * options_->lease / 2)
    return;
  health_->Note(LogLevel::kNotice,
                "no primary was found since the start, nor by a majority of the members: this node offers itself");
  StartCampaign(Epoch{}, Epoch{}, std::chrono::milliseconds::max(), nullptr);
}

void Election::LeaseCounted(bool hears) {
  if (hears) {
    if (!candidacy_) inquiry_.Close();
  } else if (inquiry_.Due()) {
    // This node is cut off from a majority: some member may know of a newer primary.
    AskMembers(replica_->members());
  }
}

}  // namespace faha
