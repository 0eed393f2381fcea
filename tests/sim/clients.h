// Clients that read, write and delete a few keys, each one thing at a time, and remember what they were told.
// They reach every host, whatever the hosts can reach, or are beside one and reach what it does: a primary that was cut
// off has clients of its own then, and must not answer them.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "tests/sim/cluster.h"
#include "tests/sim/history.h"

namespace faha::sim {

class Clients {
 public:
  // They write values behind `last`.
  Clients(World* world, Cluster* cluster, const Plan& plan, Value last = kAbsent)
      : world_(world), cluster_(cluster), plan_(plan), values_(last) {}

  void Begin();
  // Nobody starts anything new.
  void End() { ended_ = true; }
  // Nor for as long as they rest.
  void Rest(bool rests) { rests_ = rests; }
  [[nodiscard]] bool Idle() const { return open_ == 0; }
  // One operation at `host`, now; `then` hears how it ended.
  using Then = std::function<void(Outcome)>;
  void Do(Host& host, Operation::Kind kind, int key, Value value, Then then);
  [[nodiscard]] Value NextValue() { return ++values_; }

  // What is known, once all is over.
  [[nodiscard]] History history() const;
  [[nodiscard]] std::uint64_t done() const { return done_; }
  [[nodiscard]] std::uint64_t unknown() const { return unknown_; }
  // When a host last said of a write that it is done, and when one last said that there is no space.
  [[nodiscard]] MonoTime last_written() const { return last_written_; }
  // Called when a client is told that its write is done, and has not heard it yet.
  std::function<void()> on_written;

 private:
  enum class State { kOpen, kDone, kRefused, kUnknown };
  struct Entry {
    Operation operation;
    State state = State::kOpen;
    Then then;
  };
  void Next(int client);
  void Act(int client);
  std::size_t Open(int client, Operation::Kind kind, int key, Value value, Then then);
  void Send(std::size_t entry, Host& host);
  // What else a client asks for in one go.
  void AddScript(Request& request);
  void Answered(std::size_t entry, const Host& host, Outcome outcome, Value read);
  [[nodiscard]] bool Reaches(int client, const Host& host) const;
  void Close(std::size_t entry, Outcome outcome, Value read);

  World* world_;
  Cluster* cluster_;
  Plan plan_;
  std::vector<Entry> entries_;
  std::vector<int> hosts_;  // to which each client talks
  Value values_;
  MonoTime last_written_{0};
  std::uint64_t open_ = 0, done_ = 0, unknown_ = 0;
  bool rests_ = false, ended_ = false;
};

}  // namespace faha::sim
