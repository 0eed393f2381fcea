// Judges that a cluster goes on: as long as a majority of its hosts is well and reaches each other, writes succeed, and
// however the others hang.  Nothing is judged for as long as what the judge gives them after each disturbance lasts.
#pragma once

#include <map>

#include "tests/sim/clients.h"
#include "tests/sim/cluster.h"

namespace faha::sim {

class Progress {
 public:
  Progress(World* world, Cluster* cluster, Clients* clients, const Plan& plan)
      : world_(world), cluster_(cluster), clients_(clients), plan_(plan) {}

  void Begin();
  void End() { ended_ = true; }
  // `host` was told to be primary: it has its time before another is asked for.
  void Ordered(int host);
  // The primary is changed as planned, and no other fault begins meanwhile.  False: not all have been well for a while,
  // so nothing is judged.
  bool Planned();

 private:
  void Look();
  void Probe();
  void NoteWhoIsWell();
  [[nodiscard]] bool ReachesOthers(const Host& host) const;
  // Since when a majority has been well; never: there is none.
  [[nodiscard]] MonoTime MajorityWellSince() const;
  [[nodiscard]] bool AllWellSince(MonoTime time) const;
  // The primary has been one of them all the time: only its backups were disturbed.
  [[nodiscard]] bool LedAllAlong() const;

  World* world_;
  Cluster* cluster_;
  Clients* clients_;
  Plan plan_;
  std::map<int, MonoTime> well_since_;  // of who is well
  std::map<int, MonoTime> cut_until_;   // of who was cut off from one that is
  MonoTime began_{0}, ordered_at_{0}, planned_at_{0}, led_since_{0};
  int ordered_ = 0, leads_ = 0;
  bool probing_ = false, ended_ = false;
};

}  // namespace faha::sim
