#include "tests/crash/fault_run.h"

#include <fmt/format.h>

#include <array>
#include <random>
#include <utility>

#include "log/format.h"

namespace faha::crash {

namespace {
constexpr std::array kNames = {"no fault", "write", "write, half way,", "drain"};
}  // namespace

FaultRun::FaultRun(std::uint64_t seed, const HistoryOptions& options) : seed_(seed), options_(options) {
  const std::uint64_t size = format::kDataOffset + options.segments * format::kMinSegmentBytes;
  disk_ = std::make_shared<CrashDisk>(size);
  copy_ = std::make_shared<CrashDisk>(size);
}

std::optional<std::string> FaultRun::RunAll() {
  if (auto violation = Run({})) return violation;
  const std::uint64_t writes = disk_->writes, drains = disk_->drains;
  for (const auto& [kind, count] :
       {std::pair{Fault::kWrite, writes}, std::pair{Fault::kWriteHalfWay, writes}, std::pair{Fault::kDrain, drains}}) {
    for (std::uint64_t number = 1; number <= count; ++number) {
      if (auto violation = Run({kind, number})) return violation;
    }
  }
  return std::nullopt;
}

bool FaultRun::Met() const {
  if (fault_.kind == Fault::kNone) return false;
  return (fault_.kind == Fault::kDrain ? disk_->drains : disk_->writes) >= fault_.number;
}

std::optional<std::string> FaultRun::Run(const Fault& fault) {
  fault_ = fault;
  violation_.reset();
  model_ = {};
  waits_ = false;
  world_ = std::make_unique<SimWorld>(seed_);
  disk_->Reset();
  (fault.kind == Fault::kDrain ? disk_->fail_at_drain : disk_->fail_at_write) =
      fault.kind == Fault::kNone ? ~0ULL : fault.number;
  disk_->fail_half_way = fault.kind == Fault::kWriteHalfWay;
  Status status;
  auto store = Open(disk_, status);
  if (Met()) ++met_opening_;
  if (store) {
    const bool before = Met();
    Live(*store);
    if (Met() && !before) ++met_serving_;
    store.reset();
    fabric_.reset();
  } else if (!Met() || status.code() == Code::kNoSpace) {
    Violate("the pool does not open: " + status.ToString());
  }
  Recovers(disk_, "the process is killed");
  std::mt19937_64 random(seed_ << 20 ^ fault.number);
  disk_->Crash(random, kCrashModes[random() % kCrashModes.size()]);
  Recovers(disk_, "power fails");
  return violation_;
}

std::unique_ptr<Store> FaultRun::Open(const std::shared_ptr<CrashDisk>& disk, Status& status) {
  fabric_ = std::make_unique<SimFabric>(world_.get(), 1);
  Options options;
  options.segment_bytes = format::kMinSegmentBytes;
  options.pool_bytes = disk->written.size();
  options.batch_bytes = 4096;
  auto opened = Store::Open(options, this, {std::make_unique<CrashMedia>(disk, 64), fabric_.get(), world_.get()});
  status = opened.status();
  return opened.ok() ? std::move(opened.value()) : nullptr;
}

void FaultRun::Live(Store& store) {
  History history(seed_, options_);
  for (int step = 0; step < options_.steps && !violation_; ++step) {
    Write(store, history);
    if (history.OneIn(2)) Commit(store);
    store.Tick();
  }
  Commit(store);
}

// What fails is not there, and what the unit wrote before is: as the commands of a script.
void FaultRun::Write(Store& store, History& history) {
  Unit unit = history.NextUnit();
  Cost cost;
  for (const Change& change : unit) cost += CostOf(store, change);
  if (!store.CheckWrite(cost.bytes, cost.records).ok()) return;
  Unit done;
  for (Change& change : unit) {
    if (CarryOut(store, change).ok()) done.push_back(std::move(change));
  }
  if (!done.empty()) {
    model_.Issue(std::move(done));
    waits_ = true;
  }
  store.EndUnit();
}

void FaultRun::Commit(Store& store) {
  const bool met = Met();
  const bool waits = std::exchange(waits_, false);
  const Status status = store.Commit();
  if (!status.ok()) {
    if (!Met()) Violate("a commit failed: " + status.ToString());
    return;
  }
  if (met && waits) Violate("the store acknowledges after its medium has failed");
  if (waits) model_.Acknowledge();
}

// On a copy, with a medium that works.
void FaultRun::Recovers(const std::shared_ptr<CrashDisk>& disk, const char* after) {
  if (violation_) return;
  copy_->CopyFrom(*disk);
  Model model = model_;
  Status status;
  auto store = Open(copy_, status);
  if (!store) return Violate(fmt::format("{}; the pool does not open: {}", after, status.ToString()));
  if (store->Info().state != "serving") Violate(fmt::format("{}; the store does not serve", after));
  if (!violation_ && !model.Recover(*store, kDatabases)) {
    Violate(
        fmt::format("{}; the store holds {} keys, which are not those acknowledged ({}) and the first of {} units "
                    "issued since",
                    after, store->Info().keys, model.acknowledged().size(), model.pending()));
  }
  store.reset();
  fabric_.reset();
}

void FaultRun::Violate(const std::string& what) {
  if (violation_) return;
  violation_ = fmt::format("seed {}, {} {} fails: {}", seed_, kNames[fault_.kind], fault_.number, what);
}

}  // namespace faha::crash
