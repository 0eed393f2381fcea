#include "tests/sim/world.h"

#include <sys/random.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <utility>

#include "base/check.h"

namespace {
// Of the run under way; see getrandom.
std::mt19937_64 kernel;
}  // namespace

// The identities that nodes give themselves decide in which order they are asked: they come from the seed, too.
extern "C" ssize_t getrandom(void* buffer, std::size_t length, unsigned) noexcept {
  auto* bytes = static_cast<std::byte*>(buffer);
  for (std::size_t at = 0; at < length; at += sizeof(std::uint64_t)) {
    const std::uint64_t number = kernel();
    std::memcpy(bytes + at, &number, std::min(length - at, sizeof number));
  }
  return static_cast<ssize_t>(length);
}

namespace faha::sim {

World::World(std::uint64_t seed) : SimWorld(seed) { kernel.seed(seed); }

World::~World() {
  while (!tasks_.empty()) Kill(tasks_.begin()->first);
}

void World::Push(MonoTime at, int node, std::uint64_t ticket, std::function<void()> what) {
  events_.push({at, ++number_, node, ticket, std::move(what)});
}

void World::At(MonoTime at, std::function<void()> what) { Push(std::max(at, now_), 0, 0, std::move(what)); }

void World::RunTo(MonoTime end) {
  while (!events_.empty() && events_.top().at <= end) {
    const Event event = std::move(const_cast<Event&>(events_.top()));
    events_.pop();
    now_ = event.at;
    Happen(event);
  }
  now_ = std::max(now_, end);
}

void World::Happen(const Event& event) {
  if (event.node == 0) return event.what();
  if (event.ticket == 0) return Poke(event.node);
  const auto task = tasks_.find(event.node);
  if (task != tasks_.end() && task->second->ticket == event.ticket) GoOn(event.node, *task->second);
}

// A device works whether its node runs or not.
void World::Poke(int node) {
  if (const auto device = devices_.find(node); device != devices_.end()) device->second();
  const auto task = tasks_.find(node);
  if (task == tasks_.end()) return;
  task->second->arrived = true;
  if (task->second->on_arrival) GoOn(node, *task->second);
}

void World::PokeAll() {
  for (const auto& [node, task] : tasks_) Push(now_, node, 0, {});
}

void World::WillArrive(int node, MonoTime at) { Push(at, node, 0, {}); }

void World::GoOn(int node, Task& task) {
  if (Paused(node)) {
    task.due = true;
    return;
  }
  task.ticket = 0;
  task.on_arrival = task.due = false;
  Resume(node, task.fiber);
  if (task.fiber.ended()) tasks_.erase(node);
}

void World::Resume(int node, Fiber& fiber) {
  const int before = std::exchange(running_, node);
  fiber.Resume();
  running_ = before;
}

void World::Pause(int node) {
  if (stopped_.insert(node).second) paused_at_[node] = now_;
}

MonoTime World::PausedFor(int node) const {
  const auto before = paused_for_.find(node);
  const MonoTime over = before == paused_for_.end() ? MonoTime{0} : before->second;
  return Paused(node) ? over + now_ - paused_at_.at(node) : over;
}

void World::Unpause(int node) {
  paused_for_[node] = PausedFor(node);
  stopped_.erase(node);
}

void World::Resume(int node) {
  Unpause(node);
  const auto task = tasks_.find(node);
  if (task != tasks_.end() && task->second->due) GoOn(node, *task->second);
}

void World::Begin(int node, std::function<void()> body) {
  FAHA_CHECK(!Runs(node), "a node runs once");
  auto task = std::make_unique<Task>(std::move(body));
  task->ticket = ++tickets_;
  Push(now_, node, task->ticket, {});
  tasks_[node] = std::move(task);
}

bool World::Runs(int node) const { return tasks_.contains(node); }

void World::Kill(int node) {
  const auto found = tasks_.find(node);
  if (found == tasks_.end()) return;
  Unpause(node);
  const auto task = std::move(found->second);
  tasks_.erase(found);
  if (!task->fiber.begun()) return;
  task->killed = true;
  Resume(node, task->fiber);
  FAHA_CHECK(task->fiber.ended(), "a killed node does not wait again");
}

void World::Suspend(Task& task, int node, MonoTime time, bool on_arrival) {
  if (task.killed) throw Killed{};
  task.ticket = ++tickets_;
  task.on_arrival = on_arrival;
  Push(now_ + time, node, task.ticket, {});
  task.fiber.Yield();
  if (task.killed) throw Killed{};
}

void World::Wait(int node, MonoTime time) {
  Task& task = *tasks_.at(node);
  if (!task.arrived) Suspend(task, node, time, true);
  task.arrived = false;
}

void World::Sleep(int node, MonoTime time) { Suspend(*tasks_.at(node), node, time, false); }

MonoTime World::Delay(int from, int to) {
  // Once in a while a frame is late, and all behind it on its link.
  const MonoTime usual = OneIn(200) ? UpTo(MonoTime{50'000}) : SimWorld::Delay(from, to);
  const auto slow = slow_.find({std::min(from, to), std::max(from, to)});
  return slow == slow_.end() ? usual : usual + UpTo(slow->second);
}

MonoTime World::Patience() { return OneIn(2) ? UpTo(MonoTime{2'000}) : UpTo(kMostPatience); }

bool World::Slow(int node) const {
  return std::any_of(slow_.begin(), slow_.end(),
                     [&](const auto& link) { return link.first.first == node || link.first.second == node; });
}

void World::SlowDown(int a, int b, MonoTime most) { slow_[{std::min(a, b), std::max(a, b)}] = most; }

void World::Trace(int node, std::string_view line) {
  const auto add = [&](std::uint64_t value) { trace_ = (trace_ ^ value) * 0x100000001b3; };
  add(static_cast<std::uint64_t>(now_.count()));
  add(static_cast<std::uint64_t>(node));
  for (const char c : line) add(static_cast<unsigned char>(c));
  if (!verbose) return;
  std::fprintf(stderr, "%10.4f %d: %.*s\n", static_cast<double>(now_.count()) / 1e6, node,
               static_cast<int>(line.size()), line.data());
}

}  // namespace faha::sim
