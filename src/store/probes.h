// Does the address that a node announces lead to it?  Asked before it becomes a member, while it is in sync, and before
// it is promised an epoch: one that nobody can dial could be elected, and nobody could follow it.  Thread: main loop
// only.
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

  // What is known of it.  Who asks, and goes on asking, has it dialled, and again each lease while it is not reached.
  Reach ReachOf(const Member& member);
  // The same, but what was found longer ago than a lease is found anew.
  void Refresh(const NodeId& node);
  // It is taken for unreached from now on.
  void GiveUp(const NodeId& node) { probes_[node].reach = Reach::kNot; }
  // It is not reached: true when this is said for the first time, until it is reached or the probe ends.
  bool TellOnce(const NodeId& node);

  void End(const NodeId& node);
  void EndAll();
  void KeepOnly(const std::function<bool(const NodeId&)>& goes_on);

  [[nodiscard]] bool Owns(LinkId link) const;
  // An outcome, which may have been told to be bad before.
  struct Outcome {
    NodeId node;
    bool mended = false;  // it is reached, and was said not to be
  };
  // A node answers over that link, and says that it is `from`.
  Outcome OnAnswer(LinkId link, const NodeId& from);
  Outcome OnClose(LinkId link);

 private:
  struct Probe {
    Member member;
    LinkId link = LinkId::kNone;
    MonoTime next{0};  // when it is dialled again
    Reach reach = Reach::kUnknown;
    MonoTime since{0};  // it has been reached, or not
    bool told = false;  // that it is not reached
  };
  [[nodiscard]] Probe& With(LinkId link);
  Outcome Settle(Probe& probe, Reach reach) const;

  Fabric* fabric_;
  const Clock* clock_;
  const Options* options_;
  std::map<NodeId, Probe> probes_;
};

}  // namespace faha
