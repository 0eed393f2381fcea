// The names of members.  A member announces one address; Sentinel, or an operator, may know the member by another one:
// a host name, or another address of its machine.  So the addresses that the names stand for are compared, not the
// text, and a member is shown by the name under which it was last called.  Thread: main loop only; a host name waits
// for the resolver, as Redis' own REPLICAOF does.
#pragma once

#include <map>

#include "faha/types.h"

namespace faha::module {

class PeerNames {
 public:
  // The member of `members` that `name` means: `name` has the member's port and an address of its machine, either for
  // clients or for the other nodes.  Null if there is no such member.
  const Member* Find(const Members& members, const Endpoint& name) const;
  // From now on `member` is shown as `name`, unless `name` is only its address for the other nodes.
  void Remember(const Member& member, const Endpoint& name) {
    if (name.host != member.peer_host) names_[member.id] = name;
  }
  // The name that `member` is shown by: the name by which it was called last, or the address that it announces.
  [[nodiscard]] Endpoint NameOf(const Member& member) const;

 private:
  std::map<NodeId, Endpoint> names_;
};

PeerNames& ThePeerNames();

// An address to which FaHA's own connections can go: the first address of the host, or the host itself if it has none.
Endpoint Numeric(const Endpoint& name);

}  // namespace faha::module
