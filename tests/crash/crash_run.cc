#include "tests/crash/crash_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <stdexcept>

#include "log/format.h"

namespace faha::crash {

namespace {
constexpr int kMaxCrashes = 2;  // one within the recovery from another
constexpr std::array<std::uint32_t, 3> kGranules = {64, 256, 4096};

std::string ReadFile(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}
}  // namespace

std::string Name(Place place) {
  constexpr std::array sites = {"nothing written", "superblock", "table entry written", "table entry cleared", "batch"};
  return fmt::format("{} ({})", sites[static_cast<std::size_t>(place.first)],
                     place.second == Phase::kOpening ? "opening" : "serving");
}

Site SiteOf(const CrashDisk& disk, std::size_t since) {
  if (disk.undrained.size() <= since) return Site::kNothingWritten;
  const auto& [offset, data] = disk.undrained.back();
  if (offset < format::kTableOffset) return Site::kSuperblock;
  if (offset >= format::kDataOffset) return Site::kBatch;
  const bool zero = std::all_of(data.begin(), data.end(), [](std::byte b) { return b == std::byte{0}; });
  return zero ? Site::kEntryCleared : Site::kEntryWritten;
}

CrashRun::CrashRun(std::uint64_t seed, const RunOptions& options) : seed_(seed), options_(options), world_(seed) {
  std::string name = (std::filesystem::temp_directory_path() / "faha-crash-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("no folder for checkpoints");
  folder_ = name;
}

CrashRun::~CrashRun() {
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

std::optional<std::string> CrashRun::Run() {
  const std::uint64_t size = format::kDataOffset + options_.history.segments * format::kMinSegmentBytes;
  for (int i = 0; i < kMaxCrashes; ++i) spare_.push_back(std::make_shared<CrashDisk>(size));
  Life life{.disk = std::make_shared<CrashDisk>(size), .pool_bytes = size, .checkpoint = folder_ / "life"};
  History history(seed_, options_.history);
  Open(life);
  for (int step = 0; step < options_.history.steps && !violation_ && !full_; ++step) {
    if (history.OneIn(12)) {
      Restart(life, history);
    } else {
      Write(life, history);
      if (history.OneIn(2)) Commit(life);
      if (!violation_) life.store->Tick();
    }
  }
  if (!violation_) Commit(life);
  if (!violation_ && !Holds(*life.store, life.model.acknowledged(), kDatabases)) {
    Violate("the store that served does not hold what it acknowledged");
  }
  Die(life);
  return violation_;
}

void CrashRun::Open(Life& life) {
  if (violation_) return;
  life.phase = Phase::kOpening;
  life.seen_undrained = life.disk->undrained.size();
  life.disk->before_drain = [this, &life] { return OnDrain(life); };
  life.fabric = std::make_unique<SimFabric>(&world_, life.depth);
  Options options;
  options.segment_bytes = format::kMinSegmentBytes;
  options.pool_bytes = life.pool_bytes;
  options.checkpoint_path = life.checkpoint;
  options.batch_bytes = 4096;
  options.log = [this](LogLevel, std::string_view line) {
    if (line.starts_with("the index is that of the checkpoint")) ++checkpoints_used_;
    if (line.find("is not used, for it") != std::string_view::npos) ++checkpoints_refused_;
    if (line.find("has grown from") != std::string_view::npos) ++growths_;
  };
  auto opened = Store::Open(
      options, this,
      {std::make_unique<CrashMedia>(life.disk, kGranules[seed_ % kGranules.size()]), life.fabric.get(), &world_});
  if (!opened.ok()) return Violate("the pool does not open: " + opened.status().ToString());
  life.store = std::move(opened.value());
  life.phase = Phase::kServing;
  const StoreInfo info = life.store->Info();
  const Claims& before = life.claims;
  if (info.state != "serving") return Violate("the store does not serve: " + info.state);
  if (!before.node.IsNone() && (info.node != before.node || info.cluster != before.cluster)) {
    return Violate("the pool has forgotten who it is");
  }
  if (info.epoch <= before.epoch) return Violate(fmt::format("epoch {} serves twice", info.epoch.value));
  // A batch of the new epoch stands behind all that was recovered.
  if (info.last <= before.committed) {
    return Violate(fmt::format("LSN {} was committed, but the log was recovered up to {} at most",
                               before.committed.value, info.last.value - 1));
  }
  if (!life.model.Recover(*life.store, kDatabases)) {
    return Violate(fmt::format("{} keys, which are not those acknowledged ({}) and the first of {} units issued since",
                               info.keys, life.model.acknowledged().size(), life.model.pending()));
  }
  life.claims = {info.epoch, info.committed, info.node, info.cluster};
}

// As planned, with a checkpoint, or by kill -9: what was written stays then, drained or not.
void CrashRun::Restart(Life& life, History& history) {
  if (violation_) return;
  if (history.OneIn(options_.history.planned_one_in)) {
    Commit(life);
    if (violation_) return;
    if (const Status status = life.store->Checkpoint(); !status.ok()) return Violate(status.ToString());
    if (std::filesystem::exists(life.checkpoint)) checkpoints_.push_back(ReadFile(life.checkpoint));
  }
  Die(life);
  if (options_.history.grows_one_in != 0 && history.OneIn(options_.history.grows_one_in)) {
    life.pool_bytes += format::kMinSegmentBytes;
  }
  Open(life);
}

// A file system may leave any older version of a file, none, or one that is damaged.
void CrashRun::LeaveCheckpoint(const Life& from, const Life& to, std::mt19937_64& random) const {
  std::filesystem::remove(to.checkpoint);
  if (checkpoints_.empty() || !std::filesystem::exists(from.checkpoint)) return;
  std::string bytes = ReadFile(from.checkpoint);
  switch (bytes.empty() ? 7 : random() % 8) {  // one that was cut may have nothing left
    case 0: return;
    case 1: bytes = checkpoints_[random() % checkpoints_.size()]; break;
    case 2: bytes.resize(random() % bytes.size()); break;
    case 3: bytes[random() % bytes.size()] ^= static_cast<char>(1 << random() % 8); break;
    default: break;
  }
  std::ofstream(to.checkpoint, std::ios::binary) << bytes;
}

// The process is gone, whatever it was doing.
void CrashRun::Die(Life& life) {
  const auto writes = life.disk->undrained.size();
  life.store.reset();
  life.fabric.reset();
  if (life.disk->undrained.size() != writes) Violate("a store that is destroyed writes");
  life.disk->before_drain = nullptr;
}

void CrashRun::Write(Life& life, History& history) {
  if (violation_) return;
  history.Guess(life.claims.cluster, life.claims.node);
  const Unit unit = history.NextUnit();
  Cost cost;
  for (const Change& change : unit) cost += CostOf(*life.store, change);
  if (const Status status = life.store->CheckWrite(cost.bytes, cost.records); !status.ok()) {
    if (status.code() != Code::kNoSpace || options_.history.pool_never_full) Violate(status.ToString());
    full_ = true;
    return;
  }
  for (const Change& change : unit) {
    const Status status = CarryOut(*life.store, change);
    if (!status.ok()) return Violate("a change that was allowed failed: " + status.ToString());
    if (violation_) return;
  }
  life.model.Issue(unit);
  life.store->EndUnit();
}

void CrashRun::Commit(Life& life) {
  if (violation_) return;
  if (const Status status = life.store->Commit(); !status.ok()) return Violate(status.ToString());
  life.model.Acknowledge();
  life.claims.committed = life.store->Info().committed;
}

// False: the drain is to do nothing.
bool CrashRun::OnDrain(Life& life) {
  const Place place{SiteOf(*life.disk, life.seen_undrained), life.phase};
  const std::uint64_t number = ++drains_[place];
  if (life.depth < kMaxCrashes && !violation_) {
    where_.push_back(fmt::format("drain {} ({})", life.disk->drains, Name(place)));
    std::mt19937_64 random(seed_ * 1000 + number);
    for (int i = 0; i < options_.modes && !violation_; ++i)
      PowerFails(life, kCrashModes[random() % kCrashModes.size()]);
    where_.pop_back();
  }
  const bool dropped = place == options_.mutation;
  life.seen_undrained = dropped ? life.disk->undrained.size() : 0;
  return !dropped;
}

// Now, to a copy of `life`: is what is left right, and does life go on?
void CrashRun::PowerFails(const Life& life, CrashMode mode) {
  std::mt19937_64 random(seed_ << 32 ^ ++crashes_);
  const bool again = life.depth == 0 && random() % options_.again_one_in == 0;
  Life next{.disk = spare_[life.depth],
            .pool_bytes = life.pool_bytes,
            .checkpoint = folder_ / std::to_string(life.depth),
            .depth = again ? life.depth + 1 : kMaxCrashes,
            .model = life.model,
            .claims = life.claims};
  next.disk->CopyFrom(*life.disk);
  next.disk->Crash(random, mode);
  LeaveCheckpoint(life, next, random);
  Open(next);
  next.depth = kMaxCrashes;  // what follows the recovery is as any other history
  History history(random(), options_.history, crashes_ << 32);
  for (int i = 0; i < 2 && !full_; ++i) Write(next, history);
  full_ = false;
  Commit(next);
  Die(next);
  next.disk->Crash(random, CrashMode::kNothing);
  Open(next);
  Die(next);
}

void CrashRun::Violate(const std::string& what) {
  if (violation_) return;
  std::string where;
  for (const std::string& crash : where_) where += "power fails at " + crash + "; ";
  violation_ = fmt::format("seed {}: {}{}\n  again with: FAHA_SEED={} ctest --preset release -R crash.store", seed_,
                           where, what, seed_);
}

}  // namespace faha::crash
