// Links to the members of the cluster, to ask them for their state and their promise: a campaign has them, and a node
// that misses its primary or its majority.  Says who answers; what the answers mean is the node's.  Thread: main loop
// only.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <vector>

#include "cluster/address_book.h"
#include "faha/clock.h"
#include "faha/fabric.h"
#include "faha/options.h"
#include "faha/types.h"

namespace faha {

class Inquiry {
 public:
  // `book`, `options`: must outlive this.
  Inquiry(Fabric* fabric, const Clock* clock, AddressBook* book, const Options* options)
      : fabric_(fabric), clock_(clock), book_(book), options_(options) {}

  // Has the time come for the next Dial()?
  [[nodiscard]] bool Due() const { return clock_->Now() >= next_; }
  void Hurry() { next_ = MonoTime{0}; }
  void Defer(MonoTime until) { next_ = until; }

  // Dials each of `members` but `self` that has no link, and the seeds while not all answer.  One that says nothing for
  // a lease hangs: what it said does not count any more, and it is dialled anew.  Returns those.
  std::vector<NodeId> Dial(const Members& members, const NodeId& self);
  // Sends `request` to everybody who is connected.
  void Ask(std::span<const std::byte> request) const;
  // The same, but of each link once for that epoch.
  void AskForPromise(Epoch epoch, std::span<const std::byte> request);
  void Close();

  [[nodiscard]] bool Owns(LinkId link) const;
  // The link to a seed or a member stands: `request` is sent.
  void OnConnect(LinkId link, std::span<const std::byte> request);
  // A message came: from that member; from a seed, whose answer will tell who is there (none); or over no link that is
  // known here (nothing).
  std::optional<NodeId> PeerOf(LinkId link);
  // Who answers at that seed is `member`, which is asked over this link from now on, unless it answers already where it
  // said that it is.  True if it is.
  bool Adopt(LinkId link, const NodeId& member);
  // The member whose link was closed; none: it was a seed's.
  NodeId OnClose(LinkId link);
  // What answers there is not that member, or is not a node.
  void Refuse(const NodeId& member);
  void Drop(LinkId link);

  // It hears no primary either, or it does.
  void SetMisses(const NodeId& member, bool misses) { asks_[member].misses = misses; }
  // How many members said last that they miss the primary.
  [[nodiscard]] std::size_t Missing() const;

 private:
  static constexpr MonoTime kPeriod{50'000};
  struct AskOf {
    LinkId link = LinkId::kNone;
    bool connected = false;
    bool misses = false;
    MonoTime heard{0};  // it spoke, or was dialled
    Epoch promise;      // a promise of this epoch was asked of it
  };
  // Where somebody said that a node is, who answers there is told by its answer: a member may have moved.
  struct SeedAsk {
    Endpoint at;
    LinkId link = LinkId::kNone;  // none: a member has it
    MonoTime dialled{0};
    bool answered = false;
  };
  void DialSeeds();
  [[nodiscard]] std::map<NodeId, AskOf>::iterator AskWith(LinkId link);
  [[nodiscard]] std::vector<SeedAsk>::iterator SeedWith(LinkId link);

  Fabric* fabric_;
  const Clock* clock_;
  AddressBook* book_;
  const Options* options_;
  std::map<NodeId, AskOf> asks_;
  std::vector<SeedAsk> seeds_;
  MonoTime next_{0};
};

}  // namespace faha
