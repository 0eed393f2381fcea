// What goes wrong in a run, and the Sentinel that orders promotions when nobody serves.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "tests/sim/clients.h"
#include "tests/sim/cluster.h"

namespace faha::sim {

class Faults {
 public:
  Faults(World* world, Cluster* cluster, Clients* clients, const Plan& plan);

  void Begin();
  // All of them end; hosts that are off are switched on.
  void End();

 private:
  void Next();
  void Watch();
  // The kinds.
  void Power();
  void KillProcess();
  void Partition();
  void Break();
  void Stop();
  void SlowDisk();
  void BlindOne();
  void Order();

  Host& Victim();
  void PowerOff(Host& host);
  void PowerOffAll();
  void SwitchOnLater(Host& host);
  // At the next write that is acknowledged, that very moment.
  void AtNextWrite(std::function<void()> what);
  void Promote(Host& host);
  void Say(int host, const std::string& what) { world_->Trace(host, what); }
  // `what` happens later, if the faults have not ended by then.
  void Later(MonoTime most, std::function<void()> what);

  World* world_;
  Cluster* cluster_;
  Clients* clients_;
  Plan plan_;
  std::vector<void (Faults::*)()> kinds_;
  std::function<void()> at_next_write_;
  MonoTime silent_since_{0};
  int watches_from_ = 1;
  bool ended_ = false;
};

}  // namespace faha::sim
