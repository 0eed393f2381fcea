// What a backup knows about where its primary is, and when it last heard a primary.  Pure.  Thread: main loop only.
#pragma once

#include "faha/clock.h"

namespace faha {

class Contact {
 public:
  // There will be another primary, or this node was just started: the time in which a primary must be heard begins.
  void Begin(MonoTime now) {
    loss_ = Loss::kNone;
    heard_at_ = now;
  }
  // A primary has accepted this node.
  void Accepted(MonoTime now) {
    Begin(now);
    followed_ = reached_ = true;
  }
  void Heard(MonoTime now) { heard_at_ = now; }

  // The link to the primary that was followed has ended.
  void HungUp() { loss_ = Loss::kHungUp; }
  // The primary that closed the link could not be dialled again.  Where the network is cut there is no answer at all,
  // so an error that comes within `patience` is a refusal.
  void NotDialled(MonoTime now, MonoTime patience) {
    if (loss_ == Loss::kHungUp && now - heard_at_ <= patience) loss_ = Loss::kRefused;
  }
  // The node that closed the link answers, although it accepts nobody.
  void Answers() {
    if (loss_ == Loss::kHungUp) loss_ = Loss::kNone;
  }
  // The primary says whether it reaches this node at the address that this node announces.
  void SetReached(bool reached) { reached_ = reached; }

  [[nodiscard]] MonoTime heard_at() const { return heard_at_; }
  // A primary has accepted this node since its start.
  [[nodiscard]] bool followed() const { return followed_; }
  // The process that was the primary is gone: it closed the link, and dialling it is refused.
  [[nodiscard]] bool refused() const { return loss_ == Loss::kRefused; }
  [[nodiscard]] bool reached() const { return reached_; }

 private:
  enum class Loss { kNone, kHungUp, kRefused };
  MonoTime heard_at_{0};
  Loss loss_ = Loss::kNone;
  bool followed_ = false;
  bool reached_ = true;
};

}  // namespace faha
