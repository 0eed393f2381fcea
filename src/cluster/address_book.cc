#include "cluster/address_book.h"

namespace faha {

Endpoint AddressBook::AddressOf(const Member& member) const {
  const auto found = found_at_.find(member.id);
  return found == found_at_.end() ? member.Replication() : found->second;
}

std::optional<Endpoint> AddressBook::NextSource(const Members& members, const NodeId& self) {
  std::vector<Endpoint> sources = seeds_;
  for (const Member& member : members) {
    if (member.id != self) sources.push_back(AddressOf(member));
  }
  if (sources.empty()) return std::nullopt;
  return sources[next_++ % sources.size()];
}

}  // namespace faha
