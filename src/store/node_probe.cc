// Does the address that a node announces lead to it?  Asked before it becomes a member, while it is in sync, and before
// it is promised an epoch: one that nobody can dial could be elected, and nobody could follow it.  See node.h.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "store/node.h"

namespace faha {

// What is known of it.  Who asks, and goes on asking, has it dialled, and again each lease while it is not reached.
Node::Reach Node::ReachOf(const Member& member) {
  const MonoTime now = clock_->Now();
  Probe& probe = probes_[member.id];
  if (probe.member != member) {
    fabric_->Close(probe.link);
    probe = {.member = member};
  }
  if (probe.reach == Reach::kReached || now < probe.next) return probe.reach;
  if (probe.next != MonoTime{0}) probe.reach = Reach::kNot;
  fabric_->Close(probe.link);
  probe.next = now + options_.lease;
  probe.link = fabric_->Dial(member.Replication());
  return probe.reach;
}

// If it was reached longer ago than a lease it is dialled anew.  Meanwhile peers speak.
bool Node::ReachedNow(const Member& member) {
  const Member asked = member;
  const auto known = probes_.find(asked.id);
  if (known != probes_.end() && known->second.reach == Reach::kReached &&
      clock_->Now() - known->second.since > options_.lease) {
    EndProbe(asked.id);
  }
  const MonoTime end = clock_->Now() + std::min<MonoTime>(options_.persist_timeout, options_.lease / 2);
  while (Leading() && ReachOf(asked) == Reach::kUnknown && clock_->Now() < end) WaitForPeers(end);
  Probe& probe = probes_[asked.id];
  if (probe.reach == Reach::kUnknown) probe.reach = Reach::kNot;
  for (const auto& shipper : committer_->shippers()) {
    if (shipper->receiver().id == asked.id) shipper->reached = probe.reach == Reach::kReached;
  }
  return probe.reach == Reach::kReached;
}

// A primary's backups in sync are what it asks about.
void Node::TendProbes() {
  std::vector<NodeId> late;
  for (const HeldVote& held : held_votes_) {
    if (clock_->Now() >= held.end) late.push_back(held.request.candidate.id);
  }
  for (const NodeId& candidate : late) {
    probes_[candidate].reach = Reach::kNot;
    SettleVotes(candidate);
  }
  if (!Leading()) return;
  for (const auto& shipper : committer_->shippers()) {
    const Member& backup = shipper->receiver();
    if (!shipper->in_sync || shipper->fetch()) continue;
    const bool reached = ReachOf(backup) != Reach::kNot;
    if (std::exchange(shipper->reached, reached) != reached) next_heartbeat_ = MonoTime{0};
    Probe& probe = probes_[backup.id];
    if (reached || probe.told) continue;
    probe.told = true;
    Remember(
        {Code::kUnavailable,
         fmt::format(
             "nothing that answers at {} is {}, which is in sync: it may not lead, and no vote can be "
             "asked of it there; see faha.announce-host, faha.peer-host and faha.port of it, and what stands between "
             "the two",
             backup.Replication().ToString(), backup.Redis().ToString())});
  }
  std::erase_if(probes_, [&](const auto& entry) {
    const Shipper* shipper = committer_->Of(entry.first);
    const bool voted = std::any_of(held_votes_.begin(), held_votes_.end(),
                                   [&](const HeldVote& held) { return held.request.candidate.id == entry.first; });
    const bool goes_on = voted || (shipper != nullptr && shipper->in_sync);
    if (!goes_on) fabric_->Close(entry.second.link);
    return !goes_on;
  });
}

void Node::EndProbe(const NodeId& node) {
  const auto found = probes_.find(node);
  if (found == probes_.end()) return;
  fabric_->Close(found->second.link);
  probes_.erase(found);
}

void Node::EndProbes() {
  for (const auto& [id, probe] : probes_) fabric_->Close(probe.link);
  probes_.clear();
}

Node::Probe* Node::ProbeOf(LinkId link) {
  const auto found =
      std::find_if(probes_.begin(), probes_.end(), [&](const auto& entry) { return entry.second.link == link; });
  return found == probes_.end() ? nullptr : &found->second;
}

bool Node::OnProbeFrame(Probe& probe, std::span<const std::byte> head) {
  const auto reply = wire::Decode<wire::StateReply>(head);
  if (!reply) return false;
  fabric_->Close(probe.link);
  OnProbeEnd(probe, reply->from == probe.member.id ? Reach::kReached : Reach::kNot);
  return true;
}

void Node::OnProbeEnd(Probe& probe, Reach reach) {
  probe.link = LinkId::kNone;
  probe.reach = reach;
  probe.since = clock_->Now();
  if (reach == Reach::kReached && probe.told) last_problem_ = {};
  SettleVotes(NodeId{probe.member.id});
}

// What is known now of `candidate` is enough to answer who asked for a vote for it.
void Node::SettleVotes(const NodeId& candidate) {
  std::vector<HeldVote> settled;
  std::erase_if(held_votes_, [&](HeldVote& held) {
    if (held.request.candidate.id != candidate) return false;
    settled.push_back(held);
    return true;
  });
  for (const HeldVote& held : settled) AnswerPromise(held.link, held.request);
  if (!Leading()) EndProbe(candidate);  // the next one is asked anew
}

}  // namespace faha
