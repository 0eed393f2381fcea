// Simulated time: whatever happens is an event, and nothing costs time but what waits for it.  Thread: one.
// Each node runs in a fiber of its own, so that several can be in the middle of a commit at once; a node can be killed
// wherever it waits.  Everything random comes from the seed, the kernel's random bytes included: the same seed, the
// same events.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <queue>
#include <string_view>
#include <vector>

#include "tests/fakes/sim_world.h"
#include "tests/sim/fiber.h"

namespace faha::sim {

// What a killed node is left by, wherever it waits.
struct Killed {};

class World : public SimWorld {
 public:
  explicit World(std::uint64_t seed);
  ~World() override;

  // --- Events.
  void At(MonoTime at, std::function<void()> what);
  void After(MonoTime time, std::function<void()> what) { At(now_ + time, std::move(what)); }
  // Lets events happen until `end`.
  void RunTo(MonoTime end);

  // --- Nodes.
  // Begins to run `body` as `node`, from the next event on.  It ends when it returns, or when Kill() makes what it
  // waits in throw.
  void Begin(int node, std::function<void()> body);
  // The one whose body runs now; 0: none does.
  [[nodiscard]] int running() const { return running_; }
  // Not from within the node.
  void Kill(int node);
  [[nodiscard]] bool Runs(int node) const;
  // SIGSTOP and SIGCONT.
  void Pause(int node);
  void Resume(int node);
  [[nodiscard]] bool Paused(int node) const { return stopped_.contains(node); }
  // For how long it was paused, in all.
  [[nodiscard]] MonoTime PausedFor(int node) const;

  // --- From within a node.
  // Waits for something to arrive, `time` at most; not at all if something has arrived since the last wait.
  void Wait(int node, MonoTime time) override;
  // Waits, and sees nothing of what arrives.
  void Sleep(int node, MonoTime time);

  // Something is there for `node` now.
  void Poke(int node);
  void PokeAll();
  void WillArrive(int node, MonoTime at) override;

  // --- The network.
  MonoTime Delay(int from, int to) override;
  MonoTime Patience() override;
  static constexpr MonoTime kMostPatience = std::chrono::seconds(3);
  // Frames between the two take up to `most`, each way.
  void SlowDown(int a, int b, MonoTime most);
  void SpeedUpAll() { slow_.clear(); }
  [[nodiscard]] bool Slow(int node) const;

  // --- Chance.
  // A number below `limit`.
  std::uint64_t Below(std::uint64_t limit) { return random()() % limit; }
  bool OneIn(std::uint64_t n) { return Below(n) == 0; }
  MonoTime UpTo(MonoTime most) { return MonoTime{static_cast<MonoTime::rep>(1 + Below(most.count()))}; }

  // --- The trace: what two runs of one seed have in common.
  void Trace(int node, std::string_view line);
  [[nodiscard]] std::uint64_t trace() const { return trace_; }
  bool verbose = false;

 private:
  struct Task {
    explicit Task(std::function<void()> body) : fiber(std::move(body)) {}
    Fiber fiber;
    std::uint64_t ticket = 0;  // of the wait under way
    bool on_arrival = false;   // it ends when something arrives
    bool arrived = false;
    bool due = false;  // it is to go on, but paused
    bool killed = false;
  };
  struct Event {
    MonoTime at;
    std::uint64_t number;
    int node;              // 0: `what` is called
    std::uint64_t ticket;  // of the wait that ends; 0: something arrives
    std::function<void()> what;
    bool operator<(const Event& other) const { return std::tie(at, number) > std::tie(other.at, other.number); }
  };
  void Push(MonoTime at, int node, std::uint64_t ticket, std::function<void()> what);
  void Happen(const Event& event);
  void GoOn(int node, Task& task);
  void Resume(int node, Fiber& fiber);
  void Unpause(int node);
  void Suspend(Task& task, int node, MonoTime time, bool on_arrival);

  std::priority_queue<Event> events_;
  std::uint64_t number_ = 0, tickets_ = 0;
  int running_ = 0;
  std::map<int, std::unique_ptr<Task>> tasks_;
  std::map<std::pair<int, int>, MonoTime> slow_;
  std::map<int, MonoTime> paused_at_, paused_for_;  // what is over, of the second
  std::uint64_t trace_ = 0xcbf29ce484222325;
};

}  // namespace faha::sim
