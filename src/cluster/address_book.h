// Where members may be found: at their addresses in the log, at the addresses where they last answered, and at those
// that an operator named.  Pure.  Thread: main loop only.
#pragma once

#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "faha/types.h"

namespace faha {

class AddressBook {
 public:
  // Replication ports where any node may answer; they are tried in addition to the members' addresses.
  void SetSeeds(std::vector<Endpoint> seeds) { seeds_ = std::move(seeds); }
  void AddSeed(const Endpoint& seed) { seeds_.push_back(seed); }
  [[nodiscard]] const std::vector<Endpoint>& seeds() const { return seeds_; }

  // A member may have moved: Found() says that it answered at `at`, NotThere() that it is not there any more.
  void Found(const NodeId& id, const Endpoint& at) { found_at_[id] = at; }
  void NotThere(const NodeId& id) { found_at_.erase(id); }
  [[nodiscard]] Endpoint AddressOf(const Member& member) const;

  // Sets the next source to try.
  void SetHint(const Endpoint& hint) { hint_ = hint; }
  [[nodiscard]] std::optional<Endpoint> TakeHint() { return std::exchange(hint_, std::nullopt); }
  // The seeds and the members except `self`, one after the other; nothing: there is none.
  [[nodiscard]] std::optional<Endpoint> NextSource(const Members& members, const NodeId& self);

 private:
  std::vector<Endpoint> seeds_;
  std::map<NodeId, Endpoint> found_at_;
  std::optional<Endpoint> hint_;
  std::size_t next_ = 0;
};

}  // namespace faha
