// Does the address that a node announces lead to it?  Asked before it becomes a member: one that nobody can dial could
// be elected, and nobody could follow it.  See node.h.
#include <fmt/format.h>

#include "store/node.h"

namespace faha {

bool Node::Answers(const Member& member) {
  const MonoTime now = clock_->Now();
  if (probe_ && probe_->member != member) EndProbe();
  if (!probe_) probe_ = {.member = member};
  if (probe_->answers || now < probe_->next) return probe_->answers;
  fabric_->Close(std::exchange(probe_->link, LinkId::kNone));
  if (probe_->next != MonoTime{0}) {
    probe_->told = true;
    Remember(
        {Code::kUnavailable,
         fmt::format("{} is in sync and is not made a member there, for nothing that answers at {} is that node: see "
                     "faha.announce-host and faha.port of it, and what stands between the two",
                     member.Redis().ToString(), member.Replication().ToString())});
  }
  probe_->next = now + options_.lease;
  probe_->link = fabric_->Dial(member.Replication());
  return false;
}

void Node::EndProbe() {
  if (probe_) fabric_->Close(probe_->link);
  probe_.reset();
}

bool Node::OnProbeFrame(std::span<const std::byte> head) {
  const auto reply = wire::Decode<wire::StateReply>(head);
  if (!reply) return false;
  probe_->answers = reply->from == probe_->member.id;
  if (probe_->answers && probe_->told) last_problem_ = {};
  fabric_->Close(std::exchange(probe_->link, LinkId::kNone));
  return true;
}

}  // namespace faha
