// The hosts of one run, and what must hold of all of them together.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/sim/host.h"
#include "tests/sim/plan.h"
#include "tests/sim/world.h"

namespace faha::sim {

class Cluster : private Referee {
 public:
  Cluster(World* world, const Plan& plan);
  ~Cluster() override;

  // All but the late ones join the first one.
  void Form();
  // That late one is told to.
  void Join(Host& host);
  [[nodiscard]] bool AllJoined() const;
  [[nodiscard]] int size() const { return static_cast<int>(hosts_.size()); }
  // Counted from 1, as the world does.
  Host& operator[](int number) { return *hosts_[static_cast<std::size_t>(number - 1)]; }
  // Of those that belong to the cluster.
  Host& Any();

  // Lets events happen until `condition`, or until something was wrong; false if `limit` passes first.
  template <typename Condition>
  bool Until(Condition condition, MonoTime limit) {
    const MonoTime end = world_->Now() + limit;
    while (!condition() && world_->Now() < end && !violation_)
      world_->RunTo(world_->Now() + std::chrono::milliseconds(20));
    return condition();
  }
  // The running host that would serve; null if none.
  Host* Primary();
  // A primary serves, and all others that have joined follow it in sync and have applied all up to `least`.
  [[nodiscard]] bool AllInSync(Lsn least);
  // What every host is doing.
  [[nodiscard]] std::string Describe();
  // The newest batch that holds what a client has written, as the host's medium holds it.
  [[nodiscard]] LogEnd LastWrite(const Host& host);
  // Where its history has forked last.
  [[nodiscard]] LogEnd LastFork(const Host& host);
  // Where the keys and values of two hosts, or their logs, differ; nothing if they do not.
  [[nodiscard]] std::optional<std::string> KeysDiffer();
  [[nodiscard]] std::optional<std::string> LogsDiffer();

  [[nodiscard]] const std::optional<std::string>& violation() const { return violation_; }
  void Violation(const std::string& what) override;
  // The same, but nothing wrong was done: something right was not.
  void NoProgress(const std::string& what);
  [[nodiscard]] bool only_progress() const { return only_progress_; }
  // Something was done to the hosts or between them: what was counted of before does not count.
  void Disturbed() { ++disturbances_; }
  // Who led last; 0: nobody.
  [[nodiscard]] int led_last() const { return led_last_; }
  // Called when a host begins to take a whole log, and when it has changed its members in the middle of a unit.
  std::function<void(Host&)> on_install, on_torn;
  // Called when a host is in the middle of a unit, for so long, and a part of the unit was shipped.
  std::function<void(Host&, MonoTime)> on_half_shipped;
  [[nodiscard]] std::uint64_t elections() const { return primaries_.size(); }

 private:
  void OnPrimary(int host, Epoch epoch) override;
  void OnInstall(int host) override;
  void OnTorn(int host) override;
  void OnHalfShipped(int host, MonoTime busy) override;

  World* world_;
  std::vector<std::shared_ptr<CrashDisk>> disks_;
  std::vector<std::unique_ptr<Host>> hosts_;
  std::map<Epoch, int> primaries_;
  std::optional<std::string> violation_;
  bool only_progress_ = false;
  std::uint64_t disturbances_ = 0;
  int led_last_ = 0;
  // Of each host: how often it has begun to take a log, and after which disturbance it did so first.
  std::map<int, std::pair<std::uint64_t, int>> installs_;
};

}  // namespace faha::sim
