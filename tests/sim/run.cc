#include "tests/sim/run.h"

#include <fmt/format.h>

#include "tests/sim/clients.h"
#include "tests/sim/cluster.h"
#include "tests/sim/faults.h"
#include "tests/sim/forced.h"
#include "tests/sim/plan.h"
#include "tests/sim/progress.h"

namespace faha::sim {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr seconds kLongestFault{30};

class Simulation {
 public:
  Simulation(std::uint64_t seed, Kind kind, bool verbose)
      : plan_(Plan::Of(seed, kind)),
        world_(seed),
        cluster_(&world_, plan_),
        clients_(&world_, &cluster_, plan_),
        progress_(&world_, &cluster_, &clients_, plan_),
        faults_(&world_, &cluster_, &clients_, &progress_, plan_) {
    world_.verbose = verbose;
    world_.Trace(0, plan_.ToString());
  }

  Report Go() {
    cluster_.Form();
    if (!cluster_.violation()) Misfortune();
    if (!cluster_.violation()) Heal();
    if (!cluster_.violation()) UseAgain();
    if (!cluster_.violation()) Settle();
    if (!cluster_.violation()) Judge();
    Report report{.violation = cluster_.violation(),
                  .only_progress = cluster_.only_progress(),
                  .trace = world_.trace(),
                  .done = clients_.done(),
                  .unknown = clients_.unknown(),
                  .elections = cluster_.elections()};
    if (report.violation) *report.violation += "\n    " + plan_.ToString();
    for (int number = 1; number <= cluster_.size(); ++number) {
      cluster_[number].KillProcess();
      report.starts += cluster_[number].starts;
      report.full += cluster_[number].full;
      report.installs += cluster_[number].installs;
      report.overtaken += cluster_[number].overtaken;
      report.cleaned += cluster_[number].cleaned;
      report.holds += cluster_[number].holds;
      report.holds_lost += cluster_[number].holds_lost;
    }
    return report;
  }

 private:
  void Misfortune() {
    if (plan_.prefilled) Fill();
    clients_.Begin();
    faults_.Begin();
    if (plan_.judges_progress) progress_.Begin();
    (void)cluster_.Until([] { return false; }, plan_.length);
    (void)cluster_.Until([this] { return !faults_.busy(); }, kLongestFault);
    progress_.End();
  }

  void Fill() {
    for (int key = 0; key < plan_.keys; ++key) Must(Operation::Kind::kWrite, key, clients_.NextValue());
  }

  // Once nothing is wrong any more the cluster serves by itself, with Sentinel's help.
  void Heal() {
    world_.Trace(0, "the faults end");
    faults_.End();
    if (!cluster_.Until([&] { return cluster_.Primary() != nullptr; }, seconds(30))) {
      return cluster_.NoProgress("nobody serves although nothing is wrong any more:");
    }
    clients_.End();
    (void)cluster_.Until([&] { return clients_.Idle(); }, seconds(10));
    Settle();
  }

  void Settle() {
    const Host* primary = nullptr;
    Lsn least;
    const auto settled = [&] {
      if (const Host* now = cluster_.Primary(); now != nullptr && now != primary) {
        primary = now;
        least = now->store()->Info().last;
      }
      return primary != nullptr && cluster_.AllJoined() && cluster_.AllInSync(least);
    };
    if (!cluster_.Until(settled, seconds(60))) {
      cluster_.NoProgress("the hosts are not in sync although nothing is wrong any more:");
    } else if (!cluster_.Until([&] { return !cluster_.KeysDiffer(); }, seconds(10))) {
      // Not at once: a host that was given the whole log lacks what the cleaner has moved since, until it applies that.
      cluster_.Violation("what was applied is not the same: " + cluster_.KeysDiffer().value_or("as it was"));
    }
  }

  bool Do(Operation::Kind kind, int key, Value value) {
    bool done = false, waits = false;
    const auto then = [&](Outcome outcome) {
      done = outcome == Outcome::kDone;
      waits = false;
    };
    // An order of before may still be carried out: a hand-over takes seconds if nobody takes over.
    (void)cluster_.Until(
        [&] {
          Host* primary = cluster_.Primary();
          if (!done && !waits && primary != nullptr) {
            waits = true;
            clients_.Do(*primary, kind, key, value, then);
          }
          return done;
        },
        seconds(20));
    return done;
  }

  // Every key is read, and can be deleted and written: also where the pool was full.
  void UseAgain() {
    for (int key = 0; key < plan_.keys; ++key) Must(Operation::Kind::kRead, key, kAbsent);
    for (int key = 0; key < plan_.keys; ++key) {
      if (plan_.fills || key % 2 == 0) Must(Operation::Kind::kWrite, key, kAbsent);
    }
    Must(Operation::Kind::kWrite, 0, clients_.NextValue());
    Must(Operation::Kind::kRead, 0, kAbsent);
  }
  void Must(Operation::Kind kind, int key, Value value) {
    if (cluster_.violation() || Do(kind, key, value)) return;
    cluster_.NoProgress(fmt::format("a healthy cluster does not {} key {}:",
                                    kind == Operation::Kind::kRead ? "read"
                                    : value == kAbsent             ? "delete"
                                                                   : "write",
                                    key));
  }

  void Judge() {
    if (const auto differ = cluster_.LogsDiffer()) cluster_.Violation("the logs are not the same: " + *differ);
    if (const auto wrong = Explain(clients_.history())) cluster_.Violation(*wrong);
  }

  Plan plan_;
  World world_;
  Cluster cluster_;
  Clients clients_;
  Progress progress_;
  Faults faults_;
};

}  // namespace

Report& Report::operator+=(const Report& other) {
  done += other.done;
  unknown += other.unknown;
  full += other.full;
  elections += other.elections;
  starts += other.starts;
  installs += other.installs;
  overtaken += other.overtaken;
  cleaned += other.cleaned;
  holds += other.holds;
  holds_lost += other.holds_lost;
  forced += other.forced;
  refused += other.refused;
  return *this;
}

std::string Report::Reached() const {
  return fmt::format(
      "{} operations done, {} of unknown outcome, {} writes without space, {} elections, {} starts, {} logs given as a "
      "whole, {} overtaken by the cleaner, {} segments cleaned, {} holds, {} of them lost, {} nodes forced to lead, {} "
      "refused by them",
      done, unknown, full, elections, starts, installs, overtaken, cleaned, holds, holds_lost, forced, refused);
}

Report RunSeed(std::uint64_t seed, Kind kind, bool verbose) {
  return kind == Kind::kForced ? RunForced(seed, verbose) : Simulation(seed, kind, verbose).Go();
}

}  // namespace faha::sim
