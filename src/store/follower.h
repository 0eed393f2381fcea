// This node as the receiver of a log: where it looks for a source, from which place in the log it follows, and what
// the source sends.  The source is a primary, or, while this node is a candidate that has won, the node with the best
// log.  Thread: main loop only.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "cluster/address_book.h"
#include "cluster/contact.h"
#include "replication/receiver.h"
#include "replication/wire.h"
#include "store/freshness.h"
#include "store/part_context.h"

namespace faha {

class Follower final : private BatchSink {
 public:
  // Whoever decides whether this node follows, campaigns or leads.
  class Owner {
   public:
    virtual ~Owner() = default;
    // While fetching: the node that has the best log.
    [[nodiscard]] virtual const Member& BestLog() const = 0;
    // The same: that node is gone, and its log was not read.
    virtual void LostBestLog() = 0;
    // Another node is the primary, or is to become it.  Nothing happens if this node does not campaign.
    virtual void EndCampaign(const Status& outcome) = 0;
    // This node follows `primary`, so it does not campaign any more.
    virtual void FoundPrimary(const Member& primary) = 0;
    // The primary of `epoch` offers its role to this node.
    virtual void HandOverOffered(Epoch epoch) = 0;
    // More is known to be committed: segments may be given back.
    virtual void ReleaseFreed() = 0;
  };
  // All of them must outlive this.  `remark`: why batches cannot go over RDMA although they should; may be empty.
  Follower(const PartContext& shared, Standing* standing, Voter* voter, AddressBook* book, std::string remark,
           Owner* owner);

  // Looks for this primary first.
  void Seek(const Member& primary);
  // Somebody says that the primary's Redis is there.
  void Suggest(const Endpoint& primary);
  // This node has promised an epoch: the primary may be the node that it has chosen.
  void Promised() { promised_at_ = clock_->Now(); }
  // There will be another primary: the time in which it must be heard begins.
  void ForgetPrimary() { contact_.Begin(clock_->Now()); }

  // The links to the source.
  [[nodiscard]] Receiver& receiver() { return receiver_; }
  [[nodiscard]] const Receiver& receiver() const { return receiver_; }
  [[nodiscard]] const Contact& contact() const { return contact_; }
  // The highest epoch in which a primary has refused this node since its start.
  [[nodiscard]] Epoch refused_in() const { return refused_in_; }
  // Does this backup know that what it holds is recent enough for clients?
  [[nodiscard]] bool MayBeRead() const;
  // Everything that was acknowledged at this time is applied.
  [[nodiscard]] MonoTime current_at() const { return freshness_.current_at(); }
  // Why batches do not go over RDMA although they should; may be empty.
  [[nodiscard]] const std::string& remark() const { return remark_; }

 private:
  std::optional<Endpoint> NextSource() override;
  wire::FollowRequest Introduce() override;
  Status Accept(const wire::FollowReply& reply) override;
  // The newest batch that holds what a client has written, or may have held it; 0: none does.
  [[nodiscard]] LogEnd LastWritten() const;
  Status JoinCluster(const wire::FollowReply& reply);
  void Refused(const wire::FollowReply& reply) override;
  Status Land(const wire::Batch& batch, std::span<const std::byte> bytes) override;
  Status Gap(Lsn whole_at, std::span<const std::uint64_t> in_use) override;
  Result<wire::Ack> Persist() override;
  void Committed(Lsn lsn) override { replica_->HearCommitted(lsn); }
  bool Heard(Epoch epoch, Lsn committed, MonoTime as_of) override;
  void Lost(const Status& reason) override;
  void FellBack(const Status& reason) override;
  void Absorb() override;
  void HandOverOffered(Epoch epoch) override { owner_->HandOverOffered(epoch); }
  [[nodiscard]] bool MayLead() const override { return !replica_->hides_keys() && contact_.reached(); }
  void Reached(bool reached) override { contact_.SetReached(reached); }

  const Options* options_;
  StoreObserver* observer_;
  const Clock* clock_;
  Fabric* fabric_;
  Health* health_;
  Standing* standing_;
  Replica* replica_;
  Voter* voter_;
  Pool* pool_;
  Log* log_;
  Engine* engine_;
  AddressBook* book_;
  Owner* owner_;
  Member self_;

  Receiver receiver_;
  Contact contact_;
  Freshness freshness_;
  MonoTime promised_at_{0};  // when this node last gave a promise
  Epoch refused_in_;
  std::string remark_;
};

}  // namespace faha
