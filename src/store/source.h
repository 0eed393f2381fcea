// This node as the source of a log: whom it ships its log to, from which place, and what the receivers answer.  They
// are the backups of a primary, and a candidate that fetches what it lacks.  Thread: main loop only.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>

#include "replication/shipper.h"
#include "replication/wire.h"
#include "store/committer.h"
#include "store/part_context.h"
#include "store/probes.h"

namespace faha {

class Source {
 public:
  // What has become of a request.
  enum class Outcome {
    kRefused,
    kLaterEpoch,  // refused, for the node has promised a later epoch than this one
    kLacksLog,    // refused, for the candidate lacks what was cleaned away here
    kAdmitted,
  };
  // All of them must outlive this.
  Source(const PartContext& shared, Committer* committer, Probes* probes);

  // Answers a node that wants to follow this node, or to fetch from it.  `address`: where its link comes from.
  Outcome Answer(LinkId link, const std::string& address, const wire::FollowRequest& request);
  // A token opens a data link.  False: it opens none.
  bool OpenData(LinkId link, std::span<const std::byte> head);
  // A receiver says something.  False: this does not belong there, and the receiver is dropped.
  bool OnFrame(LinkId link, std::span<const std::byte> head);
  void OnFlushed(LinkId link, std::uint64_t count);

  // Errors: PeerVersion - a cluster of that level does not know peer_host.
  static Status CheckPeerHost(const Member& member, FeatureLevel level);

 private:
  bool OnReceiverFrame(Shipper* shipper, LinkId link, std::span<const std::byte> head);
  [[nodiscard]] bool Lives(const Shipper& shipper) const;
  [[nodiscard]] bool SharesAddress(const Member& member) const;
  [[nodiscard]] std::optional<Endpoint> TwinOf(const Member& member) const;
  [[nodiscard]] Status Admissible(const wire::FollowRequest& request) const;
  [[nodiscard]] bool SharesCommitted(const wire::FollowRequest& request) const;
  [[nodiscard]] Status CheckForks(const wire::FollowRequest& request) const;
  [[nodiscard]] Result<Lsn> CommonWith(const wire::FollowRequest& request) const;
  void RefuseToInstall(LinkId link, const wire::FollowRequest& request);
  [[nodiscard]] std::unique_ptr<BatchReader> ReaderFrom(Lsn lsn) const;

  const Options* options_;
  StoreObserver* observer_;
  const Clock* clock_;
  Fabric* fabric_;
  Health* health_;
  const Standing* standing_;
  const Replica* replica_;
  const Voter* voter_;
  Pool* pool_;
  Log* log_;
  Committer* committer_;
  Probes* probes_;
  Member self_;
};

}  // namespace faha
