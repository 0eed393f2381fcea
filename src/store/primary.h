// This node as the primary: whether it serves, what its turns have written and read, what is committed, who the members
// are, and the offer of its role to a backup.  Thread: main loop only.
//   primary.cc           whether it serves, and the term: its lease, its members, its begin and end
//   primary_commit.cc    the turn and its commit
//   primary_hand_over.cc the offer of the role to another node
// Invariant: if this node steps down while writes are unacknowledged, the next Commit() fails.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>
#include <vector>

#include "cluster/lease.h"
#include "store/committer.h"
#include "store/part_context.h"
#include "store/probes.h"
#include "store/turn.h"

namespace faha {

class Primary {
 public:
  // The heir of an offered role has this time.
  static constexpr std::chrono::milliseconds kHandOverPatience{5000};
  // The main loop, which does not run while a commit waits.
  class Loop {
   public:
    virtual ~Loop() = default;
    // Lets peers speak, and waits for them for at most `longest`.
    virtual void HearPeers(MonoTime longest) = 0;
    virtual void Tick() = 0;
    // A turn that wrote something is committed.
    virtual void TurnCommitted() = 0;
  };
  // Whoever has made this node the primary.
  class Listener {
   public:
    virtual ~Listener() = default;
    // `hears`: a majority is known to be in this epoch.
    virtual void LeaseCounted(bool hears) = 0;
    // For the first time in this term, what this node had when it was elected is committed.
    virtual void BeginsToServe() = 0;
    // The same, and this node holds its lease.
    virtual void Leads() = 0;
  };
  struct Offer {
    Member heir;
    MonoTime end;  // when this node takes the offer back
    std::function<void(const Status&)> done;
    Epoch floor{};  // the latest epoch that a peer has promised meanwhile, as far as this node heard
  };
  struct Counts {
    std::uint64_t commits = 0, commit_failures = 0;
  };

  // All of them must outlive this.
  Primary(const PartContext& shared, Committer* committer, Probes* probes, Loop* loop, Listener* listener);

  // --- Does it serve?
  // Ok, or why nothing may be read or written now.  `not_primary`: the code for a node that is not the primary;
  // kReadOnly: the question is about a write.
  Status CheckServing(Code not_primary);
  // Are there as many copies as faha.min-acks asks for?
  [[nodiscard]] Status CheckCopies() const;
  [[nodiscard]] bool Serving() const { return health_->ok() && Leads() && !Stalled() && committer_->EnoughCopies(); }
  // It is the primary, and a majority is known to be in its epoch.
  [[nodiscard]] bool Leads() const { return standing_->Leading() && committer_->Serving() && MajorityHears(); }
  [[nodiscard]] bool LeaseHeld() const { return (!offer_ && MajorityHears()) || term_.lease.alone(); }
  // Callers are refused until a majority answers again.
  [[nodiscard]] bool LeaseGivenUp() const { return term_.lease.given_up(); }
  // A Commit() has failed, and what it should have committed is not committed yet.
  [[nodiscard]] bool Stalled() const { return committer_->committed() < term_.stalled_until; }
  // A primary that was elected a moment ago gets time to be heard: electing another one meanwhile would only prolong
  // the time in which nobody serves.
  [[nodiscard]] bool IsNotToBeReplaced() const {
    return Leads() || (standing_->Leading() && clock_->Now() - term_.elected_at < options_->lease);
  }
  // No majority was heard for `time` after the election and the last lease.
  [[nodiscard]] bool LeadsNobodyFor(MonoTime time) const {
    return clock_->Now() - std::max(term_.lease.end(), term_.elected_at) > time;
  }

  // --- The turn.
  void Read() { turn_.Read(); }
  void ReadAtBackup() { turn_.ReadAtBackup(); }
  // Before and after a change of the keyspace.  `appended`: Log::appended() before it; `status`: how it ended.
  Status CheckChange() const;
  Status Changed(std::uint64_t appended, Status status);
  void EndUnit();
  [[nodiscard]] bool NeedsCommit() const { return turn_.NeedsCommit() || engine_->misread(); }
  // The turn has changes that no Commit() has taken.
  [[nodiscard]] bool Wrote() const { return turn_.wrote(); }
  Status Commit();
  Status CommitInside();
  // Ships the batches that were sealed.
  void Ship();
  // Seals, ships and drains what was appended.
  Status PersistOpenBatch();
  // Lets peers speak for a while.
  void WaitForPeers(MonoTime deadline);
  // Takes in what peers have sent already.
  void HearPeers() { loop_->HearPeers(MonoTime{0}); }
  [[nodiscard]] bool waiting() const { return waiting_; }

  // --- The term.
  // A majority has promised `epoch`, and the log reaches as far as its best one.  `forced`: this node leads alone.
  void Begin(Epoch epoch, bool forced);
  // What the turn has written and read before now must not be told.
  void Depose() { turn_.Depose(); }
  void End();
  // To be called when anything has arrived: it may have moved the commit LSN, the lease or the membership.
  void Progress();
  void Heartbeat(MonoTime now);
  void HurryHeartbeat() { next_heartbeat_ = MonoTime{0}; }
  // Errors: NoSpace, and those of a failure of this node.
  Status AppendConfiguration(Configuration next, Head head = Head::kHot);
  // The next configuration if these are the members.
  [[nodiscard]] Configuration With(Members members) const;
  // Errors: Unavailable - it stays a member, or was none and was not left out either.
  Status Forget(const Endpoint& member);
  void NoteLost(const std::vector<Endpoint>& backups, std::string_view why);

  // --- The offer of the role.
  void HandOver(const std::optional<Endpoint>& target, std::function<void(const Status&)> done);
  // The role is offered to a backup, the heir; null: it is not.
  [[nodiscard]] const Offer* offer() const { return offer_ ? &*offer_ : nullptr; }
  // While the role is offered: a peer has promised `epoch`.
  void HeardOfEpoch(Epoch epoch) { offer_->floor = std::max(offer_->floor, epoch); }
  void EndOffer(const Status& outcome);

  [[nodiscard]] const Counts& counts() const { return counts_; }

 private:
  // The feature level of a configuration with these members.
  [[nodiscard]] FeatureLevel LevelOf(const Members& members) const;
  // Always returns Fenced: the answer in a turn in which this node was deposed.
  static Status DeposedInTurn();
  Status FailTurn();
  Status WaitAcknowledged();
  Status RenewLease();
  // Is a majority known to be in this epoch?  If so, this node holds the lease, unless the role is offered to another
  // node.
  [[nodiscard]] bool MajorityHears() const;
  void CountLease();
  void AdmitMember();
  void RaiseLevel();
  // When it returns Ok, this node serves and nothing waits for a commit.  Errors: NotPrimary, and those of a commit.
  Status SettleTurn();
  Status SettleForHeir();
  [[nodiscard]] Shipper* BestHeir(const std::optional<Endpoint>& target) const;
  bool ReachedNow(const Member& member);

  const Options* options_;
  const Clock* clock_;
  Health* health_;
  const Standing* standing_;
  Replica* replica_;
  const Voter* voter_;
  Pool* pool_;
  Log* log_;
  Engine* engine_;
  Committer* committer_;
  Probes* probes_;
  Loop* loop_;
  Listener* listener_;
  Member self_;

  Turn turn_;
  // A term begins and ends as a whole.
  struct Term {
    MonoTime elected_at{0};
    bool announced = false;  // BeginsToServe was called
    Lease lease;
    Lsn stalled_until;                     // a Commit() failed: nothing is served until this is committed
    std::uint64_t acknowledged_bytes = 0;  // so many of Log::sealed_bytes() have been acknowledged
  };
  Term term_;
  std::optional<Offer> offer_;
  bool waiting_ = false;  // this node is in WaitForPeers()
  MonoTime next_heartbeat_{0};
  Counts counts_;  // since the start
};

}  // namespace faha
