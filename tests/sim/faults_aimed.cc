// Faults at a moment that chance would rarely find.  See faults.h.
#include <algorithm>
#include <cstddef>
#include <cstring>
#include <vector>

#include "log/batch.h"
#include "log/format.h"
#include "tests/fakes/crash_media.h"
#include "tests/sim/faults.h"

namespace faha::sim {

using std::chrono::milliseconds;

namespace {
// Longer than any campaign is given, so that nobody but those that are left can mend it.
constexpr milliseconds kForLong{15'000};
constexpr milliseconds kFailedFor{500};
// Without its primary a cluster chooses another, and may hear of the one it had.
constexpr milliseconds kHalfUnit{700};
}  // namespace

// --- Backups, while a majority is well and the primary with it.

Host* Faults::Spare() {
  const Host* primary = cluster_->Primary();
  if (primary == nullptr) return nullptr;
  Host& host = cluster_->Any();
  if (&host == primary || !host.joined() || !host.running() || host.paused()) return nullptr;
  int others = 0;
  for (int number = 1; number <= cluster_->size(); ++number) {
    if (number != host.number() && (*cluster_)[number].well()) ++others;
  }
  return others >= cluster_->size() / 2 + 1 ? &host : nullptr;
}

void Faults::Hang() {
  if (Host* host = Spare()) StopFor(*host, plan_.hang);
}

void Faults::Away() {
  if (Host* host = Spare()) GoAway(*host);
}

void Faults::GoAway(Host& host) {
  world_->OneIn(2) ? host.PowerOff() : host.KillProcess();
  Later(milliseconds(2000), [this, &host] {
    if (!world_->Paused(host.number())) host.PowerOn();
  });
}

// What it lacks comes batch by batch, while the cleaner goes on.
void Faults::SlowInstall(Host& host) {
  const Host* primary = cluster_->Primary();
  if (primary == nullptr || primary == &host) return;
  Say(host.number(), "is given the log slowly");
  world_->SlowDown(host.number(), primary->number(), milliseconds(20) + world_->UpTo(milliseconds(100)));
  world_->After(milliseconds(1500) + world_->UpTo(milliseconds(2500)), [this] {
    if (!ended_) world_->SpeedUpAll();
  });
}

void Faults::Cut() {
  Host* host = Spare();
  const Host* primary = cluster_->Primary();
  if (host == nullptr || host->fabric() == nullptr) return;
  Say(host->number(), "loses its links to the primary");
  host->fabric()->BreakLinksTo(primary->number());
}

// --- Elections.

Host& Faults::Another(const Host* than) {
  const Host* primary = cluster_->Primary();
  Host* host = &cluster_->Any();
  while (host == than || host == primary) host = &cluster_->Any();
  return *host;
}

void Faults::Block(const Host& host) {
  for (int other = 1; other <= cluster_->size(); ++other) {
    if (other == host.number()) continue;
    world_->Block(host.number(), other);
    world_->Block(other, host.number());
  }
  Say(host.number(), "is alone");
}

void Faults::OnceServed(std::function<void()> what) {
  world_->After(milliseconds(20), [this, what = std::move(what)] {
    if (ended_) return;
    if (world_->Now() < free_from_ && cluster_->Primary() == nullptr) return OnceServed(what);
    Later(milliseconds(300), [this, what] {
      what();
      free_from_ = world_->Now();
    });
  });
}

// It was away, its place in the log was cleaned away, and when the primary dies it is the one that is told to lead.
void Faults::Behind() {
  Host* primary = cluster_->Primary();
  if (primary == nullptr || !cluster_->AllInSync(Lsn{})) return;
  free_from_ = world_->Now() + kForLong;
  Host& host = Another(primary);
  Say(host.number(), "is to fall behind");
  host.KillProcess();
  world_->After(milliseconds(500) + world_->UpTo(milliseconds(1500)), [this, &host] {
    if (ended_) return;
    Host* now = cluster_->Primary();
    host.PowerOn();
    if (now == nullptr) {
      free_from_ = world_->Now();
      return;
    }
    now->PowerOff();
    free_from_ = world_->Now() + kForLong;
    world_->After(milliseconds(20) + world_->UpTo(milliseconds(400)), [this, &host] {
      if (ended_) return;
      silent_since_ = world_->Now() + plan_.promotion_patience;
      Promote(host);
    });
    OnceServed([now] { now->PowerOn(); });
  });
}

// Always of the same host, while the others have all that it has.
void Faults::Rot() {
  if (!cluster_->AllInSync(Lsn{})) return;
  if (rotten_ == 0) rotten_ = Victim().number();
  Host& host = (*cluster_)[rotten_];
  host.rots = true;
  const auto dice = world_->Below(5);
  if (dice == 0) {
    RotOrder(host);
  } else if (dice == 1) {
    RotTable(host);
  } else if (dice == 2) {
    RotBack(host);
  } else {
    RotLines(host);
  }
  if (!world_->OneIn(dice == 1 ? 2 : 4)) return;
  Later(milliseconds(200), [this, &host] {
    host.KillProcess();
    world_->After(milliseconds(100), [&host] { host.PowerOn(); });
  });
}

namespace {
void Change(CrashDisk& disk, std::size_t at, std::byte mask) {
  for (auto* bytes : {&disk.written, &disk.drained}) (*bytes)[at] ^= mask;
}
format::Superblock SuperblockOf(const CrashDisk& disk) {
  format::Superblock super{};
  std::memcpy(&super, &disk.written[0], sizeof super);
  return super;
}
}  // namespace

// One bit in the LSN of one batch: it seems to stand elsewhere in the log.
void Faults::RotOrder(Host& host) {
  CrashDisk& disk = host.disk();
  const format::Superblock super = SuperblockOf(disk);
  const std::uint32_t magic = BatchMagic({super.log_key_seed, super.log_key_mix});
  const std::size_t start = format::kDataOffset + super.segment_bytes * world_->Below(super.segment_count);
  std::vector<std::size_t> batches;
  format::BatchHeader header{};
  for (std::size_t at = start; at + sizeof header <= start + super.segment_bytes;) {
    std::memcpy(&header, &disk.written[at], sizeof header);
    if (header.magic != magic || header.payload_bytes > super.segment_bytes) break;
    batches.push_back(at);
    at += BatchView::Trusted(&disk.written[at]).PaddedBytes(super.granule);
  }
  if (batches.empty()) return;
  const std::size_t at = world_->OneIn(2) ? batches.back() : batches[world_->Below(batches.size())];
  const auto bit = std::byte{1} << world_->Below(8);
  Change(disk, at + offsetof(format::BatchHeader, lsn), bit);
  Say(host.number(), "its medium has changed in the LSN of the batch at " + std::to_string(at));
}

// What says which segments are the log's: one entry, or the page.
void Faults::RotTable(Host& host) {
  CrashDisk& disk = host.disk();
  const std::uint32_t count = SuperblockOf(disk).segment_count;
  const bool all = world_->OneIn(2);
  const auto one = world_->Below(count);
  for (std::size_t i = 0; i < count; ++i) {
    if (!all && i != one) continue;
    for (auto* bytes : {&disk.written, &disk.drained})
      std::fill_n(&(*bytes)[format::kTableOffset + i * sizeof(format::SegmentEntry)], sizeof(format::SegmentEntry),
                  std::byte{0});
  }
  Say(host.number(), all ? "its medium has lost the segment table" : "its medium has lost a table entry");
}

// It has lost its newest writes to the segment table, or to the fronts of segments that were given back, and holds what
// it held at one of the times before.
void Faults::RotBack(Host& host) {
  CrashDisk& disk = host.disk();
  const format::Superblock super = SuperblockOf(disk);
  const auto entry_at = [](std::size_t i) { return format::kTableOffset + i * sizeof(format::SegmentEntry); };
  const auto front_at = [&](std::size_t i) { return format::kDataOffset + i * super.segment_bytes; };
  constexpr std::size_t kFront = 4096;
  const auto put_back = [&](std::size_t at, std::size_t bytes, const std::vector<std::byte>& from, std::size_t i) {
    for (auto* to : {&disk.written, &disk.drained}) std::copy_n(from.begin() + i * bytes, bytes, &(*to)[at]);
  };
  if (earlier_entries_.size() == super.segment_count * sizeof(format::SegmentEntry)) {
    const bool entries = world_->OneIn(2), all = world_->OneIn(2);
    const auto one = world_->Below(super.segment_count);
    for (std::size_t i = 0; i < super.segment_count; ++i) {
      if (!all && i != one) continue;
      format::SegmentEntry entry{};
      std::memcpy(&entry, &disk.written[entry_at(i)], sizeof entry);
      if (entries) put_back(entry_at(i), sizeof entry, earlier_entries_, i);
      if (!entries && entry.generation == 0) put_back(front_at(i), kFront, earlier_fronts_, i);
    }
    Say(host.number(), entries ? "its medium has lost the newest writes to the segment table"
                               : "its medium has lost the newest writes to free segments");
  }
  if (!earlier_entries_.empty() && !world_->OneIn(3)) return;
  earlier_entries_.clear();
  earlier_fronts_.clear();
  const auto keep = [&](std::vector<std::byte>& into, std::size_t at, std::size_t bytes) {
    into.insert(into.end(), &disk.written[at], &disk.written[at] + bytes);
  };
  for (std::size_t i = 0; i < super.segment_count; ++i) {
    keep(earlier_entries_, entry_at(i), sizeof(format::SegmentEntry));
    keep(earlier_fronts_, front_at(i), kFront);
  }
}

void Faults::RotLines(Host& host) {
  CrashDisk& disk = host.disk();
  constexpr std::size_t kLine = 64;
  const std::size_t lines = (disk.written.size() - format::kDataOffset) / kLine;
  const auto used = [&](std::size_t at) {
    return std::any_of(&disk.written[at], &disk.written[at] + kLine, [](std::byte b) { return b != std::byte{0}; });
  };
  std::size_t changed = 0;
  // One that hardly anything meets, or so many that what is read next is among them.
  const std::size_t wanted = 1 + world_->Below(world_->OneIn(2) ? 20 : 3000);
  for (int tries = 0; tries < 20'000 && changed < wanted; ++tries) {
    const std::size_t at = format::kDataOffset + kLine * world_->Below(lines);
    if (!used(at)) continue;
    ++changed;
    const auto bit = std::byte{1} << world_->Below(8);
    const std::size_t one = at + world_->Below(kLine);
    const std::size_t length =
        world_->OneIn(4) ? std::min<std::size_t>(kLine << world_->Below(7), disk.written.size() - at) : 0;
    for (auto* bytes : {&disk.written, &disk.drained}) {
      (*bytes)[one] ^= bit;
      if (length != 0) std::fill_n(&(*bytes)[at], length, std::byte{0});
    }
  }
  Say(host.number(), "its medium has changed in " + std::to_string(changed) + " places");
}

// Its address leads nowhere, and it follows all the same, for it dials the others.  Nobody could follow it.
void Faults::StartUnreached() {
  Host* primary = cluster_->Primary();
  if (primary == nullptr || !cluster_->AllInSync(Lsn{})) return;
  free_from_ = world_->Now() + kForLong;
  Host& host = Another(primary);
  Say(host.number(), "is to be started where nobody can dial it");
  host.KillProcess();
  world_->Hide(host.number());
  host.PowerOn();
  WatchUnreached(host);
  const bool dies = world_->OneIn(2);
  world_->After(milliseconds(20) + world_->UpTo(milliseconds(400)), [this, &host, primary, dies] {
    if (ended_) return;
    if (dies) primary->KillProcess();
    silent_since_ = world_->Now() + plan_.promotion_patience;
    Promote(host);
  });
  world_->After(milliseconds(600) + world_->UpTo(milliseconds(800)), [this, primary] {
    if (!ended_) primary->PowerOn();
  });
  world_->After(milliseconds(2000) + world_->UpTo(milliseconds(2000)), [this, &host] {
    world_->Show(host.number());
    if (!ended_) free_from_ = world_->Now();
  });
}

void Faults::WatchUnreached(Host& host) {
  world_->After(milliseconds(20), [this, &host] {
    if (ended_ || !world_->IsHidden(host.number())) return;
    if (host.running() && host.store() != nullptr && host.store()->Info().role == Role::kPrimary) {
      cluster_->Violation("host " + std::to_string(host.number()) + " was elected, and nobody can dial it");
    }
    WatchUnreached(host);
  });
}

// Of five, so that three are left; what a voter has said lives longer than it does.
void Faults::HangVoters() {
  Host* primary = cluster_->Primary();
  if (primary == nullptr || !cluster_->AllInSync(Lsn{})) return;
  free_from_ = world_->Now() + kForLong;
  Host& candidate = Another(primary);
  Host& voter = Another(&candidate);
  Host* second = world_->OneIn(2) ? primary : &Another(&candidate);
  if (second == &voter) second = primary;
  if (second != primary) {
    primary->KillProcess();
    Later(milliseconds(100), [primary] { primary->PowerOn(); });
  } else {
    Pause(*primary);
  }
  // Within the lease, so that the first answers name it.
  const MonoTime order = world_->UpTo(milliseconds(300));
  const MonoTime hang = order + world_->UpTo(milliseconds(world_->OneIn(2) ? 3 : 500));
  silent_since_ = world_->Now() + order + plan_.promotion_patience;
  world_->After(order, [this, &candidate] {
    if (!ended_) Promote(candidate);
  });
  world_->After(hang, [this, &voter, second, primary] {
    if (ended_) return;
    if (voter.running()) Pause(voter);
    if (second != primary && second->running()) Pause(*second);
    OnceServed([this, &voter, second] {
      GoOn(voter);
      GoOn(*second);
    });
  });
}

void Faults::LoseHeir() {
  Host* primary = cluster_->Primary();
  if (primary == nullptr || !cluster_->AllInSync(Lsn{})) return;
  Host& heir = Another(primary);
  free_from_ = world_->Now() + milliseconds(2500);
  const bool stops = world_->OneIn(2);
  HandOver(*primary, heir);
  world_->After(world_->UpTo(milliseconds(world_->OneIn(2) ? 1 : 5)), [this, &heir, stops] {
    if (ended_ || !heir.running()) return;
    if (stops) {
      Pause(heir);
    } else {
      Say(heir.number(), "dies as it inherits");
      heir.KillProcess();
    }
    // For longer than any call may take.
    world_->After(milliseconds(1200) + world_->UpTo(milliseconds(1000)), [this, &heir, stops] {
      if (ended_) return;
      stops ? GoOn(heir) : heir.PowerOn();
    });
  });
}

// While a commit waits for one backup, writes and an order for the next turn come in.  By then nobody answers.  Then
// all processes die, and the others go on without the primary: what it has sent in that turn has never reached them.
void Faults::OrderInVain() {
  Host* primary = cluster_->Primary();
  if (primary == nullptr || !cluster_->AllInSync(Lsn{})) return;
  free_from_ = world_->Now() + milliseconds(4000);
  Host& heir = Another(primary);
  const auto others = [this, primary](const std::function<void(Host&)>& what) {
    for (int number = 1; number <= cluster_->size(); ++number) {
      if (Host& host = (*cluster_)[number]; &host != primary) what(host);
    }
  };
  Pause(heir);
  world_->After(milliseconds(40) + world_->UpTo(milliseconds(150)), [this, primary, &heir, others] {
    if (ended_) return;
    others([this](Host& host) { Pause(host); });
    HandOver(*primary, heir);
  });
  world_->After(milliseconds(1000), [this, primary, others] {
    if (ended_) return;
    Say(primary->number(), "dies");
    primary->KillProcess();
    others([this](Host& host) {
      host.KillProcess();
      GoOn(host);
      host.PowerOn();
    });
    OnceServed([primary] { primary->PowerOn(); });
  });
}

// Whoever says that it was promoted serves: this one cannot.
void Faults::PromoteCutOff() {
  Host* primary = cluster_->Primary();
  if (primary == nullptr || world_->Now() < free_from_) return;
  free_from_ = world_->Now() + milliseconds(3000);
  alone_ = primary->number();
  alone_since_ = world_->Now();
  Block(*primary);
  for (int i = 0; i < 4; ++i) {
    world_->After(world_->UpTo(milliseconds(900)), [this, primary] {
      if (!ended_) Promote(*primary);
    });
  }
  world_->After(milliseconds(1000) + world_->UpTo(milliseconds(1000)), [this] {
    alone_ = 0;
    world_->UnblockAll();
    world_->PokeAll();
  });
}

// One Sentinel tells the heir to lead, and the primary to follow it; another, or an operator, does so as well.
void Faults::ChangeAsPlanned() {
  Host* primary = cluster_->Primary();
  if (primary == nullptr || !cluster_->AllInSync(Lsn{}) || !progress_->Planned()) return;
  Host& heir = Another(primary);
  free_from_ = world_->Now() + milliseconds(600);
  const MonoTime apart = milliseconds(world_->OneIn(2) ? 1 : 20);
  for (std::uint64_t orders = 2 + world_->Below(3); orders > 0; --orders) {
    world_->After(world_->UpTo(apart), [this, primary, &heir, takes = world_->OneIn(2)] {
      if (ended_) return;
      takes ? TakeOver(heir) : HandOver(*primary, heir);
    });
  }
}

// In the middle of a unit, of which the others hold a part, it is cut off until another campaigns.  That one dies of
// it, so that this one may lead again, or leads.  Nobody writes until all have applied the same.
void Faults::Depose(Host& host) {
  free_from_ = world_->Now() + milliseconds(3000);
  clients_->Rest(true);
  Block(host);
  Host& other = Another(&host);
  world_->After(kSilence + world_->UpTo(milliseconds(200)), [this, &other] {
    if (ended_) return;
    silent_since_ = world_->Now() + plan_.promotion_patience;
    Promote(other);
    WhenItCampaigns(other, [this, &other, dies = world_->OneIn(2)] {
      if (dies) {
        Say(other.number(), "dies as it campaigns");
        other.KillProcess();
        Later(milliseconds(100), [&other] { other.PowerOn(); });
      }
      world_->UnblockAll();
      world_->PokeAll();
    });
  });
  world_->After(milliseconds(1000), [this] { CompareOnceInSync(); });
}

// It has promised itself an epoch; others may have, or not.
void Faults::WhenItCampaigns(Host& host, std::function<void()> what) {
  world_->After(milliseconds(1), [this, &host, what = std::move(what)] {
    if (ended_) return;
    const bool campaigns = host.store() != nullptr && host.store()->Info().role == Role::kCandidate;
    const bool leads = host.store() != nullptr && host.store()->Serving();
    if (!campaigns && !leads && world_->Now() < free_from_) return WhenItCampaigns(host, what);
    world_->After(world_->UpTo(milliseconds(1)), [this, what] {
      if (!ended_) what();
    });
  });
}

void Faults::CompareOnceInSync() {
  world_->After(milliseconds(20), [this] {
    if (ended_) return;
    const Host* primary = cluster_->Primary();
    // In the middle of a turn the primary shows what is not in the log yet.
    const bool in_sync =
        primary != nullptr && !primary->store()->NeedsCommit() && cluster_->AllInSync(primary->store()->Info().last);
    if (world_->Now() < free_from_ && (!in_sync || cluster_->KeysDiffer())) return CompareOnceInSync();
    if (in_sync) {
      if (const auto differ = cluster_->KeysDiffer()) cluster_->Violation("a unit was cut: " + *differ);
    }
    free_from_ = world_->Now();
    clients_->Rest(false);
  });
}

// --- Disks.

void Faults::RefuseDisk() {
  Host& host = Victim();
  if (!host.running() || host.refusal.calls > 0) return;
  host.refusal = {
      .calls = 1 + world_->Below(12), .at_drain = world_->OneIn(4), .kept = static_cast<unsigned>(world_->Below(9))};
  Say(host.number(), "has a disk that will refuse");
}

// Somebody looks after them.
void Faults::RestartFailed() {
  for (int number = 1; number <= cluster_->size(); ++number) {
    Host& host = (*cluster_)[number];
    if (!host.failed() && (host.running() || !host.refusal.happened)) continue;
    host.KillProcess();
    host.refusal = {};
    SwitchOnLater(host);
  }
  Later(kFailedFor, [this] { RestartFailed(); });
}

// --- What is done whatever else is.

// They are told to until they have; one that is killed meanwhile may have to be told again.
void Faults::JoinLate() {
  for (int number = 1; number <= cluster_->size(); ++number) {
    Host& host = (*cluster_)[number];
    if (host.joined()) continue;
    host.PowerOn();
    cluster_->Join(host);
  }
  world_->After(milliseconds(100), [this] { JoinLate(); });
}

void Faults::Aim() {
  if (plan_.rot) JoinLate();
  if (plan_.late > 0) world_->After(world_->UpTo(plan_.length), [this] { JoinLate(); });
  if (plan_.disk_errors) RestartFailed();
  // Where the whole log comes from: that link breaks while it comes, for as long as nothing else can help.
  cluster_->on_install = [this](Host& host) {
    if (!ended_ && plan_.slow_installs) SlowInstall(host);
    if (ended_ || !plan_.behind || world_->OneIn(3)) return;
    world_->After(world_->UpTo(milliseconds(10)), [this, &host] {
      if (ended_) return;
      Block(host);
      Later(milliseconds(4000), [this] {
        alone_ = 0;
        world_->UnblockAll();
        world_->PokeAll();
      });
    });
  };
  cluster_->on_half_shipped = [this](Host& host, MonoTime busy) {
    const bool wanted = !ended_ && plan_.deposes && busy > kHalfUnit && world_->Now() >= free_from_;
    if (!wanted || cluster_->Primary() != &host) return;
    world_->After(world_->UpTo(milliseconds(5)), [this, &host] {
      if (!ended_) Depose(host);
    });
  };
  cluster_->on_torn = [this](Host& host) {
    if (ended_ || !plan_.torn) return;
    world_->After(world_->UpTo(milliseconds(50)), [this, &host] {
      if (ended_) return;
      Say(host.number(), "dies in the middle of a unit");
      host.KillProcess();
      SwitchOnLater(host);
    });
  };
}

}  // namespace faha::sim
