// Which node is to lead: this node's campaigns, a role that is offered, and the loss of a primary.  This class alone
// begins and ends what this node is, so Primary and Follower report to it.  Thread: main loop only.
//   election.cc           how a role begins and ends, and orders to change it
//   election_campaign.cc  campaigns, and what members answer
//   election_hand_over.cc planned changes, and a primary that is missed
// Invariant: before a promise is answered, the promise is persistent, the old primary has no access to this node's
// memory any more, and the log holds every batch that the old primary may have counted without this node's processor.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "cluster/address_book.h"
#include "cluster/campaign.h"
#include "store/committer.h"
#include "store/follower.h"
#include "store/inquiry.h"
#include "store/part_context.h"
#include "store/primary.h"
#include "store/probes.h"
#include "store/space.h"

namespace faha {

class Election final : public Primary::Listener, public Follower::Owner {
 public:
  using Done = std::function<void(const Status&)>;

  // All of them must outlive this.
  Election(const PartContext& shared, Standing* standing, Voter* voter, AddressBook* book, Committer* committer,
           Probes* probes);
  // The parts that report to this one.  To be called before anything else.
  void Attach(Primary* primary, Space* space, Follower* follower);

  // --- Orders.  See Leadership.
  void Promote(std::chrono::milliseconds patience, Done done);
  void TakeOver(std::chrono::milliseconds patience, Done done);
  void Force(Done done);
  void Follow(const Endpoint& primary);
  // `interrupts`: see Campaign.  `floor`: an epoch that is too low.  `done`: may be null.
  void StartCampaign(Epoch interrupts, Epoch floor, std::chrono::milliseconds patience, Done done);
  // Nothing happens if this node does not campaign.
  void EndCampaign(const Status& outcome) override;
  // Another candidate is promised an epoch.  An order to lead by force stands.
  void GiveWay(const Status& outcome);
  void StepDown(std::string_view why);
  // Persists the promise, takes the old primary's access away and absorbs what the old primary has placed with it.
  // Errors: IoError - the node has failed.
  Status GivePromise(Epoch epoch, const NodeId& candidate);
  // This node has failed.
  void OnFailure();

  // --- What others have heard.
  // A node has said who leads.  True if that is the primary of a later epoch: from now on this node seeks it.
  bool YieldsTo(Epoch promised, const Member& primary);
  // A member has promised `epoch`, which is later than this primary's.
  void OnLaterEpoch(Epoch epoch);
  // A candidate may not lead with its log, and this node may.
  void LeadInstead();

  // --- Time.
  void StepTakeOver();
  void StepOffer();
  // Of a backup that misses its primary.
  void StepSilence();
  // To be called when anything has arrived: it may have decided a campaign, completed the log that is fetched, or moved
  // the commit LSN, the lease or the membership.
  void Step();

  // What this node tells when it asks others.
  [[nodiscard]] std::vector<std::byte> StateRequest() const;

  // --- The links to members that are asked.
  [[nodiscard]] bool Owns(LinkId link) const { return inquiry_.Owns(link); }
  void OnConnect(LinkId link, std::span<const std::byte> request) { inquiry_.OnConnect(link, request); }
  // False: this does not belong there, and the link is not owned any more.
  bool OnFrame(LinkId link, std::span<const std::byte> head);
  void OnClose(LinkId link);

  // --- How it stands.
  // Nothing keeps this backup from leading.
  [[nodiscard]] bool Promotable() const;
  [[nodiscard]] bool MissesPrimary() const;
  // While this node campaigns: why it has not won yet, one line.
  [[nodiscard]] std::string Obstacle() const { return candidacy_->campaign.Obstacle(); }

 private:
  // --- Of a primary and a follower.
  void LeaseCounted(bool hears) override;
  void BeginsToServe() override;
  void Leads() override { Answer(Status::Ok()); }
  [[nodiscard]] const Member& BestLog() const override { return candidacy_->campaign.best(); }
  void LostBestLog() override;
  void FoundPrimary(const Member& primary) override { EndCampaign(Lives(primary)); }
  void HandOverOffered(Epoch epoch) override;
  void ReleaseFreed() override { space_->ReleaseFreed(); }

  void Enter(PhaseEvent event);
  void BecomePrimary();
  void ForgetPrimary();
  void Answer(const Status& outcome);
  // Why an order to lead is refused.
  [[nodiscard]] Status Lives(const Member& primary) const;
  // Answers the caller that has ordered it, and makes this node a cluster of its own.
  void LeadAlone();
  [[nodiscard]] MonoTime EndOf(std::chrono::milliseconds patience) const;
  void StepCampaign();
  void AskForPromises();
  void AskMembers(const Members& members);
  void DialMembers(const Members& members);
  void RequestPromises();
  void FetchFromBest();
  bool OnMemberFrame(LinkId link, std::span<const std::byte> head);
  bool OnAnswer(NodeId peer, std::span<const std::byte> head);
  void OnWrongAnswer(NodeId peer);
  void EndTakeOver(const Status& outcome);
  // This backup could become the primary, but does nothing now to become it.
  [[nodiscard]] bool DependsOnPrimary() const;
  // The same, and this backup has heard no primary for a lease.
  [[nodiscard]] bool Silent() const;
  // A majority misses a primary: this node, and the members whose last answer said so.
  [[nodiscard]] bool MajorityMisses() const;

  static constexpr MonoTime kForever = MonoTime::max();

  const Options* options_;
  StoreObserver* observer_;
  const Clock* clock_;
  Health* health_;
  Standing* standing_;
  Replica* replica_;
  Voter* voter_;
  Pool* pool_;
  Log* log_;
  Engine* engine_;
  AddressBook* book_;
  Committer* committer_;
  Probes* probes_;
  Primary* primary_ = nullptr;
  Space* space_ = nullptr;
  Follower* follower_ = nullptr;
  Receiver* receiver_ = nullptr;  // the follower's
  Member self_;

  Inquiry inquiry_;
  // Before it campaigns, it may ask a living primary to hand over:
  struct Heir {
    std::chrono::milliseconds patience;  // for the campaign that follows if the primary does not hand over
    Done done;
    MonoTime end{0}, next_ask{0};
  };
  std::optional<Heir> heir_;
  // A campaign and what belongs to it.  All of it ends together, in Enter().
  struct Candidacy {
    Campaign campaign;
    bool forced = false;      // this node's promise is enough, and it becomes the only member
    Epoch asked{};            // the epoch for which promises have been asked
    MonoTime asked_since{0};  // when they were first asked for
  };
  std::optional<Candidacy> candidacy_;
  // The caller that has ordered this node to lead, and how long this may take.
  struct Order {
    MonoTime end{0};
    Done done;
    bool force = false;  // if no majority elects this node in that time, it leads alone
  };
  Order order_;
};

}  // namespace faha
