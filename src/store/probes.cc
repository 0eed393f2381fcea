#include "store/probes.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace faha {

Reach Probes::ReachOf(const Member& member) {
  const MonoTime now = clock_->Now();
  Probe& probe = probes_[member.id];
  if (probe.member != member) {
    fabric_->Close(probe.link);
    probe = {.member = member};
  }
  if (probe.reach == Reach::kReached || now < probe.next) return probe.reach;
  if (probe.next != MonoTime{0}) probe.reach = Reach::kNot;
  fabric_->Close(probe.link);
  probe.next = now + options_->lease;
  probe.link = fabric_->Dial(member.Replication());
  return probe.reach;
}

void Probes::Refresh(const NodeId& node) {
  const auto known = probes_.find(node);
  if (known == probes_.end() || known->second.reach != Reach::kReached) return;
  if (clock_->Now() - known->second.since > options_->lease) End(node);
}

bool Probes::TellOnce(const NodeId& node) { return !std::exchange(probes_[node].told, true); }

void Probes::End(const NodeId& node) {
  const auto found = probes_.find(node);
  if (found == probes_.end()) return;
  fabric_->Close(found->second.link);
  probes_.erase(found);
}

void Probes::EndAll() {
  for (const auto& [id, probe] : probes_) fabric_->Close(probe.link);
  probes_.clear();
}

void Probes::KeepOnly(const std::function<bool(const NodeId&)>& goes_on) {
  std::erase_if(probes_, [&](const auto& entry) {
    if (goes_on(entry.first)) return false;
    fabric_->Close(entry.second.link);
    return true;
  });
}

bool Probes::Owns(LinkId link) const {
  return link != LinkId::kNone &&
         std::any_of(probes_.begin(), probes_.end(), [&](const auto& entry) { return entry.second.link == link; });
}

Probes::Probe& Probes::With(LinkId link) {
  const auto found =
      std::find_if(probes_.begin(), probes_.end(), [&](const auto& entry) { return entry.second.link == link; });
  FAHA_CHECK(found != probes_.end(), "the link is a probe's");
  return found->second;
}

Probes::Outcome Probes::OnAnswer(LinkId link, const NodeId& from) {
  fabric_->Close(link);
  Probe& probe = With(link);
  return Settle(probe, from == probe.member.id ? Reach::kReached : Reach::kNot);
}

Probes::Outcome Probes::OnClose(LinkId link) { return Settle(With(link), Reach::kNot); }

Probes::Outcome Probes::Settle(Probe& probe, Reach reach) const {
  probe.link = LinkId::kNone;
  probe.reach = reach;
  probe.since = clock_->Now();
  return {probe.member.id, reach == Reach::kReached && probe.told};
}

}  // namespace faha
