// Does the address that a node announces lead to it?  Asked before it becomes a member: one that nobody can dial could
// be elected, and nobody could follow it.  See node.h.
#include <fmt/format.h>

#include <algorithm>

#include "store/node.h"

namespace faha {

bool Node::Answers(const Member& member) {
  const MonoTime now = clock_->Now();
  Probe& probe = probes_[member.id];
  if (probe.member != member) {
    fabric_->Close(probe.link);
    probe = {.member = member};
  }
  if (probe.answers || now < probe.next) return probe.answers;
  fabric_->Close(std::exchange(probe.link, LinkId::kNone));
  if (probe.next != MonoTime{0}) {
    probe.told = true;
    Remember(
        {Code::kUnavailable,
         fmt::format("{} is in sync and is not made a member there, for nothing that answers at {} is that node: see "
                     "faha.announce-host, faha.peer-host and faha.port of it, and what stands between the two",
                     member.Redis().ToString(), member.Replication().ToString())});
  }
  probe.next = now + options_.lease;
  probe.link = fabric_->Dial(member.Replication());
  return false;
}

void Node::EndProbes(const Members& candidates) {
  std::erase_if(probes_, [&](const auto& entry) {
    const bool goes_on =
        std::any_of(candidates.begin(), candidates.end(), [&](const Member& m) { return m.id == entry.first; });
    if (!goes_on) fabric_->Close(entry.second.link);
    return !goes_on;
  });
}

Node::Probe* Node::ProbeOf(LinkId link) {
  const auto found =
      std::find_if(probes_.begin(), probes_.end(), [&](const auto& entry) { return entry.second.link == link; });
  return found == probes_.end() ? nullptr : &found->second;
}

bool Node::OnProbeFrame(Probe& probe, std::span<const std::byte> head) {
  const LinkId link = std::exchange(probe.link, LinkId::kNone);
  const auto reply = wire::Decode<wire::StateReply>(head);
  if (!reply) return false;
  probe.answers = reply->from == probe.member.id;
  if (probe.answers && probe.told) last_problem_ = {};
  fabric_->Close(link);
  return true;
}

}  // namespace faha
