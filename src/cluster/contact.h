// What a backup knows of its primary's whereabouts, and when it last heard of one.  Pure.  Thread: main loop only.
#pragma once

#include "faha/clock.h"

namespace faha {

class Contact {
 public:
  // There is to be another primary, or this node was just started: it has a while to be heard of.
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
  // Who hung up could not be dialled again.  Where a network is cut one is not answered at all, so an answer that comes
  // within `patience` is a refusal.
  void NotDialled(MonoTime now, MonoTime patience) {
    if (loss_ == Loss::kHungUp && now - heard_at_ <= patience) loss_ = Loss::kRefused;
  }
  // Who hung up answers, although it accepts nobody.
  void Answers() {
    if (loss_ == Loss::kHungUp) loss_ = Loss::kNone;
  }
  // The primary says whether it reaches this node where that says that it is.
  void SetReached(bool reached) { reached_ = reached; }

  [[nodiscard]] MonoTime heard_at() const { return heard_at_; }
  // A primary accepted this node since the start.
  [[nodiscard]] bool followed() const { return followed_; }
  // The process that was the primary is gone: it hung up and refuses to be dialled.
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
