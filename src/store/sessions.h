// The links of this node: who is at the other end of each, and which part hears what comes over it.  An accepted link
// is a guest's until its first message tells what the link is for.  Thread: main loop only.
// Invariant: a link has one owner.  Only Of() looks for it.
#pragma once

#include <map>
#include <span>

#include "store/committer.h"
#include "store/election.h"
#include "store/follower.h"
#include "store/part_context.h"
#include "store/primary.h"
#include "store/probes.h"
#include "store/source.h"
#include "store/votes.h"

namespace faha {

class Sessions final : public FabricHandler {
 public:
  // All of them must outlive this.
  Sessions(const PartContext& shared, Committer* committer, Probes* probes, Primary* primary, Source* source,
           Follower* follower, Election* election, Votes* votes);

  // Closes the links of guests that have said nothing for a while.
  void DropSilentGuests();

 private:
  enum class Who {
    kNobody,
    kSource,    // this node follows it or fetches from it
    kMember,    // it is asked for its state or its promise
    kProbed,    // it is dialled to find out whether that leads to it
    kReceiver,  // it follows this node or fetches from it
    kGuest,
  };
  [[nodiscard]] Who Of(LinkId link) const;

  void OnAccept(LinkId link, const Endpoint& peer, Lane lane) override;
  void OnConnect(LinkId link) override;
  void OnFrame(LinkId link, std::span<const std::byte> head, std::span<const std::byte> body) override;
  void OnPlaced(LinkId link, std::uint64_t place, std::span<const std::byte> body) override;
  void OnFlushed(LinkId link, std::uint64_t count) override { source_->OnFlushed(link, count); }
  void OnClose(LinkId link, const Status& reason) override;
  void OnPollEnd() override;
  // False: this does not belong there.
  bool OnGuestFrame(LinkId link, std::span<const std::byte> head);
  void OnStrangerFrame(LinkId link, std::span<const std::byte> head);
  void AnswerFollow(LinkId link, const wire::FollowRequest& request);

  const Clock* clock_;
  Fabric* fabric_;
  Health* health_;
  Pool* pool_;
  Committer* committer_;
  Probes* probes_;
  Primary* primary_;
  Source* source_;
  Receiver* receiver_;  // the follower's
  Election* election_;
  Votes* votes_;

  struct Guest {
    Endpoint peer;
    Lane lane = Lane::kControl;
    MonoTime heard{0};  // when it last spoke
  };
  std::map<LinkId, Guest> guests_;
};

}  // namespace faha
