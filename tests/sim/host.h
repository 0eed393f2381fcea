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
#include <random>
#include <string>
#include <vector>

#include "faha/store.h"
#include "tests/fakes/sim_disk.h"
#include "tests/sim/history.h"
#include "tests/sim/world.h"

namespace faha::sim {

// Runs at its own rate, and began at its own time.
class DriftingClock : public Clock {
 public:
  // `rate`: in units of 2^-16.
  DriftingClock(const Clock* real, MonoTime start, std::int64_t rate) : real_(real), start_(start), rate_(rate) {}
  [[nodiscard]] MonoTime Now() const override {
    if (on_look) on_look();
    return start_ + MonoTime{(real_->Now().count() * rate_) >> 16};
  }
  // Called first, whenever somebody looks.
  std::function<void()> on_look;

 private:
  const Clock* real_;
  MonoTime start_;
  std::int64_t rate_;
};

enum class Outcome { kDone, kRefused, kUnknown };  // refused: it surely took no effect

// What writes nothing.
enum class Noop { kNone, kFlush, kSwap, kDelete, kTooLarge };
inline constexpr std::uint64_t kNoops = 5;

// What a client asks for; with more than one thing in it, a script that nobody interrupts.
struct Request {
  Operation::Kind kind = Operation::Kind::kRead;
  int key = 0;
  Value value = kAbsent;
  std::size_t bytes = 0;    // of the value
  bool forged = false;      // it looks like a log
  Noop noop = Noop::kNone;  // it does this first,
  MonoTime busy{0};         // then it runs for so long; what writes several keys does so in the middle,
  bool busy_polls = false;  // and meanwhile, if the server looks at its peers as it does when a script is slow, it does
  std::function<void(Outcome outcome, Value read)> reply;
};

// Who is told what a host does.
class Referee {
 public:
  virtual ~Referee() = default;
  virtual void OnPrimary(int host, Epoch epoch) = 0;
  // It begins to take a whole log.
  virtual void OnInstall(int host) = 0;
  // It has changed its members while a unit was half written.
  virtual void OnTorn(int host) = 0;
  // It is in the middle of a unit, will be for so long, and some of that unit is in a batch that was shipped.
  virtual void OnHalfShipped(int host, MonoTime busy) = 0;
  virtual void Violation(const std::string& what) = 0;
};

struct HostSettings {
  Options options;
  std::uint32_t granule = 64;
  int width = 1;          // a key of a client is so many of the store
  MonoTime patience{0};   // no call into the store takes longer
  bool joined = true;     // from the start
  bool holds = false;     // segments, for somebody who reads some of them
  bool elements = false;  // most of a client's keys are elements of collections
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
  // Which write a client's key tells of.
  [[nodiscard]] Value Holds(int key) { return ReadPart(key, 0).value_or(kAbsent); }
  [[nodiscard]] SimFabric* fabric() { return fabric_.get(); }
  [[nodiscard]] CrashDisk& disk() { return *disk_; }
  [[nodiscard]] int number() const { return number_; }
  // It belongs to the cluster.
  [[nodiscard]] bool joined() const;
  // It was lost: the cluster goes on without it.
  void SetApart(bool apart) { apart_ = apart; }
  // It has joined, and belongs to the cluster even if it is the only one that is left.
  void SetJoined() { settings_.joined = joined_ = true; }
  // It runs a script and looks at nobody.
  [[nodiscard]] bool deaf() const { return deaf_; }
  // The store has stopped for good: only a restart helps.
  [[nodiscard]] bool failed() const { return store_ && store_->Info().state == "failed"; }
  // It runs, has a whole log and no trouble of its own.
  [[nodiscard]] bool well() const;
  [[nodiscard]] Endpoint Redis() const { return {"127.0.0.1", settings_.options.redis_port}; }

  DiskRefusal refusal;
  bool rots = false;       // its medium changes by itself
  MonoTime drain_most{0};  // a drain takes up to this; 0: a healthy one's time
  std::uint64_t starts = 0, full = 0, installs = 0, overtaken = 0, cleaned = 0, holds = 0, holds_lost = 0;

 private:
  struct Pending {
    Request request;
    Outcome outcome = Outcome::kUnknown;
    bool executed = false;
    Value read = kAbsent;
    bool torn = false;  // it found parts of different units
  };
  void Main();
  void Open();
  Status TryOpen();
  void Obey();
  void Turn();
  void TakeWhatCame(bool reads_only);
  void Execute(Pending& pending);
  void Read(Pending& pending);
  void Write(Pending& pending);
  Status PutAll(const Request& request);
  Status PutOne(const Request& request, int part);
  Status PutPart(const Request& request, int part, const std::string& content);
  Status DeletePart(int key, int part);
  Status DeleteAll(const Request& request);
  std::optional<Value> ReadPart(int key, int part);
  Status PushAndRename(const std::string& name, const std::string& content);
  void WriteNothing(Noop noop);
  void Busy(const Request& request);
  void TendHold();
  void BeginHold();
  void Look();
  // A call into the store, which must come back before long, stopped or not.
  template <typename Call>
  decltype(auto) Into(const char* name, Call call) {
    struct Left {
      const char*& name;
      ~Left() { name = nullptr; }
    } const left{call_};
    call_ = name;
    call_began_ = last_look_ = OwnTime();
    looks_ = 0;
    return call();
  }
  void CheckCall();
  [[nodiscard]] MonoTime OwnTime() const { return world_->Now() - world_->PausedFor(number_); }
  bool OnDrain();
  void Bury();
  void Log(std::string_view line);
  void OnPrimary() override;
  void OnFollowing(const Member&) override {}
  void OnHandOverAsked(const Endpoint& heir) override;

  World* world_;
  int number_;
  HostSettings settings_;
  std::shared_ptr<CrashDisk> disk_;
  Referee* referee_;
  DriftingClock clock_;
  std::unique_ptr<SimFabric> fabric_;
  std::unique_ptr<Store> store_;
  std::vector<std::function<void(Store&)>> commands_;
  std::deque<Pending> asked_, turn_;
  MonoTime next_tick_{0};
  std::uint64_t drains_left_ = 0;
  bool power_fails_ = false;
  bool apart_ = false;
  bool joined_ = true;  // as far as was known when it ran last
  bool in_unit_ = false, deaf_ = false;
  Lsn unit_after_;  // the last batch before the unit
  // Of holds alone, so that who has none does what it would do.
  std::mt19937_64 hold_random_{1};
  std::uint64_t held_turns_ = 0;  // of the main loop that the hold stays; 0: there is none
  bool hold_lost_ = false;
  // The call into the store under way; null: none.
  const char* call_ = nullptr;
  MonoTime call_began_{0}, last_look_{0};
  std::uint64_t looks_ = 0;  // since time passed last
};

}  // namespace faha::sim
