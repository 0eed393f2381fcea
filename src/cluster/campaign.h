// One node's attempt to become the primary: events in, one decision out.  Pure: no clock, no disk, no network.
// Thread: main loop only.
// The candidate asks first, and raises the epoch only when a majority answers and nobody knows a living primary (Raft's
// pre-vote), so a node that was cut off does not depose a healthy primary when it returns.  A primary that was started
// again does not wait for the leases that it held itself.  The candidate need not have the longest log itself: it takes
// the best log of the majority that promised it, and the members in that log are the ones that count (our design).  A
// node that is being given a whole log has no log to offer, but its promise counts like that of a node whose log ends
// where the log ended that it gave up.  For this, one whole log in the majority must reach as far as that end, because
// then it holds everything that was committed with the help of the lost log (Raft 5.4.1 compares ends, not contents).
#pragma once

#include <map>
#include <optional>
#include <string>

#include "cluster/voter.h"
#include "faha/types.h"

namespace faha {

// What a node tells about itself to any node of its cluster that asks.
struct PeerState {
  bool serving = false;        // it is the primary and a majority answers it
  bool lease_may_run = false;  // it heard a primary so recently that it would not promise
  NodeId lease_holder{};       // except to that primary; none: it does not know which one
  bool whole = true;           // its log lacks nothing; if not, `end` is how far the log reached that it gave up
  Epoch promised;
  LogEnd end;
  Member primary;  // the primary that it follows; its id is none if there is none
  Members members;
};

struct PromiseAnswer {
  bool granted = false;
  Refusal refusal = Refusal::kNone;
  bool whole = true;  // as in PeerState
  Epoch promised;
  LogEnd end;
  Members members;
};

class Campaign {
 public:
  enum class Next {
    kAsk,      // ask every member for its state, again and again
    kPromise,  // persist the own promise of epoch() and ask every member for its promise
    kFollow,   // a primary is alive: primary()
    kWon,      // a majority promised; best() holds the longest log
  };

  // `interrupts`: the primary of that epoch hands over to `self`, or is `self`; 0: there is no such primary.
  Campaign(Member self, Members members, Epoch promised, LogEnd end, Epoch interrupts);

  [[nodiscard]] Next next() const { return next_; }
  [[nodiscard]] Epoch epoch() const { return epoch_; }
  [[nodiscard]] const Members& members() const { return members_; }
  [[nodiscard]] Epoch interrupts() const { return interrupts_; }
  [[nodiscard]] const Member& primary() const { return primary_; }
  [[nodiscard]] const Member& best() const { return best_; }
  [[nodiscard]] LogEnd best_end() const { return best_end_; }
  // Why the campaign has not been won yet, one line.
  [[nodiscard]] std::string Obstacle() const;

  void OnState(const NodeId& peer, const PeerState& state);
  // The own promise of epoch() is persistent.  The own log may have grown when the promise was given.
  void OnOwnPromise(LogEnd end, const Members& members);
  void OnPromise(const NodeId& peer, const PromiseAnswer& answer);
  // The link to the peer broke, or the peer does not answer any more: what it said no longer counts.
  void OnUnreachable(const NodeId& peer);
  // The candidate has waited for promises long enough: it asks again, for a later epoch.
  void OnPromisesLate();

 private:
  void Judge();
  void JudgePromises();
  void AskAgain();
  void Learn(LogEnd end, const Members& members);
  [[nodiscard]] bool MajorityAnswers() const;
  [[nodiscard]] const Member* MemberOf(const NodeId& id) const;

  Member self_;
  Members members_;     // of the best log heard of
  LogEnd members_end_;  // how far that log reached
  Epoch highest_;       // of all promises heard of
  Epoch interrupts_;
  Next next_ = Next::kAsk;
  Epoch epoch_;
  std::map<NodeId, PeerState> states_;
  struct Grant {
    LogEnd end;
    bool whole = true;
  };
  std::map<NodeId, Grant> grants_;
  Member primary_, best_;
  LogEnd best_end_;
  std::string refusal_;
};

}  // namespace faha
