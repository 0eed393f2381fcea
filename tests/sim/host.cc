#include "tests/sim/host.h"

#include <cstring>
#include <utility>

#include "tests/fakes/sim_disk.h"

namespace faha::sim {

namespace {

constexpr MonoTime kHealthyDrain{300};

std::string KeyName(int key) { return "key" + std::to_string(key); }

// Every word of a value says which write wrote it and how long it is.
std::string Content(Value value, std::size_t bytes) {
  const std::size_t words = std::max<std::size_t>(1, bytes / 8);
  const std::uint64_t word = std::uint64_t{words} << 32 | value;
  std::string content(words * 8, '\0');
  for (std::size_t i = 0; i < words; ++i) std::memcpy(content.data() + i * 8, &word, 8);
  return content;
}

std::optional<Value> ValueOf(std::string_view content) {
  if (content.size() < 8 || content.size() % 8 != 0) return std::nullopt;
  std::uint64_t word = 0;
  std::memcpy(&word, content.data(), 8);
  const bool uniform = std::memcmp(content.data(), content.data() + 8, content.size() - 8) == 0;
  if (word >> 32 != content.size() / 8 || !uniform) return std::nullopt;
  return static_cast<Value>(word);
}

}  // namespace

Host::Host(World* world, int number, const HostSettings& settings, std::shared_ptr<CrashDisk> disk, Referee* referee)
    : world_(world),
      number_(number),
      settings_(settings),
      disk_(std::move(disk)),
      referee_(referee),
      clock_(world, settings.clock_start, settings.clock_rate) {
  settings_.options.log = [this](LogLevel, std::string_view line) { Log(line); };
  disk_->before_drain = [this] { return OnDrain(); };
}

Host::~Host() {
  KillProcess();
  disk_->before_drain = nullptr;
}

void Host::Log(std::string_view line) {
  if (line.starts_with("taking the whole log")) ++installs;
  world_->Trace(number_, line);
}

// --- From outside.

void Host::PowerOn() {
  if (running()) return;
  world_->Trace(number_, "power on");
  ++starts;
  power_fails_ = false;
  drains_left_ = 0;
  world_->Begin(number_, [this] { Main(); });
}

void Host::PowerOff() {
  if (!running()) return;
  power_fails_ = true;
  world_->Kill(number_);
}

void Host::KillProcess() { world_->Kill(number_); }

void Host::Ask(Request request) {
  if (!store_) return request.reply(Outcome::kRefused, kAbsent);
  asked_.push_back({.request = std::move(request)});
  world_->Poke(number_);
}

void Host::Command(std::function<void(Store&)> command) {
  if (!store_) return;
  commands_.push_back(std::move(command));
  world_->Poke(number_);
}

std::map<std::string, std::uint64_t> Host::Contents() const {
  std::map<std::string, std::uint64_t> contents;
  std::uint64_t cursor = 0;
  do {
    cursor = store_->Scan(0, cursor, [&](std::string_view key, const Entry& entry) {
      std::uint64_t word = 0;
      std::memcpy(&word, entry.value.data(), std::min(sizeof word, entry.value.size()));
      contents[std::string(key)] = word;
    });
  } while (cursor != 0);
  return contents;
}

// --- The main loop.

void Host::Main() {
  try {
    Open();
    while (store_) {
      store_->Poll();
      if (world_->Now() >= next_tick_) {
        next_tick_ = world_->Now() + Store::kTickPeriod;
        store_->Tick();
      }
      for (const auto& command : std::exchange(commands_, {})) command(*store_);
      Turn();
      if (commands_.empty() && asked_.empty() && world_->Now() < next_tick_)
        world_->Wait(number_, next_tick_ - world_->Now());
    }
  } catch (const Killed&) {
    world_->Trace(number_, power_fails_ ? "power off" : "killed");
  }
  Bury();
}

void Host::Open() {
  fabric_ = std::make_unique<SimFabric>(world_, number_);
  TellDiskOfLandings(*fabric_, disk_);
  auto opened = Store::Open(settings_.options, this,
                            {std::make_unique<CrashMedia>(disk_, settings_.granule), fabric_.get(), &clock_});
  if (opened.ok()) {
    store_ = std::move(opened.value());
  } else {
    referee_->Violation("host " + std::to_string(number_) + " does not start: " + opened.status().ToString());
  }
}

void Host::Bury() {
  if (power_fails_ && fabric_) fabric_->Vanish();
  if (store_) cleaned += store_->Info().cleaned_segments;
  store_.reset();
  fabric_.reset();
  if (power_fails_) disk_->Crash(world_->random());
  commands_.clear();
  // A client whose connection breaks does not know.
  for (const auto& pending : std::exchange(turn_, {})) pending.request.reply(Outcome::kUnknown, kAbsent);
  for (const auto& pending : std::exchange(asked_, {})) pending.request.reply(Outcome::kUnknown, kAbsent);
}

bool Host::OnDrain() {
  if (!running()) return true;
  if (drains_left_ > 0 && --drains_left_ == 0) {
    power_fails_ = true;
    throw Killed{};
  }
  world_->Sleep(number_, world_->UpTo(drain_most == MonoTime{0} ? kHealthyDrain : drain_most));
  return true;
}

void Host::OnPrimary() {
  if (store_) referee_->OnPrimary(number_, store_->Info().epoch);
}

// --- Clients.

void Host::Turn() {
  if (asked_.empty()) return;
  turn_ = std::exchange(asked_, {});
  for (Pending& pending : turn_) Execute(pending);
  const Status status = store_->Commit();
  for (const Pending& pending : std::exchange(turn_, {})) {
    const bool done = pending.executed && status.ok();
    pending.request.reply(done ? Outcome::kDone : pending.outcome, pending.read);
  }
}

void Host::Execute(Pending& pending) {
  pending.request.kind == Operation::Kind::kRead ? Read(pending) : Write(pending);
}

void Host::Read(Pending& pending) {
  pending.outcome = Outcome::kRefused;
  if (!store_->CheckRead().ok()) return;
  const auto entry = store_->Get(0, KeyName(pending.request.key));
  pending.executed = true;
  if (!entry) return;
  const auto value = ValueOf(entry->value);
  if (!value) return referee_->Violation("key " + std::to_string(pending.request.key) + " holds what nobody wrote");
  pending.read = *value;
}

void Host::Write(Pending& pending) {
  const Request& request = pending.request;
  const std::string key = KeyName(request.key);
  const bool deletes = request.value == kAbsent;
  const std::string content = deletes ? "" : Content(request.value, request.bytes);
  pending.outcome = Outcome::kRefused;
  const Status allowed =
      deletes ? store_->CheckErase(key.size(), 1) : store_->CheckWrite(key.size() + content.size(), 1);
  if (allowed.code() == Code::kNoSpace) ++full;
  if (!allowed.ok()) return;
  const Status status = deletes ? store_->Delete(0, key) : store_->Put(0, key, content, kNoExpiry);
  store_->EndUnit();
  if (status.code() == Code::kNoSpace) return;
  pending.outcome = Outcome::kUnknown;
  pending.executed = status.ok();
}

}  // namespace faha::sim
