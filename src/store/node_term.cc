// How a term begins and ends.  See node.h.
#include <fmt/format.h>

#include "base/check.h"
#include "store/node.h"

namespace faha {

// To be called when anything has arrived: it may have moved the commit LSN, the lease or the membership.
void Node::Progress() {
  if (!health_.ok()) return;
  if (standing_.Fetching() && replica_.whole() && log_->end() >= candidacy_->campaign.best_end()) BecomePrimary();
  primary_->Progress();
}

void Node::BecomePrimary() {
  const Epoch epoch = candidacy_->campaign.epoch();
  const bool forced = candidacy_->forced;
  receiver_->Stop();
  engine_->ApplyTail();
  if (!pool_->damage().ok()) return EndCampaign(pool_->damage());
  if (Status status = pool_->SetLeader(epoch, self_.id); !status.ok()) {
    (void)health_.Fail(status);
    return;
  }
  Enter(PhaseEvent::kCatchUp);
  primary_->Begin(epoch, forced);
}

void Node::StepDown(std::string_view why) {
  primary_->Depose();
  if (standing_.Leading()) {
    health_.Note(LogLevel::kWarning, fmt::format("no longer primary of epoch {}: {}", log_->end().epoch.value, why));
    replica_.DropUnsealed();
    Enter(PhaseEvent::kDepose);
    Answer({Code::kFenced, "this node was deposed before it served"});
  }
  ForgetPrimary();
}

// Forgets the primary, even if it was this node: there will be another one.
void Node::ForgetPrimary() {
  log_->LimitSegments(UINT32_MAX);  // the next primary decides where a batch goes
  probes_->EndAll();
  standing_.ForgetPrimary();
  follower_->ForgetPrimary();
  space_->Abandon();
  primary_->End();
}

// --- What a primary tells.

void Node::LeaseCounted(bool hears) {
  if (hears) {
    if (!candidacy_) inquiry_->Close();
  } else if (inquiry_->Due()) {
    // This node is cut off from a majority: some member may know of a newer primary.
    AskMembers(replica_.members());
  }
}

void Node::BeginsToServe() {
  Answer(Status::Ok());
  observer_->OnPrimary();
}

void Node::Leads() { Answer(Status::Ok()); }

}  // namespace faha
