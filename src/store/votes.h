// This node as a voter: what it tells candidates, and whether those that would lead can be dialled.
// Thread: main loop only.
#pragma once

#include <span>

#include "cluster/address_book.h"
#include "store/committer.h"
#include "store/election.h"
#include "store/follower.h"
#include "store/held_votes.h"
#include "store/part_context.h"
#include "store/primary.h"
#include "store/probes.h"

namespace faha {

class Votes {
 public:
  // All of them must outlive this.
  Votes(const PartContext& shared, AddressBook* book, Committer* committer, Probes* probes, Primary* primary,
        Follower* follower, Election* election);

  void AnswerState(LinkId link, const wire::StateRequest& request);
  void AnswerPromise(LinkId link, const wire::PromiseRequest& request);
  // The node that asks over this link does not wait any more.
  void Drop(LinkId link) { held_.Drop(link); }

  void TendProbes();
  // Of a link that Probes owns.  False: this does not belong there.
  bool OnProbeFrame(LinkId link, std::span<const std::byte> head);
  void OnProbed(const Probes::Outcome& outcome);

 private:
  [[nodiscard]] Refusal JudgeRequest(const wire::PromiseRequest& request) const;
  void SettleVotes(const NodeId& candidate);
  // Of a primary: who may be in another part of the cluster.
  [[nodiscard]] Members Away() const;

  const Options* options_;
  const Clock* clock_;
  Fabric* fabric_;
  Health* health_;
  const Standing* standing_;
  const Replica* replica_;
  const Voter* voter_;
  Pool* pool_;
  AddressBook* book_;
  Committer* committer_;
  Probes* probes_;
  Primary* primary_;
  Follower* follower_;
  Election* election_;
  Member self_;

  HeldVotes held_;
};

}  // namespace faha
