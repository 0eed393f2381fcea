// A node's place in its cluster: which primary it follows, and how it becomes the primary.  Thread: main loop only.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "faha/fabric.h"
#include "faha/media.h"
#include "faha/status.h"
#include "faha/types.h"

namespace faha {

enum class Role { kBackup, kCandidate, kPrimary };
std::string_view RoleName(Role role);

// What a node reports about one peer to which it ships its log.
struct PeerInfo {
  Member member;
  bool voting = false;   // a member, not still joining
  bool in_sync = false;  // every commit waits for it
  bool reached = true;   // it is reached at the address that it announces, as far as this node knows
  PersistenceDomain domain = PersistenceDomain::kVolatile;
  Transport transport = Transport::kTcp;  // that carries the batches
  bool flushed = false;                   // the devices alone make batches persistent (native persistence)
  Lsn durable;
  std::string address;                  // the host that its connection comes from
  std::chrono::milliseconds silent{0};  // since its last answer
};

class Leadership {
 public:
  virtual ~Leadership() = default;

  // Could this node take over, as far as it knows?  It could if it is a member, has a whole log and does not lag behind
  // a primary.
  [[nodiscard]] virtual bool Promotable() const = 0;
  // Follows the node whose Redis listens at `primary` (REPLICAOF).
  virtual void Follow(const Endpoint& primary) = 0;
  // Tells the primary that the server's configuration names at the start.  This may be out of date: the node asks
  // `primary` first, but a node that was the primary itself goes on seeking a new epoch.
  virtual void Suggest(const Endpoint& primary) = 0;
  // Asks for the promises of a majority for up to `patience`, then calls `done` once.
  // Errors told to `done`: NoPromise, Fenced, IoError; NoQuorum - it was elected, and a majority does not answer;
  // BadConfig - it holds keys in databases that clients cannot name; Corrupt - its log is damaged.
  virtual void Promote(std::chrono::milliseconds patience, std::function<void(const Status&)> done) = 0;
  // As Promote(), but if the primary is alive, this node first asks it to hand over, and campaigns only if it does not.
  // Errors told to `done`: as above.
  virtual void TakeOver(std::chrono::milliseconds patience, std::function<void(const Status&)> done) = 0;
  // Becomes the primary of a cluster of this node alone, whoever the members were.  It is meant for the case that a
  // majority of the members is lost for good.  What this node never received is lost with them.  A former primary that
  // is still alive goes on as a second primary until it hears of this one.
  // Errors told to `done`: NoPromise - this node has a primary, or its log is not whole; Fenced, IoError, BadConfig.
  virtual void Force(std::function<void(const Status&)> done) = 0;
  // Removes the member whose Redis listens at `member` from the cluster for good.  The member must not be connected.
  // Errors: NotPrimary, NoQuorum, Fenced, NoSpace; Unavailable - there is no such member, it is connected, or another
  // change of the members is under way.
  virtual Status Forget(const Endpoint& member) = 0;
  // A planned change: hands the primary's role to the backup whose Redis listens at `target`, or to the best backup.
  // Commits what the turn has written, offers the role to that backup (the heir), and waits for at most
  // persist-timeout: a healthy heir takes over sooner.  If the heir does not take over in that time, this node goes on
  // serving until a later epoch is promised to the heir.  Calls `done` once, during this call or later, from Poll(),
  // Tick() or Commit().
  //
  // Errors told to `done`: NotPrimary, NoQuorum, Fenced; Unavailable - there is no such backup in sync, or it did not
  // take over and this node has sought to be the primary again.
  virtual void HandOver(const std::optional<Endpoint>& target, std::function<void(const Status&)> done) = 0;

  // Should this backup report that its primary is gone?  Yes, if the primary closed the link and refuses to be dialled,
  // or if this backup and a majority of the members have not heard a primary for a lease, or since they were started.
  [[nodiscard]] virtual bool MissesPrimary() const = 0;
};

}  // namespace faha
