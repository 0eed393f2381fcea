// A node's place in its cluster: whom it follows, and how it becomes the primary.  Thread: main loop only.
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

// What a node tells of one peer that ships or receives its log.
struct PeerInfo {
  Member member;
  bool voting = false;   // a member, not still joining
  bool in_sync = false;  // every commit waits for it
  bool reached = true;   // where it says that it is, as far as is known
  PersistenceDomain domain = PersistenceDomain::kVolatile;
  Transport transport = Transport::kTcp;  // of the batches
  bool flushed = false;                   // natively: the devices alone make them persistent
  Lsn durable;
  std::string address;                  // the host that its connection comes from
  std::chrono::milliseconds silent{0};  // since it answered last
};

class Leadership {
 public:
  virtual ~Leadership() = default;

  // Could this node take over, as far as it knows?  It is a member with a whole log and does not lag behind a primary.
  [[nodiscard]] virtual bool Promotable() const = 0;
  // Follows the node whose Redis listens at `primary` (REPLICAOF).
  virtual void Follow(const Endpoint& primary) = 0;
  // What the server's configuration says at the start, which may be old: `primary` is asked first, but a node that was
  // the primary itself goes on seeking a new epoch.
  virtual void Suggest(const Endpoint& primary) = 0;
  // Seeks a majority's promise for up to `patience`, then calls `done` once.
  // Errors told to `done`: NoPromise, Fenced, IoError.
  virtual void Promote(std::chrono::milliseconds patience, std::function<void(const Status&)> done) = 0;
  // The same where the primary lives, too: then it is asked to hand over, and this node campaigns if it does not.
  // Errors told to `done`: as above.
  virtual void TakeOver(std::chrono::milliseconds patience, std::function<void(const Status&)> done) = 0;
  // Becomes primary of a cluster of this node alone, whatever the members were: for a majority that is lost for good.
  // What this node never received is lost with them, and one that lives on is a second primary until it hears of
  // this one.
  // Errors told to `done`: NoPromise - it has a primary, or its log is not whole; Fenced, IoError.
  virtual void Force(std::function<void(const Status&)> done) = 0;
  // Takes the member whose Redis listens at `member`, which must not be connected, out of the cluster for good.
  // Errors: NotPrimary, NoQuorum, Fenced, NoSpace; Unavailable - there is none, it is connected, or another change is
  // under way.
  virtual Status Forget(const Endpoint& member) = 0;
  // Planned: hands the primary's role to the backup whose Redis listens at `target`, or to the best one.  Commits what
  // the turn has written, offers the role, and waits for persist-timeout at most: an heir in order takes over sooner.
  // If it does not, this node serves on until the heir is promised a later epoch.  Calls `done` once, during this call
  // or later, from Poll(), Tick() or Commit().
  //
  // Errors told to `done`: NotPrimary, NoQuorum, Fenced; Unavailable - there is no such backup in sync, or it did not
  // take over and this node has sought to be the primary again.
  virtual void HandOver(const std::optional<Endpoint>& target, std::function<void(const Status&)> done) = 0;

  // Should somebody be told that this backup's primary is gone?  It hung up and refuses to be dialled, or this backup
  // and a majority of the members have not heard it for a lease, or since they were started.
  [[nodiscard]] virtual bool MissesPrimary() const = 0;
};

}  // namespace faha
