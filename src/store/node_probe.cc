// Which nodes are dialled to find out whether they can be reached, and what follows from the answer.  See node.h and
// probes.h.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "store/node.h"

namespace faha {

// A primary probes its backups in sync.
void Node::TendProbes() {
  for (const NodeId& candidate : held_votes_.Late(clock_->Now())) {
    probes_->GiveUp(candidate);
    SettleVotes(candidate);
  }
  if (!standing_.Leading()) return;
  for (const auto& shipper : committer_->shippers()) {
    const Member& backup = shipper->receiver();
    if (!shipper->in_sync || shipper->fetch()) continue;
    const bool reached = probes_->ReachOf(backup) != Reach::kNot;
    if (std::exchange(shipper->reached, reached) != reached) primary_->HurryHeartbeat();
    if (reached || !probes_->TellOnce(backup.id)) continue;
    health_.Remember(
        {Code::kUnavailable,
         fmt::format(
             "nothing that answers at {} is {}, which is in sync: it may not lead, and no vote can be "
             "asked of it there; see faha.announce-host, faha.peer-host and faha.port of it, and what stands between "
             "the two",
             backup.Replication().ToString(), backup.Redis().ToString())});
  }
  probes_->KeepOnly([&](const NodeId& node) {
    const Shipper* shipper = committer_->Of(node);
    return held_votes_.For(node) || (shipper != nullptr && shipper->in_sync);
  });
}

bool Node::OnProbeFrame(LinkId link, std::span<const std::byte> head) {
  const auto reply = wire::Decode<wire::StateReply>(head);
  if (!reply) return false;
  OnProbed(probes_->OnAnswer(link, reply->from));
  return true;
}

void Node::OnProbed(const Probes::Outcome& outcome) {
  if (outcome.mended) health_.Mended();
  SettleVotes(outcome.node);
}

// Enough is known about `candidate` now to answer the nodes that asked for a vote for it.
void Node::SettleVotes(const NodeId& candidate) {
  for (const HeldVote& held : held_votes_.Take(candidate)) AnswerPromise(held.link, held.request);
  if (!standing_.Leading()) probes_->End(candidate);  // the next request dials again
}

}  // namespace faha
