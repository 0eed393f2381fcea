#include "tests/sim/cluster.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <map>

#include "cluster/membership.h"
#include "log/format.h"
#include "log/pool.h"
#include "log/record_kinds.h"
#include "log/scan_segment.h"

namespace faha::sim {

namespace {

constexpr std::uint64_t kSegment = format::kMinSegmentBytes;
// Short, so that much happens in little time; the margin between two clocks grows with them.
constexpr std::chrono::milliseconds kLease{300};
constexpr std::chrono::milliseconds kPersistTimeout{200};
// A call waits for a backup that hangs, and for one more that does meanwhile: twice persist-timeout, and the time that
// bytes take.  A process that is stopped in the middle of a call stands still for longer; each drain of a slow disk
// comes on top.
constexpr std::chrono::milliseconds kPatience{600}, kPatienceOfStopped{1000}, kPatienceOfSlowDisks{10'000};
// A log that is taken is begun again at most so often.
constexpr int kMaxRestarts = 2;
// The fastest clock and the slowest are not further apart than what a lease allows for, an eighth: 2^16 of it is 8192.
constexpr std::int64_t kSlowest = 65536 - 3800, kFastest = 65536 + 3900;
static_assert((kFastest - kSlowest) * 8 <= kSlowest);

// Disks are used again, for their pages are there already.
std::map<std::size_t, std::vector<std::shared_ptr<CrashDisk>>>& Shelf() {
  static std::map<std::size_t, std::vector<std::shared_ptr<CrashDisk>>> shelf;
  return shelf;
}

std::shared_ptr<CrashDisk> TakeDisk(std::size_t size) {
  auto& spare = Shelf()[size];
  if (spare.empty()) return std::make_shared<CrashDisk>(size);
  auto disk = std::move(spare.back());
  spare.pop_back();
  return disk;
}

void PutBack(std::shared_ptr<CrashDisk> disk) {
  disk->Reset();
  Shelf()[disk->written.size()].push_back(std::move(disk));
}

HostSettings SettingsOf(const Plan& plan, int number, World& world) {
  HostSettings settings;
  settings.granule = plan.granule;
  settings.width = plan.width;
  settings.elements = plan.elements;
  settings.patience = plan.slow_disks             ? kPatienceOfSlowDisks
                      : plan.kind == Kind::kMixed ? kPatienceOfStopped
                                                  : kPatience;
  settings.joined = number <= plan.hosts - plan.late;
  settings.holds = plan.holds;
  settings.clock_start = world.UpTo(std::chrono::hours(1));
  settings.clock_rate = kSlowest + static_cast<std::int64_t>(world.Below(kFastest - kSlowest + 1));
  Options& options = settings.options;
  options.segment_bytes = kSegment;
  options.pool_bytes = format::kDataOffset + plan.segments * kSegment;
  options.batch_bytes = 4096;
  options.batch_depth = plan.batch_depth;
  options.lease = kLease;
  options.persist_timeout = kPersistTimeout;
  options.redis_port = static_cast<std::uint16_t>(7000 + number);
  options.port = static_cast<std::uint16_t>(options.redis_port + options.port_offset);
  return settings;
}

}  // namespace

Cluster::Cluster(World* world, const Plan& plan) : world_(world) {
  world->rdma = plan.rdma;
  world->flush = plan.flush;
  for (int number = 1; number <= plan.hosts; ++number) {
    const HostSettings settings = SettingsOf(plan, number, *world);
    disks_.push_back(TakeDisk(settings.options.pool_bytes));
    hosts_.push_back(std::make_unique<Host>(world, number, settings, disks_.back(), static_cast<Referee*>(this)));
  }
}

Cluster::~Cluster() {
  hosts_.clear();
  for (auto& disk : disks_) PutBack(std::move(disk));
}

void Cluster::Form() {
  for (const auto& host : hosts_) {
    if (host->joined()) host->PowerOn();
  }
  world_->RunTo(world_->Now() + std::chrono::milliseconds(50));
  for (const auto& host : hosts_) {
    if (host == hosts_.front() || !host->joined()) continue;
    host->Command([primary = hosts_.front()->Redis()](Store& store) { store.Follow(primary); });
  }
  led_last_ = 1;
  // Each knows of all members: one that does not is a cluster of its own when it starts again.
  const auto formed = [&] {
    const Host* primary = Primary();
    return primary != nullptr && AllInSync(primary->store()->Info().last);
  };
  for (int i = 0; i < 1000 && !formed(); ++i) world_->RunTo(world_->Now() + std::chrono::milliseconds(10));
  if (!formed()) NoProgress("the cluster does not form:");
}

void Cluster::Join(Host& host) {
  Host* primary = Primary();
  if (host.joined() || host.store() == nullptr || primary == nullptr) return;
  host.Command([to = primary->Redis()](Store& store) { store.Follow(to); });
}

bool Cluster::AllJoined() const {
  return std::all_of(hosts_.begin(), hosts_.end(), [](const auto& host) { return host->joined(); });
}

Host& Cluster::Any() {
  Host* host = nullptr;
  do {
    host = &(*this)[1 + static_cast<int>(world_->Below(hosts_.size()))];
  } while (!host->joined());
  return *host;
}

Host* Cluster::Primary() {
  for (const auto& host : hosts_) {
    if (host->joined() && host->store() != nullptr && !host->paused() && host->store()->Serving()) return host.get();
  }
  return nullptr;
}

bool Cluster::AllInSync(Lsn least) {
  Host* primary = Primary();
  if (primary == nullptr) return false;
  const StoreInfo info = primary->store()->Info();
  const auto synced = std::count_if(info.peers.begin(), info.peers.end(),
                                    [](const PeerInfo& peer) { return peer.in_sync && peer.voting; });
  const auto joined = std::count_if(hosts_.begin(), hosts_.end(), [](const auto& host) { return host->joined(); });
  if (synced + 1 != joined || static_cast<long>(info.members.size()) != joined || info.committed < least) return false;
  return std::all_of(hosts_.begin(), hosts_.end(), [&](const auto& host) {
    if (!host->joined()) return true;
    if (host->store() == nullptr) return false;
    const StoreInfo own = host->store()->Info();
    // What a primary's cleaner has moved becomes durable there with its next commit.
    return (own.durable >= least || host.get() == primary) && own.applied >= least;
  });
}

std::string Cluster::Describe() {
  std::string text;
  for (const auto& host : hosts_) {
    text += fmt::format("\n    host {}: ", host->number());
    if (host->store() == nullptr) {
      text += host->running() ? "opens its pool" : "off";
      continue;
    }
    const StoreInfo info = host->store()->Info();
    text += fmt::format("{}, epoch {}, log {}, durable {}, committed {}, applied {}, {} members, last error: {}",
                        info.state, info.epoch.value, info.last.value, info.durable.value, info.committed.value,
                        info.applied.value, info.members.size(), info.last_error);
  }
  return text;
}

void Cluster::OnPrimary(int host, Epoch epoch) {
  world_->Trace(host, fmt::format("primary of epoch {}", epoch.value));
  led_last_ = host;
  ++disturbances_;
  if (!(*this)[host].joined()) return;  // of a cluster of its own
  const auto [at, fresh] = primaries_.emplace(epoch, host);
  if (!fresh && at->second != host) {
    Violation(fmt::format("epoch {} has two primaries: hosts {} and {}", epoch.value, at->second, host));
  }
}

// A new primary's log is another to take.
void Cluster::OnInstall(int host) {
  auto& [since, times] = installs_[host];
  if (since != disturbances_) times = 0;
  since = disturbances_;
  if (++times > 1 + kMaxRestarts) {
    Violation(fmt::format("host {} begins to take the whole log for the {}th time, and nothing has disturbed it", host,
                          times));
  }
  if (on_install) on_install(*hosts_[static_cast<std::size_t>(host - 1)]);
}

void Cluster::OnTorn(int host) {
  if (on_torn) on_torn(*hosts_[static_cast<std::size_t>(host - 1)]);
}

void Cluster::OnHalfShipped(int host, MonoTime busy) {
  if (on_half_shipped) on_half_shipped(*hosts_[static_cast<std::size_t>(host - 1)], busy);
}

void Cluster::Violation(const std::string& what) {
  if (!violation_) violation_ = fmt::format("at {:.4f}: {}", Seconds(world_->Now()), what);
}

void Cluster::NoProgress(const std::string& what) {
  only_progress_ = only_progress_ || !violation_;
  Violation(what + Describe());
}

// --- Keys and logs.

std::optional<std::string> Cluster::KeysDiffer() {
  Host* primary = Primary();
  if (primary == nullptr) return "nobody is primary";
  const auto own = primary->Contents();
  for (const auto& host : hosts_) {
    if (!host->joined()) continue;
    const auto others = host->Contents();
    if (others == own) continue;
    const auto [at, other] = std::mismatch(own.begin(), own.end(), others.begin(), others.end());
    const std::string& key =
        at != own.end() && (other == others.end() || at->first <= other->first) ? at->first : other->first;
    const auto value = [&](const auto& contents) {
      const auto found = contents.find(key);
      return found == contents.end() ? std::string("absent") : std::to_string(found->second);
    };
    return fmt::format("hosts {} and {}: {} is {} and {}{}", primary->number(), host->number(), key, value(own),
                       value(others), Describe());
  }
  return std::nullopt;
}

namespace {

struct Batches {
  std::map<Lsn, std::pair<LogAddress, std::span<const std::byte>>> by_lsn;
  Lsn freed_through;  // what is missing up to here was given back
};

Batches BatchesOf(const std::shared_ptr<CrashDisk>& disk, std::uint32_t granule) {
  Batches all;
  const auto pool = Pool::Inspect(std::make_unique<CrashMedia>(disk, granule));
  if (!pool.ok()) return all;
  for (std::uint32_t i = 0; i < (*pool)->geometry().segment_count; ++i) {
    const auto entry = (*pool)->ReadEntry(i);
    if (!entry) continue;
    const Segment listed{.index = i,
                         .head = entry->head == 0 ? Head::kHot : Head::kCold,
                         .generation = entry->generation,
                         .first = Lsn{entry->first_lsn}};
    const ScannedSegment found = ScanSegment(**pool, listed);
    for (const ScannedBatch& batch : BatchesFrom(**pool, found.segment, Lsn{})) {
      all.by_lsn[batch.lsn] = {batch.at, std::span(disk->written).subspan(batch.at.value, batch.bytes)};
    }
    for (const ScannedFree& free : found.frees) {
      all.freed_through = std::max(all.freed_through, Lsn{free.note.through});
    }
  }
  return all;
}

std::optional<std::string> Differ(const Batches& a, const Batches& b, Lsn committed) {
  for (const auto& [lsn, batch] : a.by_lsn) {
    if (lsn > committed) break;
    const auto other = b.by_lsn.find(lsn);
    if (other == b.by_lsn.end()) {
      if (lsn <= b.freed_through) continue;
      return fmt::format("batch {} is missing", lsn.value);
    }
    const auto& [at, bytes] = other->second;
    if (at != batch.first) return fmt::format("batch {} stands elsewhere", lsn.value);
    const auto& own = batch.second;
    if (bytes.size() != own.size() || std::memcmp(bytes.data(), own.data(), own.size()) != 0)
      return fmt::format("batch {} has other bytes", lsn.value);
  }
  return std::nullopt;
}

}  // namespace

LogEnd Cluster::LastWrite(const Host& host) {
  const auto& disk = disks_[static_cast<std::size_t>(host.number() - 1)];
  const StoreInfo info = host.store()->Info();
  const Batches log = BatchesOf(disk, info.granule);
  for (auto batch = log.by_lsn.rbegin(); batch != log.by_lsn.rend(); ++batch) {
    const auto view = BatchView::Trusted(batch->second.second.data());
    if (batch->first <= info.last && HoldsWrites(view)) return {view.epoch(), batch->first};
  }
  return {};
}

LogEnd Cluster::LastFork(const Host& host) {
  const auto& disk = disks_[static_cast<std::size_t>(host.number() - 1)];
  const StoreInfo info = host.store()->Info();
  const Batches log = BatchesOf(disk, info.granule);
  LogEnd fork;
  for (const auto& [lsn, batch] : log.by_lsn) {
    if (lsn > info.last) break;
    (void)BatchView::Trusted(batch.second.data()).ForEach([&](const Record& record, std::uint64_t) {
      if (record.kind != format::RecordKind::kConfig) return;
      const auto configuration = DecodeConfiguration(record.value);
      if (configuration && !configuration->forks.empty()) fork = configuration->forks.back().end;
    });
  }
  return fork;
}

std::optional<std::string> Cluster::LogsDiffer() {
  Host* primary = Primary();
  if (primary == nullptr) return "nobody is primary";
  // A cleaner may still be at work: up to where everybody knows of the commit.
  StoreInfo info = primary->store()->Info();
  for (const auto& host : hosts_) {
    if (host->joined()) info.committed = std::min(info.committed, host->store()->Info().applied);
  }
  std::vector<Batches> logs;
  for (const auto& disk : disks_) logs.push_back(BatchesOf(disk, info.granule));
  const Batches& own = logs[static_cast<std::size_t>(primary->number() - 1)];
  if (own.by_lsn.empty() || own.by_lsn.rbegin()->first < info.committed) return "the primary's log is short";
  for (std::size_t i = 0; i < logs.size(); ++i) {
    if (&logs[i] == &own || !hosts_[i]->joined()) continue;
    auto differ = Differ(own, logs[i], info.committed);
    if (!differ) differ = Differ(logs[i], own, info.committed);
    if (differ) return fmt::format("hosts {} and {}: {}", primary->number(), i + 1, *differ);
  }
  return std::nullopt;
}

}  // namespace faha::sim
