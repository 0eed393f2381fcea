#include "tests/sim/faults.h"

namespace faha::sim {

using std::chrono::milliseconds;

namespace {
constexpr milliseconds kWatchPeriod{50};
}  // namespace

Faults::Faults(World* world, Cluster* cluster, Clients* clients, Progress* progress, const Plan& plan)
    : world_(world), cluster_(cluster), clients_(clients), progress_(progress), plan_(plan) {
  const std::pair<bool, void (Faults::*)()> all[] = {
      {plan.power, &Faults::Power},
      {plan.kills, &Faults::KillProcess},
      {plan.partitions, &Faults::Partition},
      {plan.breaks, &Faults::Break},
      {plan.stops, &Faults::Stop},
      {plan.slow_disks, &Faults::SlowDisk},
      {plan.blind, &Faults::BlindOne},
      {plan.orders, &Faults::Order},
      {plan.hangs, &Faults::Hang},
      {plan.aways, &Faults::Away},
      {plan.cuts, &Faults::Cut},
      {plan.behind, &Faults::Behind},
      {plan.voters, &Faults::HangVoters},
      {plan.heirs, &Faults::LoseHeir},
      {plan.in_vain, &Faults::OrderInVain},
      {plan.cut_off, &Faults::PromoteCutOff},
      {plan.planned, &Faults::ChangeAsPlanned},
      {plan.unreached, &Faults::StartUnreached},
      {plan.disk_errors, &Faults::RefuseDisk},
      {plan.rot, &Faults::Rot},
  };
  for (const auto& [wanted, kind] : all) {
    if (wanted) kinds_.push_back(kind);
  }
}

void Faults::Begin() {
  silent_since_ = world_->Now();
  clients_->on_written = [this] {
    if (at_next_write_) world_->After(MonoTime{0}, std::exchange(at_next_write_, nullptr));
  };
  Watch();
  Aim();
  if (!kinds_.empty()) Next();
}

void Faults::Next() {
  Later(plan_.pause, [this] {
    if (world_->Now() >= free_from_) {
      (this->*kinds_[world_->Below(kinds_.size())])();
      cluster_->Disturbed();
    }
    Next();
  });
}

void Faults::Later(MonoTime most, std::function<void()> what) {
  world_->After(world_->UpTo(most), [this, what = std::move(what)] {
    if (ended_) return;
    cluster_->Disturbed();
    what();
  });
}

void Faults::End() {
  alone_ = 0;
  ended_ = true;
  cluster_->Disturbed();
  at_next_write_ = nullptr;
  world_->UnblockAll();
  world_->SpeedUpAll();
  for (int number = 1; number <= cluster_->size(); ++number) {
    Host& host = (*cluster_)[number];
    host.drain_most = MonoTime{0};
    host.PowerOffAtDrain(0);
    host.refusal = {};
    world_->See(number);
    world_->Show(number);
    world_->Resume(number);
    // A start finds what is still damaged.
    if (host.failed() || number == rotten_) host.KillProcess();
    host.PowerOn();
  }
  world_->PokeAll();
}

// The primary is the most rewarding one.
Host& Faults::Victim() {
  Host* primary = cluster_->Primary();
  return primary != nullptr && world_->OneIn(2) ? *primary : cluster_->Any();
}

// --- Power and processes.

void Faults::PowerOff(Host& host) {
  host.PowerOff();
  SwitchOnLater(host);
}

void Faults::SwitchOnLater(Host& host) {
  Later(world_->OneIn(2) ? milliseconds(50) : milliseconds(2000), [this, &host] {
    if (!world_->Paused(host.number())) host.PowerOn();
  });
}

void Faults::PowerOffAll() {
  for (int number = 1; number <= cluster_->size(); ++number) PowerOff((*cluster_)[number]);
}

void Faults::Power() {
  Host& host = Victim();
  switch (world_->Below(6)) {
    case 0:
      host.PowerOffAtDrain(1 + world_->Below(4));
      Later(milliseconds(1000), [this, &host] { SwitchOnLater(host); });
      break;
    case 1: PowerOffAll(); break;
    case 2: AtNextWrite([this] { PowerOffAll(); }); break;
    case 3:
      // Those that have it are off, but for one or two.
      AtNextWrite([this, &host] {
        for (int number = 1; number <= cluster_->size(); ++number) {
          if (number != host.number()) PowerOff((*cluster_)[number]);
        }
      });
      break;
    default: PowerOff(host); break;
  }
}

void Faults::AtNextWrite(std::function<void()> what) {
  at_next_write_ = [this, what = std::move(what)] {
    if (!ended_) what();
  };
}

void Faults::KillProcess() {
  Host& host = Victim();
  host.KillProcess();
  SwitchOnLater(host);
}

void Faults::Stop() {
  Host& host = Victim();
  if (!host.running()) return;
  StopFor(host, milliseconds(1500));
}

void Faults::Pause(const Host& host) {
  Say(host.number(), "stopped");
  world_->Pause(host.number());
}

void Faults::GoOn(const Host& host) {
  Say(host.number(), "goes on");
  world_->Resume(host.number());
}

// `time`: at most.
void Faults::StopFor(Host& host, MonoTime time) {
  Pause(host);
  Later(time, [this, &host] { GoOn(host); });
}

// --- The network.

void Faults::Partition() {
  const int host = Victim().number();
  const int other = cluster_->Any().number();
  const auto dice = world_->Below(4);
  const std::uint64_t group = world_->random()();
  for (int a = 1; a <= cluster_->size(); ++a) {
    for (int b = 1; b <= cluster_->size(); ++b) {
      const bool blocked = dice == 0   ? (group >> a & 1) != (group >> b & 1)  // two groups
                           : dice == 1 ? a == host || b == host                // one alone
                           : dice == 2 ? a == host                             // one that is not heard
                                       : a == host && b == other;              // one direction
      if (blocked && a != b) {
        world_->Block(a, b);
        Say(a, "is not heard by " + std::to_string(b));
      }
    }
  }
  Later(world_->OneIn(3) ? milliseconds(5000) : milliseconds(1500), [this] {
    Say(0, "the network is whole");
    world_->UnblockAll();
    if (world_->OneIn(2)) Break();
    world_->PokeAll();
  });
}

void Faults::Break() {
  Host& host = Victim();
  const int other = cluster_->Any().number();
  if (other == host.number()) return;
  if (world_->OneIn(3)) {
    Say(host.number(), "slow link to " + std::to_string(other));
    world_->SlowDown(host.number(), other, world_->UpTo(milliseconds(400)));
    Later(milliseconds(1500), [this] { world_->SpeedUpAll(); });
  } else if (host.fabric() != nullptr) {
    Say(host.number(), "links break to " + std::to_string(other));
    host.fabric()->BreakLinksTo(other);
  }
}

// --- Disks and processors.

void Faults::SlowDisk() {
  const bool all = world_->OneIn(3);
  const MonoTime most = world_->UpTo(milliseconds(world_->OneIn(2) ? 20 : 500));
  const int one = cluster_->Any().number();
  for (int number = 1; number <= cluster_->size(); ++number) {
    if (!all && number != one) continue;
    Say(number, "slow disk");
    Host& host = (*cluster_)[number];
    host.drain_most = most;
    Later(milliseconds(1500), [&host] { host.drain_most = MonoTime{0}; });
  }
}

void Faults::BlindOne() {
  const int number = cluster_->Any().number();
  Say(number, "blind");
  world_->Blind(number);
  Later(milliseconds(1500), [this, number] {
    world_->See(number);
    world_->Poke(number);
  });
}

// --- Who is to be primary.

void Faults::Promote(Host& host) {
  host.Command([this, &host](Store& store) {
    Say(host.number(), "is to be primary");
    progress_->Ordered(host.number());
    const auto answered = [this, &host](const Status& status) { Promoted(host, status); };
    store.Promote(std::chrono::duration_cast<milliseconds>(plan_.promotion_patience), answered);
  });
}

void Faults::TakeOver(Host& heir) {
  heir.Command([this, &heir](Store& store) {
    Say(heir.number(), "is to take over");
    store.TakeOver(std::chrono::duration_cast<milliseconds>(plan_.promotion_patience),
                   [this, &heir](const Status& status) { Promoted(heir, status); });
  });
}

// Nobody who has been alone for longer than a lease serves.
void Faults::Promoted(const Host& host, const Status& status) {
  Say(host.number(), "promoted: " + status.ToString());
  if (!status.ok() || host.number() != alone_ || world_->Now() - alone_since_ < kSilence + kSilence) return;
  cluster_->Violation("host " + std::to_string(host.number()) + " says that it is primary, and is cut off from all");
}

void Faults::Order() {
  Host& host = Victim();
  Host& other = cluster_->Any();
  switch (world_->Below(4)) {
    case 0: Promote(host); break;
    case 1:
      host.Command([this, &host, &other](Store& store) {
        Say(host.number(), "is to follow " + std::to_string(other.number()));
        store.Follow(other.Redis());
      });
      break;
    default:
      if (Host* primary = cluster_->Primary()) {
        HandOver(*primary, other);
      }
      break;
  }
}

void Faults::HandOver(Host& primary, Host& heir) {
  primary.Command([this, &primary, &heir](Store& store) {
    Say(primary.number(), "is to hand over to " + std::to_string(heir.number()));
    store.HandOver(heir.Redis(),
                   [this, number = primary.number()](const Status& status) { Say(number, status.ToString()); });
  });
}

// Sentinel's part: it sees what the host sees beside which it runs.
void Faults::Watch() {
  world_->After(kWatchPeriod, [this] { Watch(); });
  if (world_->OneIn(100)) watches_from_ = cluster_->Any().number();
  const auto sees = [&](const Host& host) {
    const int number = host.number();
    return world_->Reaches(watches_from_, number) && world_->Reaches(number, watches_from_) && !host.paused() &&
           !host.deaf();
  };
  const Host* primary = cluster_->Primary();
  if (primary != nullptr && sees(*primary)) silent_since_ = world_->Now();
  if (world_->Now() - silent_since_ < kSilence) return;
  Host& host = cluster_->Any();
  if (host.store() == nullptr || !host.joined() || !sees(host)) return;
  silent_since_ = world_->Now() + plan_.promotion_patience;
  Promote(host);
}

}  // namespace faha::sim
