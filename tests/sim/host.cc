#include "tests/sim/host.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <utility>

#include "tests/fakes/collections.h"

namespace faha::sim {

namespace {
constexpr MonoTime kHealthyDrain{300};
// So often a call may look at the clock before time passes.
constexpr std::uint64_t kMaxLooks = 1'000'000;
}  // namespace

Host::Host(World* world, int number, const HostSettings& settings, std::shared_ptr<CrashDisk> disk, Referee* referee)
    : world_(world),
      number_(number),
      settings_(settings),
      disk_(std::move(disk)),
      referee_(referee),
      clock_(world, settings.clock_start, settings.clock_rate),
      joined_(settings.joined) {
  clock_.on_look = [this] {
    if (call_ != nullptr && world_->running() == number_) CheckCall();
  };
  settings_.options.log = [this](LogLevel, std::string_view line) { Log(line); };
  disk_->before_drain = [this] { return OnDrain(); };
}

Host::~Host() {
  KillProcess();
  disk_->before_drain = nullptr;
}

void Host::Log(std::string_view line) {
  world_->Trace(number_, line);
  if (line.starts_with("taking the whole log")) {
    ++installs;
    if (store_ && store_->Info().role == Role::kCandidate) {
      referee_->Violation("host " + std::to_string(number_) + " gives its log up while it campaigns");
    }
    referee_->OnInstall(number_);
  } else if (line.find("was cleaned away before it came") != std::string_view::npos) {
    ++overtaken;
  } else if (line.starts_with("joined the cluster")) {
    referee_->OnInstall(number_);
  } else if (in_unit_ && line.find(" becomes a member") != std::string_view::npos) {
    referee_->OnTorn(number_);
  }
}

// --- From outside.

void Host::PowerOn() {
  if (running()) return;
  world_->Trace(number_, "power on");
  ++starts;
  power_fails_ = in_unit_ = deaf_ = false;
  drains_left_ = 0;
  refusal = {};
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

namespace {
// What an entry tells: the first word of its value, and those of its elements.
void Tell(Store& store, std::string_view key, const Entry& entry, std::map<std::string, std::uint64_t>& contents) {
  const auto word_of = [](std::string_view value) {
    std::uint64_t word = 0;
    std::memcpy(&word, value.data(), std::min(sizeof word, value.size()));
    return word;
  };
  contents[std::string(key)] = entry.large ? 0 : word_of(entry.value);
  if (!entry.large) return;
  std::uint64_t place = 0;
  for (const auto& [name, value] : ElementsOf(store, entry)) {
    // Of a hash the order means nothing.
    const std::string at = entry.type == ValueType::kHash ? "" : std::to_string(place++) + ":";
    contents[std::string(key) + "/" + at + name] = word_of(value);
  }
}
}  // namespace

std::map<std::string, std::uint64_t> Host::Contents() const {
  std::map<std::string, std::uint64_t> contents;
  std::uint64_t cursor = 0;
  std::set<std::string> keys;
  do {
    cursor = store_->Scan(0, cursor, [&](std::string_view key, TimeMs, ValueType) { keys.emplace(key); });
  } while (cursor != 0);
  for (const std::string& key : keys) {
    contents[key] = 0;
    if (const auto entry = store_->Get(0, key)) Tell(*store_, key, *entry, contents);
  }
  return contents;
}

// A pool that was adopted says so, however little of the log it holds.
bool Host::joined() const {
  if (apart_) return false;
  if (settings_.joined || !store_) return joined_;
  const StoreInfo info = store_->Info();
  return !info.whole || info.members.size() > 1;
}

bool Host::well() const {
  if (!running() || !store_ || paused() || !joined() || drain_most > MonoTime{0} || world_->IsBlind(number_) ||
      world_->IsHidden(number_)) {
    return false;
  }
  return !failed() && store_->Info().whole;
}

// --- The main loop.

void Host::Main() {
  try {
    Open();
    while (store_) {
      Look();
      Turn();
      if (settings_.holds) TendHold();
      if (commands_.empty() && asked_.empty() && world_->Now() < next_tick_)
        world_->Wait(number_, next_tick_ - world_->Now());
    }
  } catch (const Killed&) {
    world_->Trace(number_, power_fails_ ? "power off" : "killed");
  }
  call_ = nullptr;
  Bury();
}

void Host::Look() {
  Into("Poll", [&] { store_->Poll(); });
  if (world_->Now() < next_tick_) return;
  next_tick_ = world_->Now() + Store::kTickPeriod;
  Into("Tick", [&] { store_->Tick(); });
}

// Now and then, for a while.
void Host::TendHold() {
  if (held_turns_ == 0) {
    if (hold_random_() % 16 == 0) BeginHold();
  } else if (--held_turns_ == 0) {
    Into("ReleaseSegments", [&] { store_->ReleaseSegments(Status::Ok()); });
  }
}

// A part of what is held is read at once, or all, which is then what the store has.
void Host::BeginHold() {
  hold_lost_ = false;
  const auto lsn = Into("HoldSegments", [&] {
    return store_->HoldSegments([this](const Status&) {
      if (hold_lost_) referee_->Violation("host " + std::to_string(number_) + " loses a hold twice");
      hold_lost_ = true;
      ++holds_lost;
    });
  });
  if (!lsn.ok()) return;
  ++holds;
  held_turns_ = 1 + hold_random_() % 100;
  std::uint64_t left = hold_random_() % 4 == 0 ? UINT64_MAX : 1 + hold_random_() % 60;
  std::map<std::string, std::uint64_t> read;
  const Status status = store_->ReadHeld([&](DbId, std::string_view key, const Entry& entry) {
    if (read.contains(std::string(key))) referee_->Violation("a hold names a key twice");
    Tell(*store_, key, entry, read);
    return --left != 0;
  });
  if (left == 0 || refusal.happened) return;
  if (!status.ok() || read != Contents())
    referee_->Violation("host " + std::to_string(number_) + " holds something else than it has");
}

// Whoever waits in a call lets time pass, and whoever does not looks at the clock or drains again and again.
void Host::CheckCall() {
  const MonoTime now = OwnTime();
  looks_ = now == last_look_ ? looks_ + 1 : 0;
  last_look_ = now;
  if (now - call_began_ <= settings_.patience && looks_ < kMaxLooks) return;
  const char* name = std::exchange(call_, nullptr);
  referee_->Violation("host " + std::to_string(number_) + " does not come back from " + name + ", which it began " +
                      std::to_string((now - call_began_).count() / 1000) + " ms ago");
  throw Killed{};
}

// Where even the names of its peers are lost, somebody moves the pool away, and the host joins as a new one.
void Host::Open() {
  Status status = TryOpen();
  if (status.code() == Code::kCorrupt && rots) {
    world_->Trace(number_, status.ToString());
    fabric_.reset();
    for (auto* bytes : {&disk_->written, &disk_->drained}) std::memset(&(*bytes)[0], 0, bytes->size());
    settings_.joined = joined_ = false;
    status = TryOpen();
    Endpoint other = Redis();
    other.port = static_cast<std::uint16_t>(number_ == 1 ? other.port + 1 : other.port - 1);
    if (status.ok()) store_->Follow(other);
  }
  if (status.ok()) return;
  if (refusal.happened) return world_->Trace(number_, status.ToString());
  referee_->Violation("host " + std::to_string(number_) + " does not start: " + status.ToString());
}

Status Host::TryOpen() {
  fabric_ = std::make_unique<SimFabric>(world_, number_);
  TellDiskOfLandings(*fabric_, disk_);
  auto opened =
      Store::Open(settings_.options, this,
                  {std::make_unique<RefusingMedia>(disk_, settings_.granule, &refusal), fabric_.get(), &clock_});
  if (opened.ok()) store_ = std::move(opened.value());
  return opened.status();
}

void Host::Bury() {
  if (power_fails_ && fabric_) fabric_->Vanish();
  if (store_) cleaned += store_->Info().cleaned_segments;
  if (!apart_) joined_ = joined();
  held_turns_ = 0;
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
  if (call_ != nullptr) CheckCall();
  return true;
}

void Host::OnPrimary() {
  if (store_) referee_->OnPrimary(number_, store_->Info().epoch);
}

void Host::OnHandOverAsked(const Endpoint& heir) {
  Command([heir](Store& store) { store.HandOver(heir, [](const Status&) {}); });
}

}  // namespace faha::sim
