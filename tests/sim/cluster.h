// The hosts of one run, and what must hold of all of them together.
#pragma once

#include <cstdint>
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

  // All join the first one.
  void Form();
  [[nodiscard]] int size() const { return static_cast<int>(hosts_.size()); }
  // Counted from 1, as the world does.
  Host& operator[](int number) { return *hosts_[static_cast<std::size_t>(number - 1)]; }
  Host& Any() { return (*this)[1 + static_cast<int>(world_->Below(hosts_.size()))]; }

  // The running host that would serve; null if none.
  Host* Primary();
  // A primary serves, and all others follow it in sync and have applied all up to `least`.
  [[nodiscard]] bool AllInSync(Lsn least);
  // What every host is doing.
  [[nodiscard]] std::string Describe();
  // Where the keys and values of two hosts, or their logs, differ; nothing if they do not.
  [[nodiscard]] std::optional<std::string> KeysDiffer();
  [[nodiscard]] std::optional<std::string> LogsDiffer();

  [[nodiscard]] const std::optional<std::string>& violation() const { return violation_; }
  void Violation(const std::string& what) override;
  // The same, but nothing wrong was done: something right was not.
  void NoProgress(const std::string& what);
  [[nodiscard]] bool only_progress() const { return only_progress_; }
  [[nodiscard]] std::uint64_t elections() const { return primaries_.size(); }

 private:
  void OnPrimary(int host, Epoch epoch) override;

  World* world_;
  std::vector<std::shared_ptr<CrashDisk>> disks_;
  std::vector<std::unique_ptr<Host>> hosts_;
  std::map<Epoch, int> primaries_;
  std::optional<std::string> violation_;
  bool only_progress_ = false;
};

}  // namespace faha::sim
