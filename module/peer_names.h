// What members are called.  A member announces one address; Sentinel, or an operator, may know it by another one: a
// host name, or another address of its machine.  What they mean is compared, not the text, and who called a member by a
// name is shown it by that.  Thread: main loop only; a host name waits for the resolver, as Redis' own REPLICAOF does.
#pragma once

#include <map>

#include "faha/types.h"

namespace faha::module {

class PeerNames {
 public:
  // The member of `members` that `name` means: its port, and an address of its machine, for clients or for the other
  // nodes.  Null if there is none.
  const Member* Find(const Members& members, const Endpoint& name) const;
  // From now on `member` is shown as `name`, unless that is its address for the other nodes alone.
  void Remember(const Member& member, const Endpoint& name) {
    if (name.host != member.peer_host) names_[member.id] = name;
  }
  // As what `member` is shown: as it was called last, or by the address that it announces.
  [[nodiscard]] Endpoint NameOf(const Member& member) const;

 private:
  std::map<NodeId, Endpoint> names_;
};

PeerNames& ThePeerNames();

// Where FaHA's own connections can go: a host's first address; the host itself where it has none.
Endpoint Numeric(const Endpoint& name);

}  // namespace faha::module
