// Where members may be found: at the addresses in the log, where they answered last, and where an operator said.  Pure.
// Thread: main loop only.
#pragma once

#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "faha/types.h"

namespace faha {

class AddressBook {
 public:
  // Replication ports that may be anybody's: to be tried besides the members'.
  void SetSeeds(std::vector<Endpoint> seeds) { seeds_ = std::move(seeds); }
  void AddSeed(const Endpoint& seed) { seeds_.push_back(seed); }
  [[nodiscard]] const std::vector<Endpoint>& seeds() const { return seeds_; }

  // A member may have moved: it was found at `at`, or is not there any more.
  void Found(const NodeId& id, const Endpoint& at) { found_at_[id] = at; }
  void NotThere(const NodeId& id) { found_at_.erase(id); }
  [[nodiscard]] Endpoint AddressOf(const Member& member) const;

  // The next source to try is to be this one.
  void SetHint(const Endpoint& hint) { hint_ = hint; }
  [[nodiscard]] std::optional<Endpoint> TakeHint() { return std::exchange(hint_, std::nullopt); }
  // Seeds and members but `self`, each in its turn; nothing: there is none.
  [[nodiscard]] std::optional<Endpoint> NextSource(const Members& members, const NodeId& self);

 private:
  std::vector<Endpoint> seeds_;
  std::map<NodeId, Endpoint> found_at_;
  std::optional<Endpoint> hint_;
  std::size_t next_ = 0;
};

}  // namespace faha
