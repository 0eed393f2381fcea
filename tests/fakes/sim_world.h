// A world of nodes with one clock and one network, in one thread and from one seed.
// Faults it makes: delay of every frame, links that break at one end or both, directions that let nothing through (what
// was sent waits, as TCP's frames do), nodes that vanish without a word, and with RDMA nodes that do not see what their
// device has done.  Links are looked at in any order.
// It does not lose, duplicate or reorder frames within a link: no stream does. A node that waits
// inside a call (Commit) lets the rest of the world run.
#pragma once

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <utility>
#include <vector>

#include "faha/clock.h"
#include "faha/fabric.h"

namespace faha {

class SimFabric;

class SimWorld : public Clock {
 public:
  explicit SimWorld(std::uint64_t seed) : random_(seed) {}
  [[nodiscard]] MonoTime Now() const override { return now_; }
  std::mt19937_64& random() { return random_; }

  // Called for every other node while one waits: `runner` polls and ticks it.
  void AddRunner(int node, std::function<void()> runner) { runners_[node] = std::move(runner); }
  void RemoveRunner(int node) { runners_.erase(node); }
  // A node's RDMA device works whether the node runs or not.
  void AddDevice(int node, std::function<void()> land) { devices_[node] = std::move(land); }
  void RemoveDevice(int node) { devices_.erase(node); }
  // Lets the world go on for `time`; `waiting` is not run, it is on the stack.
  void Run(MonoTime time, int waiting = -1) {
    const MonoTime end = now_ + time;
    do {
      // Fine steps where a call waits for an answer, coarse ones where time only has to pass.
      now_ += waiting >= 0 ? MonoTime{100} : MonoTime{1000};
      for (const auto& land : devices_) land.second();
      const auto runners = runners_;
      for (const auto& [node, run] : runners) {
        if (node != waiting && runners_.contains(node) && !stopped_.contains(node)) run();
      }
    } while (now_ < end);
  }
  template <typename Condition>
  bool RunUntil(Condition condition, MonoTime limit = std::chrono::seconds(60)) {
    const MonoTime end = now_ + limit;
    while (!condition() && now_ < end) Run(MonoTime{1000});
    return condition();
  }

  // `node` has nothing to do until something arrives or `time` has passed.
  virtual void Wait(int node, MonoTime time) { Run(std::min(time, MonoTime{1000}), node); }
  // Something will arrive at `node`.
  virtual void WillArrive(int, MonoTime) {}

  // A node that is cut off neither sends nor receives; one that is stopped does not run either (SIGSTOP).
  void CutOff(int node) { cut_off_.insert(node); }
  void Reconnect(int node) { cut_off_.erase(node); }
  void Stop(int node) { stopped_.insert(node); }
  void Continue(int node) { stopped_.erase(node); }
  // A node that is blind sees no body that was placed, nor what came behind it on that link, though its device goes on.
  void Blind(int node) { blind_.insert(node); }
  void See(int node) { blind_.erase(node); }
  [[nodiscard]] bool IsBlind(int node) const { return blind_.contains(node); }
  // Nothing gets from one to the other; the way back is another matter.
  void Block(int from, int to) { blocked_.emplace(from, to); }
  void Unblock(int from, int to) { blocked_.erase({from, to}); }
  void UnblockAll() { blocked_.clear(); }
  // Nobody can dial it, and whoever is connected to it stays so.
  void Hide(int node) { hidden_.insert(node); }
  void Show(int node) { hidden_.erase(node); }
  [[nodiscard]] bool IsHidden(int node) const { return hidden_.contains(node); }
  [[nodiscard]] bool Reaches(int from, int to) const {
    return !cut_off_.contains(from) && !cut_off_.contains(to) && !blocked_.contains({from, to});
  }

  virtual MonoTime Delay(int, int) { return MonoTime{static_cast<MonoTime::rep>(20 + random_() % 300)}; }
  // How long an end takes to find out by itself that the other is gone.
  virtual MonoTime Patience() { return MonoTime{0}; }
  std::map<std::uint16_t, SimFabric*> listeners;
  std::uint64_t next_link = 1;
  bool rdma = false;   // the data lane is RDMA, and every body is placed
  bool flush = false;  // and flushed by the devices

 protected:
  MonoTime now_{1'000'000};
  std::map<int, std::function<void()>> devices_;
  std::set<int> stopped_;

 private:
  std::mt19937_64 random_;
  std::map<int, std::function<void()>> runners_;
  std::set<int> cut_off_, blind_, hidden_;
  std::set<std::pair<int, int>> blocked_;
};

class SimFabric : public Fabric {
 public:
  SimFabric(SimWorld* world, int node) : world_(world), node_(node) {
    world_->AddDevice(node_, [this] { LandPlaced(); });
  }
  ~SimFabric() override {
    world_->RemoveDevice(node_);
    while (!links_.empty()) Close(links_.begin()->first);
    std::erase_if(world_->listeners, [&](const auto& entry) { return entry.second == this; });
  }

  Status Listen(const Endpoint& at) override {
    world_->listeners[at.port] = this;
    return Status::Ok();
  }

  LinkId Dial(const Endpoint& to, Lane lane) override {
    const auto listener = world_->listeners.find(to.port);
    SimFabric* peer = listener == world_->listeners.end() ? nullptr : listener->second;
    if (peer != nullptr && world_->IsHidden(peer->node_)) peer = nullptr;
    const LinkId mine = NewLink(peer == nullptr ? node_ : peer->node_);
    if (peer == nullptr || !world_->Reaches(node_, peer->node_) || !world_->Reaches(peer->node_, node_)) {
      Fail(mine);
      return mine;
    }
    const LinkId theirs = peer->NewLink(node_);
    Connect(mine, peer, theirs);
    peer->Connect(theirs, this, mine);
    Arrive(mine, {.kind = Event::kConnected});
    peer->links_.at(theirs).lane = lane;
    peer->Arrive(theirs, {.kind = Event::kAccepted});
    return mine;
  }

  using Fabric::Send;
  void Send(LinkId link, std::span<const std::byte> head, std::span<const std::byte> body) override {
    const auto it = links_.find(link);
    if (it == links_.end() || it->second.peer == nullptr) return;
    it->second.peer->Arrive(
        it->second.other,
        {.kind = Event::kFrame, .head = {head.begin(), head.end()}, .body = {body.begin(), body.end()}});
  }
  // With RDMA a body lands at its place when it arrives, before the node knows of it; its flush, if there is one, is
  // answered then.
  bool Place(LinkId link, std::span<const std::byte> body, std::uint64_t place) override {
    const auto it = links_.find(link);
    if (!world_->rdma || it == links_.end() || it->second.peer == nullptr) return false;
    it->second.peer->Arrive(it->second.other,
                            {.kind = Event::kPlaced, .body = {body.begin(), body.end()}, .place = place});
    return true;
  }

  void AllowBody(LinkId, std::uint32_t) override {}
  [[nodiscard]] Transport DataTransport() const override { return world_->rdma ? Transport::kRdma : Transport::kTcp; }
  Status ShareMemory(std::span<std::byte> memory, std::uint64_t origin, bool persistent) override {
    shared_ = memory;
    origin_ = origin;
    persistent_ = persistent;
    return Status::Ok();
  }
  [[nodiscard]] bool Flushes(LinkId link) const override {
    const auto it = links_.find(link);
    return world_->flush && it != links_.end() && it->second.peer != nullptr && it->second.peer->persistent_;
  }
  // What the device has stored to the shared memory, and whether it was flushed: tells the medium.
  std::function<void(std::span<const std::byte> bytes, bool flushed)> on_landed;

  // What is under way to the peer still arrives there.
  void Close(LinkId link) override {
    const auto it = links_.find(link);
    if (it == links_.end()) return;
    if (it->second.peer != nullptr) it->second.peer->Closed(it->second.other);
    links_.erase(it);
  }

  void Poll(std::chrono::microseconds timeout, FabricHandler& handler) override {
    if (timeout.count() > 0) world_->Wait(node_, timeout);
    bool delivered = false;
    std::vector<LinkId> ids;
    for (const auto& [id, link] : links_) {
      if (!link.inbox.empty()) ids.push_back(id);
    }
    if (ids.empty()) return;
    std::shuffle(ids.begin(), ids.end(), world_->random());
    for (const LinkId id : ids) {
      for (auto it = links_.find(id); it != links_.end() && Ready(it->second); it = links_.find(id)) {
        Event event = std::move(it->second.inbox.front());
        it->second.inbox.pop_front();
        delivered = true;
        Deliver(id, event, handler);
      }
    }
    if (delivered) handler.OnPollEnd();
  }

  [[nodiscard]] int descriptor() const override { return -1; }

  // --- What the outside does.
  // Every link to `node` is reset: what is under way is lost, at either end from some frame on.
  void BreakLinksTo(int node) {
    for (auto& [id, link] : links_) {
      if (link.peer == nullptr || link.peer_node != node) continue;
      SimFabric* peer = link.peer;
      const LinkId theirs = link.other;
      LoseTail(link);
      peer->LoseTail(peer->links_.at(theirs));
      Closed(id);
      peer->Closed(theirs);
    }
  }
  // Power fails: nobody says goodbye.  The other ends find out in their own time.
  void Vanish() {
    for (auto& [id, link] : links_) {
      if (link.peer == nullptr) continue;
      link.peer->LoseTail(link.peer->links_.at(link.other));
      link.peer->Fail(link.other);
    }
    links_.clear();
  }

 private:
  struct Event {
    enum Kind { kAccepted, kConnected, kFrame, kPlaced, kFlushed, kClosed } kind = kFrame;
    MonoTime at{0};
    std::vector<std::byte> head = {}, body = {};
    std::uint64_t place = 0;
    bool landed = false;
    bool own = false;  // this end says so, whatever the network does
  };
  struct Link {
    SimFabric* peer = nullptr;
    LinkId other = LinkId::kNone;
    int peer_node = 0;
    Lane lane = Lane::kControl;  // on which it was accepted
    std::uint64_t flushed = 0;
    std::deque<Event> inbox;
  };

  LinkId NewLink(int peer_node) {
    const auto id = static_cast<LinkId>(world_->next_link++);
    links_[id].peer_node = peer_node;
    return id;
  }
  void Connect(LinkId link, SimFabric* peer, LinkId other) {
    links_.at(link).peer = peer;
    links_.at(link).other = other;
  }
  void Arrive(LinkId link, Event event) {
    const auto it = links_.find(link);
    if (it == links_.end()) return;
    event.at += world_->Now() + world_->Delay(it->second.peer_node, node_);
    if (!it->second.inbox.empty()) event.at = std::max(event.at, it->second.inbox.back().at);
    world_->WillArrive(node_, event.at);
    it->second.inbox.push_back(std::move(event));
  }
  // The other end has closed; it hears nothing any more.
  void Closed(LinkId link) {
    const auto it = links_.find(link);
    if (it == links_.end()) return;
    it->second.peer = nullptr;
    Arrive(link, {.kind = Event::kClosed});
  }
  // The other end cannot be reached.
  void Fail(LinkId link) {
    const auto it = links_.find(link);
    if (it == links_.end()) return;
    it->second.peer = nullptr;
    Arrive(link, {.kind = Event::kClosed, .at = world_->Patience(), .own = true});
  }
  void LoseTail(Link& link) {
    const std::size_t lost = world_->random()() % (link.inbox.size() + 1);
    for (std::size_t i = 0; i < lost; ++i) {
      const Event& last = link.inbox.back();
      if (last.at <= world_->Now() || last.landed || last.kind == Event::kConnected || last.kind == Event::kAccepted)
        return;
      link.inbox.pop_back();
    }
  }
  [[nodiscard]] bool Ready(const Link& link) const {
    if (link.inbox.empty() || link.inbox.front().at > world_->Now()) return false;
    const Event& event = link.inbox.front();
    if (event.kind == Event::kPlaced) return event.landed && !world_->IsBlind(node_);
    return event.own || world_->Reaches(link.peer_node, node_);
  }
  void LandPlaced() {
    if (!world_->rdma) return;
    for (auto& [id, link] : links_) {
      if (!world_->Reaches(link.peer_node, node_)) continue;
      for (Event& event : link.inbox) {
        if (event.at > world_->Now()) break;
        if (event.kind != Event::kPlaced || event.landed) continue;
        const auto at = shared_.subspan(event.place - origin_, event.body.size());
        std::copy(event.body.begin(), event.body.end(), at.begin());
        event.landed = true;
        const bool flushed = world_->flush && persistent_;
        if (on_landed) on_landed(at, flushed);
        if (flushed && link.peer != nullptr) link.peer->Arrive(link.other, {.kind = Event::kFlushed});
      }
    }
  }
  void Deliver(LinkId id, const Event& event, FabricHandler& handler) {
    switch (event.kind) {
      case Event::kAccepted: handler.OnAccept(id, {"sim", 0}, links_.at(id).lane); break;
      case Event::kConnected: handler.OnConnect(id); break;
      case Event::kFrame: handler.OnFrame(id, event.head, event.body); break;
      case Event::kPlaced:
        handler.OnPlaced(id, event.place, shared_.subspan(event.place - origin_, event.body.size()));
        break;
      case Event::kFlushed: handler.OnFlushed(id, ++links_[id].flushed); break;
      case Event::kClosed:
        links_.erase(id);
        handler.OnClose(id, {Code::kUnavailable, "the link broke"});
        break;
    }
  }

  SimWorld* world_;
  int node_;
  std::map<LinkId, Link> links_;
  std::span<std::byte> shared_;
  std::uint64_t origin_ = 0;
  bool persistent_ = false;
};

}  // namespace faha
