// One machine: a store in its main loop, as the module runs it, on a disk that outlives it.  Thread: one, in the
// host's own fiber but for what is said to come from outside.
// In each turn of its loop the host delivers what peers have sent, ticks, executes what clients have asked for, commits
// once, and only then answers.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "faha/store.h"
#include "tests/fakes/crash_media.h"
#include "tests/sim/history.h"
#include "tests/sim/world.h"

namespace faha::sim {

// Runs at its own rate, and began at its own time.
class DriftingClock : public Clock {
 public:
  // `rate`: in units of 2^-16.
  DriftingClock(const Clock* real, MonoTime start, std::int64_t rate) : real_(real), start_(start), rate_(rate) {}
  [[nodiscard]] MonoTime Now() const override { return start_ + MonoTime{(real_->Now().count() * rate_) >> 16}; }

 private:
  const Clock* real_;
  MonoTime start_;
  std::int64_t rate_;
};

enum class Outcome { kDone, kRefused, kUnknown };  // refused: it surely took no effect

struct Request {
  Operation::Kind kind = Operation::Kind::kRead;
  int key = 0;
  Value value = kAbsent;
  std::size_t bytes = 0;  // of the value
  std::function<void(Outcome outcome, Value read)> reply;
};

// Who is told what a host does.
class Referee {
 public:
  virtual ~Referee() = default;
  virtual void OnPrimary(int host, Epoch epoch) = 0;
  virtual void Violation(const std::string& what) = 0;
};

struct HostSettings {
  Options options;
  std::uint32_t granule = 64;
  MonoTime clock_start{0};
  std::int64_t clock_rate = 1 << 16;
};

class Host : private StoreObserver {
 public:
  Host(World* world, int number, const HostSettings& settings, std::shared_ptr<CrashDisk> disk, Referee* referee);
  ~Host() override;

  // --- From outside.
  void PowerOn();
  // What was not drained is lost or not, by words; nobody is told.
  void PowerOff();
  // kill -9: what was written stays, and the kernel closes the links.
  void KillProcess();
  // Power fails when the `count`th drain from now is under way.
  void PowerOffAtDrain(std::uint64_t count) { drains_left_ = count; }
  [[nodiscard]] bool running() const { return world_->Runs(number_); }
  [[nodiscard]] bool paused() const { return world_->Paused(number_); }
  void Ask(Request request);
  // To be run by the store's main loop, between two turns.
  void Command(std::function<void(Store&)> command);
  // Null while it does not run, or still opens its pool.
  [[nodiscard]] const Store* store() const { return store_.get(); }
  // Every key, with the write and size that its value tells.
  [[nodiscard]] std::map<std::string, std::uint64_t> Contents() const;
  [[nodiscard]] SimFabric* fabric() { return fabric_.get(); }
  [[nodiscard]] CrashDisk& disk() { return *disk_; }
  [[nodiscard]] int number() const { return number_; }
  [[nodiscard]] Endpoint Redis() const { return {"127.0.0.1", settings_.options.redis_port}; }

  MonoTime drain_most{0};  // a drain takes up to this; 0: a healthy one's time
  std::uint64_t starts = 0, full = 0, installs = 0, cleaned = 0;

 private:
  struct Pending {
    Request request;
    Outcome outcome = Outcome::kUnknown;
    bool executed = false;
    Value read = kAbsent;
  };
  void Main();
  void Open();
  void Turn();
  void Execute(Pending& pending);
  void Read(Pending& pending);
  void Write(Pending& pending);
  bool OnDrain();
  void Bury();
  void Log(std::string_view line);
  void OnPrimary() override;
  void OnFollowing(const Member&) override {}

  World* world_;
  int number_;
  HostSettings settings_;
  std::shared_ptr<CrashDisk> disk_;
  Referee* referee_;
  DriftingClock clock_;
  std::unique_ptr<SimFabric> fabric_;
  std::unique_ptr<Store> store_;
  std::vector<std::function<void(Store&)>> commands_;
  std::vector<Pending> asked_, turn_;
  MonoTime next_tick_{0};
  std::uint64_t drains_left_ = 0;
  bool power_fails_ = false;
};

}  // namespace faha::sim
