// What goes wrong in a run, and the Sentinel that orders promotions when nobody serves.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "tests/sim/clients.h"
#include "tests/sim/cluster.h"
#include "tests/sim/progress.h"

namespace faha::sim {

class Faults {
 public:
  Faults(World* world, Cluster* cluster, Clients* clients, Progress* progress, const Plan& plan);

  void Begin();
  // An aimed fault goes on: the run is not over before it is.
  [[nodiscard]] bool busy() const { return world_->Now() < free_from_; }
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
  // --- faults_aimed.cc: at a moment that chance would rarely find.
  void Hang();
  void Away();
  void Cut();
  void SlowInstall(Host& host);
  void Behind();
  void HangVoters();
  void LoseHeir();
  void OrderInVain();
  void PromoteCutOff();
  void ChangeAsPlanned();
  void StartUnreached();
  void WatchUnreached(Host& host);
  void RefuseDisk();
  void Rot();
  void RotLines(Host& host);
  void RotOrder(Host& host);
  void RotTable(Host& host);
  void RotBack(Host& host);
  void JoinLate();
  void Depose(Host& host);
  void WhenItCampaigns(Host& host, std::function<void()> what);
  void CompareOnceInSync();
  void Aim();
  // A backup without which a majority is well; null if there is none.
  Host* Spare();
  // A host that is not the primary, nor that one.
  Host& Another(const Host* than);
  void GoAway(Host& host);
  void RestartFailed();
  // `what` makes good what an aimed fault has done, a while after somebody serves again, or when its time is over.
  void OnceServed(std::function<void()> what);
  void HandOver(Host& primary, Host& heir);
  void Block(const Host& host);

  Host& Victim();
  void PowerOff(Host& host);
  void PowerOffAll();
  void SwitchOnLater(Host& host);
  // At the next write that is acknowledged, that very moment.
  void AtNextWrite(std::function<void()> what);
  void Promote(Host& host);
  void TakeOver(Host& heir);
  void Promoted(const Host& host, const Status& status);
  void Say(int host, const std::string& what) { world_->Trace(host, what); }
  void Pause(const Host& host);
  void GoOn(const Host& host);
  void StopFor(Host& host, MonoTime time);
  // `what` happens later, if the faults have not ended by then.
  void Later(MonoTime most, std::function<void()> what);

  World* world_;
  Cluster* cluster_;
  Clients* clients_;
  Progress* progress_;
  Plan plan_;
  std::vector<void (Faults::*)()> kinds_;
  std::function<void()> at_next_write_;
  // After which a primary is taken for dead.
  static constexpr MonoTime kSilence = std::chrono::milliseconds(300);
  MonoTime silent_since_{0};
  int watches_from_ = 1;
  MonoTime free_from_{0};                                    // an aimed fault goes on until then, and no other begins
  int rotten_ = 0;                                           // the host whose medium is damaged; 0: none
  std::vector<std::byte> earlier_entries_, earlier_fronts_;  // of its segments, once
  int alone_ = 0;                                            // the host that was cut off from all; 0: none
  MonoTime alone_since_{0};
  bool ended_ = false;
};

}  // namespace faha::sim
