#include "store/election.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/mutant.h"
#include "base/uuid.h"

namespace faha {

namespace {
// A node that is forced to lead seeks the votes of the others for so many leases first: the lease of the old primary
// must end, and a voter that has hung since its first answer must be given up.
constexpr int kForcePatience = 4;
// A forced promotion skips so many epochs at least: more than the other members may have reached without this node.
// How many more is random, so that two nodes that are forced do not lead in one epoch.
constexpr std::uint64_t kForcedEpochs = 1'000'000;

Epoch ForcedEpochAfter(Epoch known) {
  std::uint64_t random = 0;
  std::memcpy(&random, NewUuid().bytes.data(), sizeof random);
  return Epoch{known.value + kForcedEpochs + random % kForcedEpochs};
}
}  // namespace

Election::Election(const PartContext& shared, Standing* standing, Voter* voter, AddressBook* book, Committer* committer,
                   Probes* probes)
    : options_(shared.options),
      observer_(shared.observer),
      clock_(shared.clock),
      health_(shared.health),
      standing_(standing),
      replica_(shared.replica),
      voter_(voter),
      pool_(&shared.replica->pool()),
      log_(&shared.replica->log()),
      engine_(&shared.replica->engine()),
      book_(book),
      committer_(committer),
      probes_(probes),
      self_(shared.self),
      inquiry_(shared.fabric, shared.clock, book, shared.options) {}

void Election::Attach(Primary* primary, Space* space, Follower* follower) {
  primary_ = primary;
  space_ = space;
  follower_ = follower;
  receiver_ = &follower->receiver();
}

// --- What this node is.

// The only place where the phase changes and where everything that ends with the old phase is torn down.  A term is
// ended by StepDown().
void Election::Enter(PhaseEvent event) {
  const Phase from = standing_->phase();
  standing_->Enter(event);
  if (HasCampaign(from) && !standing_->Campaigning()) {
    candidacy_.reset();
    inquiry_.Close();
  }
  if (from == Phase::kFetching) receiver_->Stop();
}

void Election::Step() {
  StepCampaign();
  if (!health_->ok()) return;
  if (standing_->Fetching() && replica_->whole() && log_->end() >= candidacy_->campaign.best_end()) BecomePrimary();
  primary_->Progress();
}

void Election::BecomePrimary() {
  const Epoch epoch = candidacy_->campaign.epoch();
  const bool forced = candidacy_->forced;
  receiver_->Stop();
  engine_->ApplyTail();
  if (!pool_->damage().ok()) return EndCampaign(pool_->damage());
  if (Status status = pool_->SetLeader(epoch, self_.id); !status.ok()) {
    (void)health_->Fail(status);
    return;
  }
  Enter(PhaseEvent::kCatchUp);
  standing_->SetPrimary(self_);
  primary_->Begin(epoch, forced);
}

void Election::BeginsToServe() {
  Answer(Status::Ok());
  observer_->OnPrimary();
}

void Election::StepDown(std::string_view why) {
  primary_->Depose();
  if (standing_->Leading()) {
    health_->Note(LogLevel::kWarning, fmt::format("no longer primary of epoch {}: {}", log_->end().epoch.value, why));
    replica_->DropUnsealed();
    Enter(PhaseEvent::kDepose);
    Answer({Code::kFenced, "this node was deposed before it served"});
  }
  ForgetPrimary();
}

// Forgets the primary, even if it was this node: there will be another one.
void Election::ForgetPrimary() {
  log_->LimitSegments(UINT32_MAX);  // the next primary decides where a batch goes
  probes_->EndAll();
  standing_->ForgetPrimary();
  follower_->ForgetPrimary();
  space_->Abandon();
  primary_->End();
}

Status Election::GivePromise(Epoch epoch, const NodeId& candidate) {
  const bool persists = !Mutated(Mutant::kPromiseNotPersisted);
  if (Status status = persists ? pool_->SetPromise(epoch, candidate) : Status::Ok(); !status.ok())
    return health_->Fail(status);
  voter_->Promised(epoch, candidate);
  follower_->Promised();
  receiver_->Stop();
  StepDown(fmt::format("epoch {} was promised", epoch.value));
  return Status::Ok();
}

// Ends what ends with a failure of the medium.
void Election::OnFailure() {
  Enter(PhaseEvent::kFail);
  log_->LoseHold(health_->failure());
  committer_->End();
  receiver_->Stop();
  EndTakeOver(health_->failure());
  primary_->EndOffer(health_->failure());
  Answer(health_->failure());
}

// --- Orders.

void Election::Follow(const Endpoint& primary) {
  EndTakeOver({Code::kNoPromise, "this node was told to follow another"});
  if (!health_->ok() || (receiver_->streaming() && standing_->primary().Redis() == primary)) return;
  EndCampaign({Code::kNoPromise, "this node was told to follow another"});
  StepDown(fmt::format("it was told to follow {}", primary.ToString()));
  follower_->Suggest(primary);
}

void Election::Promote(std::chrono::milliseconds patience, Done done) {
  if (!health_->ok()) return done(health_->failure());
  const bool leads =
      primary_->Leads() || (Mutated(Mutant::kPromotedWithoutLease) && standing_->Leading() && committer_->Serving());
  if (leads) return done(Status::Ok());
  if (!replica_->members().empty() && replica_->membership().Find(self_.id) == nullptr) {
    return done(
        {Code::kNoPromise, "this node has not become a member yet: wait until it is in sync, or promote another"});
  }
  // A campaign that is under way goes on: to begin again would give up a promise, or a role that no majority has
  // confirmed yet.
  const bool under_way = candidacy_ || (standing_->Leading() && primary_->offer() == nullptr);
  if (!under_way || Mutated(Mutant::kOrderBeginsAnew)) {
    return StartCampaign(Epoch{}, Epoch{}, patience, std::move(done));
  }
  Answer({Code::kNoPromise, "another attempt has taken its place"});
  order_ = {EndOf(patience), std::move(done)};
}

MonoTime Election::EndOf(std::chrono::milliseconds patience) const {
  return patience == std::chrono::milliseconds::max() ? kForever : clock_->Now() + patience;
}

// A majority may be alive after all: then it elects this node, and nothing is lost.
void Election::Force(Done done) {
  if (!health_->ok()) return done(health_->failure());
  if (primary_->Leads()) {
    if (replica_->members().size() == 1) return done(Status::Ok());
    return done(
        {Code::kNoPromise,
         "this node is the primary, and a majority of the members has just answered: if they are gone, try again "
         "when it no longer serves; a single one is removed with FAHA.FORGET"});
  }
  const bool may_be_elected = !replica_->forked_off() && replica_->membership().Find(self_.id) != nullptr;
  // Who is not elected does not ask whether the primary is alive.
  if (!may_be_elected && receiver_->streaming()) {
    return done(Lives(standing_->primary()));
  }
  if (!replica_->whole())
    return done({Code::kNoPromise,
                 "the log of this node is not whole: what it lacks would be lost; start the others, or save what is "
                 "readable with faha-check --extract"});
  if (Status status = replica_->CheckDatabases(); !status.ok()) return done(status);
  EndTakeOver({Code::kNoPromise, "another attempt has taken its place"});
  if (may_be_elected && !Mutated(Mutant::kForcesAtOnce)) {
    Promote(std::chrono::duration_cast<std::chrono::milliseconds>(kForcePatience * options_->lease), std::move(done));
    order_.force = order_.done != nullptr;
    return;
  }
  Answer({Code::kNoPromise, "another attempt has taken its place"});
  order_ = {kForever, std::move(done)};
  LeadAlone();
}

// A campaign in a cluster of one, whose own promise is a majority.
void Election::LeadAlone() {
  auto done = std::exchange(order_.done, nullptr);
  if (Status status = replica_->SetForkedOff(false); !status.ok()) return done(status);
  EndCampaign({Code::kNoPromise, "another attempt has taken its place"});
  if (standing_->Leading()) StepDown("it is forced to lead alone");
  receiver_->Stop();
  const Status erased = Mutated(Mutant::kPlacedStays) ? Status::Ok() : log_->ErasePlaced();
  if (!erased.ok()) {
    (void)health_->Fail(erased);
    return done(erased);
  }
  health_->Note(
      LogLevel::kWarning,
      fmt::format(
          "forced to lead a cluster of this node alone: {} members leave it, and what they have acknowledged and "
          "this node never received (behind LSN {}) is lost; when they return they follow, and one that is refused "
          "(FORKED) holds writes that this node lacks",
          replica_->members().size() - (replica_->membership().Find(self_.id) != nullptr ? 1 : 0),
          log_->end().lsn.value));
  candidacy_ = {
      .campaign = {self_, Members{self_}, ForcedEpochAfter(std::max(voter_->promised(), follower_->refused_in())),
                   log_->end(), Epoch{}},
      .forced = true};
  order_ = {kForever, std::move(done)};
  Enter(PhaseEvent::kSeek);
  StepCampaign();
}

void Election::StartCampaign(Epoch interrupts, Epoch floor, std::chrono::milliseconds patience, Done done) {
  if (!replica_->whole()) {
    if (standing_->Leading()) StepDown("its log is not whole");
    if (done) done({Code::kNoPromise, "the log of this node is not whole yet: wait until it is in sync"});
    if (!receiver_->active()) receiver_->Start();
    return;
  }
  if (replica_->forked_off()) {
    if (standing_->Leading()) StepDown("the cluster has gone on without what it holds");
    if (done) done(replica_->CheckForkedOff());
    if (!receiver_->active()) receiver_->Start();
    return;
  }
  // Batches that are not applied yet are about to be applied.  If they are damaged, this must be found before others
  // have promised.
  const bool intact = log_->AreIntact(log_->end().lsn.value - std::min(engine_->applied(), log_->end().lsn).value);
  if (Status status = intact ? replica_->CheckDatabases() : pool_->damage(); !status.ok()) {
    if (standing_->Leading()) StepDown("it may not lead a later epoch");
    if (done) done(status);
    if (!receiver_->active()) receiver_->Start();
    return;
  }
  EndCampaign({Code::kNoPromise, "another attempt has taken its place"});
  if (standing_->Leading()) StepDown("it seeks a later epoch");
  Members members = replica_->members();
  if (members.empty()) members = {self_};
  candidacy_ = {.campaign = {self_, members, std::max(voter_->promised(), floor), log_->end(), interrupts}};
  order_ = {EndOf(patience), std::move(done)};
  inquiry_.Hurry();
  Enter(PhaseEvent::kSeek);
  StepCampaign();
}

void Election::EndCampaign(const Status& outcome) {
  inquiry_.Close();
  if (!candidacy_) return;
  Enter(PhaseEvent::kGiveUp);
  Answer(outcome);
}

void Election::GiveWay(const Status& outcome) {
  if (!order_.force) return EndCampaign(outcome);
  inquiry_.Close();
  if (candidacy_) Enter(PhaseEvent::kGiveUp);
}

void Election::Answer(const Status& outcome) {
  if (!order_.done) return;
  const auto done = std::exchange(order_.done, nullptr);
  order_.force = false;
  done(outcome);
}

Status Election::Lives(const Member& primary) const {
  return {Code::kNoPromise,
          fmt::format("{} is the primary and alive: use FAHA.FAILOVER there{}", primary.Redis().ToString(),
                      order_.force ? "; if it has lost its majority for good, force that node, or stop it" : "")};
}

bool Election::Promotable() const {
  const bool member = replica_->members().size() > 1 && replica_->membership().Find(self_.id) != nullptr;
  const bool lags = receiver_->streaming() && log_->end().lsn < replica_->heard_committed();
  // For a while, this node believes what the last primary said about its address: others should be elected first.
  const bool unreached =
      !follower_->contact().reached() &&
      (receiver_->streaming() || clock_->Now() - follower_->contact().heard_at() < 2 * options_->lease);
  return health_->ok() && replica_->whole() && !replica_->forked_off() && !replica_->hides_keys() && !unreached &&
         member && !lags;
}

}  // namespace faha
