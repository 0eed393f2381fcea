// Requests for votes that are held until it is known whether their candidate can be dialled.  Thread: main loop only.
#pragma once

#include <algorithm>
#include <vector>

#include "faha/clock.h"
#include "faha/fabric.h"
#include "replication/wire.h"

namespace faha {

struct HeldVote {
  LinkId link = LinkId::kNone;  // to the node that asks
  wire::PromiseRequest request;
  MonoTime end{0};
};

class HeldVotes {
 public:
  void Hold(HeldVote vote) { votes_.push_back(std::move(vote)); }
  void Drop(LinkId link) {
    std::erase_if(votes_, [link](const HeldVote& vote) { return vote.link == link; });
  }
  [[nodiscard]] bool For(const NodeId& candidate) const {
    return std::any_of(votes_.begin(), votes_.end(),
                       [&](const HeldVote& vote) { return vote.request.candidate.id == candidate; });
  }
  // The candidates whose votes must not be held any longer.
  [[nodiscard]] std::vector<NodeId> Late(MonoTime now) const {
    std::vector<NodeId> late;
    for (const HeldVote& vote : votes_) {
      if (now >= vote.end) late.push_back(vote.request.candidate.id);
    }
    return late;
  }
  // Removes and returns the held votes for `candidate`.
  std::vector<HeldVote> Take(const NodeId& candidate) {
    const auto others = std::stable_partition(
        votes_.begin(), votes_.end(), [&](const HeldVote& vote) { return vote.request.candidate.id == candidate; });
    std::vector<HeldVote> taken(votes_.begin(), others);
    votes_.erase(votes_.begin(), others);
    return taken;
  }

 private:
  std::vector<HeldVote> votes_;
};

}  // namespace faha
