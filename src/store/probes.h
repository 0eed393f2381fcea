// Does the address that a node announces lead to that node?  This is asked before the node becomes a member, while it
// is in sync, and before it is promised an epoch: a node that nobody can dial could be elected, and then nobody could
// follow it.  Thread: main loop only.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <span>

#include "faha/clock.h"
#include "faha/fabric.h"
#include "faha/options.h"
#include "faha/types.h"

namespace faha {

enum class Reach : std::uint8_t { kUnknown, kReached, kNot };

class Probes {
 public:
  // `options`: must outlive this.
  Probes(Fabric* fabric, const Clock* clock, const Options* options)
      : fabric_(fabric), clock_(clock), options_(options) {}

  // What is known of the member.  The call also dials the member, and while it is not reached dials again once per
  // lease, as long as the caller goes on asking.
  Reach ReachOf(const Member& member);
  // The same, but a result that is older than a lease is thrown away, so that the next ReachOf() dials again.
  void Refresh(const NodeId& node);
  // From now on the node counts as not reached.
  void GiveUp(const NodeId& node) { probes_[node].reach = Reach::kNot; }
  // For a node that is not reached: true at the first call, so that the caller reports it once; false until the probe
  // ends.
  bool TellOnce(const NodeId& node);

  void End(const NodeId& node);
  void EndAll();
  void KeepOnly(const std::function<bool(const NodeId&)>& goes_on);

  [[nodiscard]] bool Owns(LinkId link) const;
  // The result of a probe.
  struct Outcome {
    NodeId node;
    bool mended = false;  // the node is reached now, and it was reported as not reached before
  };
  // A node answers over that link and says that its id is `from`.
  Outcome OnAnswer(LinkId link, const NodeId& from);
  Outcome OnClose(LinkId link);

 private:
  struct Probe {
    Member member;
    LinkId link = LinkId::kNone;
    MonoTime next{0};  // when it is dialled again
    Reach reach = Reach::kUnknown;
    MonoTime since{0};  // when it was found to be reached or not
    bool told = false;  // it was reported that it is not reached
  };
  [[nodiscard]] Probe& With(LinkId link);
  Outcome Settle(Probe& probe, Reach reach) const;

  Fabric* fabric_;
  const Clock* clock_;
  const Options* options_;
  std::map<NodeId, Probe> probes_;
};

}  // namespace faha
