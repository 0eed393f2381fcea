// Links to the members of the cluster, over which this node asks them for their state and their promise: during a
// campaign, and when it misses its primary or its majority.  This class finds out who answers; the node decides what
// the answers mean.  Thread: main loop only.
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

  // Dials each of `members` except `self` that has no link, and also the seeds while not all members answer.  A member
  // that says nothing for a lease is taken for hung: what it said before no longer counts, and it is dialled again.
  // Returns these members.
  std::vector<NodeId> Dial(const Members& members, const NodeId& self);
  // Sends `request` to every member that is connected.
  void Ask(std::span<const std::byte> request) const;
  // The same, but only once per link for each epoch.
  void AskForPromise(Epoch epoch, std::span<const std::byte> request);
  void Close();

  [[nodiscard]] bool Owns(LinkId link) const;
  // The link to a seed or a member is open: `request` is sent.
  void OnConnect(LinkId link, std::span<const std::byte> request);
  // A message came over `link`.  Returns the member that sent it; none if it came from a seed, whose answer will tell
  // which node is there; or nothing if the link is not known here.
  std::optional<NodeId> PeerOf(LinkId link);
  // The node that answers at that seed is `member`.  From now on `member` is asked over this link, unless it is
  // connected already at its own address.  True if this link is used.
  bool Adopt(LinkId link, const NodeId& member);
  // The member whose link was closed; none: it was a seed's.
  NodeId OnClose(LinkId link);
  // The node that answers at this address is not `member`, or it is not a node.
  void Refuse(const NodeId& member);
  void Drop(LinkId link);

  // The member said whether it hears no primary either.
  void SetMisses(const NodeId& member, bool misses) { asks_[member].misses = misses; }
  // How many members said in their last answer that they miss the primary.
  [[nodiscard]] std::size_t Missing() const;

 private:
  static constexpr MonoTime kPeriod{50'000};
  struct AskOf {
    LinkId link = LinkId::kNone;
    bool connected = false;
    bool misses = false;
    MonoTime heard{0};  // when it last spoke or was dialled
    Epoch promise;      // it was asked for a promise of this epoch
  };
  // An address where somebody said that a node is.  Its answer tells which node it is: a member may have moved.
  struct SeedAsk {
    Endpoint at;
    LinkId link = LinkId::kNone;  // none: a member has taken the link over
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
