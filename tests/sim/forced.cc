#include "tests/sim/forced.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tests/sim/clients.h"
#include "tests/sim/cluster.h"
#include "tests/sim/plan.h"

namespace faha::sim {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// A node that is refused asks again and again; so long it must have kept what it has.
constexpr milliseconds kRefusedFor{1500};

class Forced {
 public:
  Forced(std::uint64_t seed, bool verbose)
      : plan_(Plan::Of(seed, Kind::kForced)), world_(seed), cluster_(&world_, plan_) {
    world_.verbose = verbose;
    world_.Trace(0, plan_.ToString());
  }

  Report Go() {
    cluster_.Form();
    NewClients();
    for (int round = 1; round <= plan_.rounds && Goes() && Present().size() > 1; ++round) Round(round == plan_.rounds);
    if (Goes()) Judge();
    Report report{.violation = cluster_.violation(),
                  .only_progress = cluster_.only_progress(),
                  .trace = world_.trace(),
                  .elections = cluster_.elections(),
                  .forced = forks_.size(),
                  .refused = refused_};
    if (report.violation) *report.violation += "\n    " + plan_.ToString();
    for (const auto& clients : clients_) {
      report.done += clients->done();
      report.unknown += clients->unknown();
    }
    for (int number = 1; number <= cluster_.size(); ++number) {
      cluster_[number].KillProcess();
      report.starts += cluster_[number].starts;
      report.installs += cluster_[number].installs;
      report.cleaned += cluster_[number].cleaned;
    }
    return report;
  }

 private:
  // What a host that was lost holds for certain, before it has heard of anybody.
  struct Held {
    Lsn committed;
    std::map<std::string, std::uint64_t> contents;
  };

  [[nodiscard]] bool Goes() const { return !cluster_.violation(); }
  Clients& clients() { return *clients_.back(); }
  void RunFor(MonoTime time) { world_.RunTo(world_.Now() + time); }
  template <typename Condition>
  bool Until(Condition condition, MonoTime limit) {
    const MonoTime end = world_.Now() + limit;
    while (!condition() && world_.Now() < end && Goes()) RunFor(milliseconds(20));
    return condition();
  }
  std::vector<Host*> Present() {
    std::vector<Host*> present;
    for (int number = 1; number <= cluster_.size(); ++number) {
      if (cluster_[number].joined()) present.push_back(&cluster_[number]);
    }
    return present;
  }

  // What clients were told before a node was forced is judged by itself: afterwards, writes of theirs are lost.
  void NewClients() {
    const Value last = clients_.empty() ? kAbsent : clients().NextValue();
    clients_.push_back(std::make_unique<Clients>(&world_, &cluster_, plan_, last));
  }
  void EndClients() {
    clients().Rest(false);
    clients().End();
    (void)Until([this] { return clients().Idle(); }, seconds(10));
  }

  void Round(bool is_last) {
    clients().Begin();
    RunFor(world_.UpTo(plan_.length));
    if (!Goes()) return;
    const std::vector<Host*> present = Present();
    Host& left = *present[world_.Below(present.size())];
    LoseAllBut(left);
    if (!Force(left)) return;
    clients().Begin();
    // Where nobody writes, nothing but what the forced node says itself tells those that return where its log ends.
    if (world_.OneIn(2)) RunFor(world_.UpTo(plan_.length));
    clients().Rest(world_.OneIn(2));
    JoinLate(left);
    Return(left, is_last);
  }

  // A node with an empty pool: it takes the whole log.
  void JoinLate(Host& left) {
    for (int number = 1; number <= cluster_.size() && Goes(); ++number) {
      Host& host = cluster_[number];
      if (host.joined() || lost_.contains(&host) || gone_.contains(&host)) continue;
      host.PowerOn();
      if (!Until([&] { return host.store() != nullptr; }, seconds(5))) continue;
      cluster_.Join(host);
      if (!Until([&] { return host.joined(); }, seconds(20))) cluster_.NoProgress("a new host does not join:");
      AwaitSync(left);
      host.SetJoined();
    }
  }

  // It lags behind, or not, when the others are lost.
  void LoseAllBut(Host& left) {
    const auto how = world_.Below(4);
    if (how == 1) world_.Pause(left.number());
    if (how == 2) left.KillProcess();
    if (how == 3) Block(left);
    if (how != 0) RunFor(world_.UpTo(milliseconds(1500)));
    for (Host* host : Present()) {
      if (host == &left) continue;
      world_.OneIn(2) ? host->PowerOff() : host->KillProcess();
      host->SetApart(true);
      lost_.emplace(host, forks_.size());
    }
    world_.UnblockAll();
    world_.Resume(left.number());
    left.PowerOn();
    world_.PokeAll();
  }

  void Block(const Host& host) {
    for (int other = 1; other <= cluster_.size(); ++other) {
      if (other == host.number()) continue;
      world_.Block(host.number(), other);
      world_.Block(other, host.number());
    }
  }

  // False if it may not lead, because it was being given the whole log.
  bool Force(Host& left) {
    EndClients();
    bool asked = false, done = false, not_whole = false;
    Lsn end;
    const auto order = [&](Store& store) {
      end = store.Info().last;
      store.Force([&](const Status& status) {
        asked = false;
        done = status.ok();
        not_whole = status.message().find("not whole") != std::string_view::npos;
      });
    };
    const auto serves = [&] {
      if (!asked && !done && !not_whole && left.store() != nullptr) {
        asked = true;
        left.Command(order);
      }
      return not_whole || (done && left.store()->Serving());
    };
    if (!Until(serves, seconds(20))) cluster_.NoProgress("a node that is forced to lead does not serve:");
    if (!Goes() || not_whole) return false;
    world_.Trace(left.number(), fmt::format("was forced; its log ended at {}", end.value));
    forks_.push_back(end);
    JudgeHistory();
    NewClients();
    given_.clear();
    for (const auto& [key, word] : left.Contents()) {
      given_.push_back({.kind = Operation::Kind::kWrite,
                        .key = std::stoi(key.substr(3)),
                        .value = static_cast<Value>(word),
                        .called = MonoTime{0},
                        .answered = world_.Now(),
                        .client = -1});
    }
    return Goes();
  }

  // All of the lost hosts, or some of them.
  void Return(Host& left, bool all) {
    std::map<Host*, Held> returning;
    for (const auto& [host, since] : lost_) {
      if (!all && world_.OneIn(3)) continue;
      if (auto held = StartApart(*host)) returning.emplace(host, std::move(*held));
    }
    const bool together = world_.OneIn(2);
    for (auto& [host, held] : returning) {
      if (!Goes()) return;
      const Lsn fork = forks_[lost_.at(host)];
      const bool holds_more = held.committed > fork;
      world_.Trace(host->number(), fmt::format("returns, with {} of {}", held.committed.value, fork.value));
      LetIn(*host);
      LeadTo(left, *host);
      if (!holds_more) host->SetApart(false);
      if (together && !holds_more) together_.insert(host);
      if (!together || holds_more) Await(left, *host, held, holds_more);
      lost_.erase(host);
    }
    if (Goes() && together) AwaitSync(left);
    together_.clear();
    world_.UnblockAll();
  }

  // What it holds is read before it hears of anybody.
  std::optional<Held> StartApart(Host& host) {
    Block(host);
    host.PowerOn();
    if (!Until([&] { return host.store() != nullptr; }, seconds(20))) {
      cluster_.NoProgress("a lost host does not start:");
      return std::nullopt;
    }
    return Held{.committed = host.store()->Info().applied, .contents = host.Contents()};
  }

  // It does not meet others that were lost: a majority of the members of before would serve as well.
  void LetIn(const Host& host) {
    for (const Host* other : Present()) {
      if (together_.contains(other)) continue;
      world_.Unblock(host.number(), other->number());
      world_.Unblock(other->number(), host.number());
    }
    world_.PokeAll();
  }

  // Sentinel's part, for a host that was lost before the forced one was a member.
  static void LeadTo(const Host& left, Host& host) {
    const StoreInfo info = host.store()->Info();
    const bool knows = std::any_of(info.members.begin(), info.members.end(),
                                   [&](const Member& member) { return member.Redis() == left.Redis(); });
    if (!knows) host.Command([to = left.Redis()](Store& store) { store.Follow(to); });
  }

  void Await(Host& left, Host& host, const Held& held, bool holds_more) {
    if (!holds_more) return AwaitSync(left);
    ++refused_;
    RunFor(kRefusedFor);
    const StoreInfo info = host.store()->Info();
    if (!info.whole || host.Contents() != held.contents || info.role == Role::kPrimary) {
      cluster_.Violation(
          fmt::format("host {} has given up writes that were committed (up to {}) and that host {}, which "
                      "was forced, never received{}",
                      host.number(), held.committed.value, left.number(), cluster_.Describe()));
    } else if (!info.last_error.starts_with("CORRUPT")) {
      cluster_.NoProgress(fmt::format("host {} does not say why it does not follow:", host.number()));
    }
    host.KillProcess();
    gone_.insert(&host);
  }

  void AwaitSync(Host& left) {
    const Lsn least = left.store()->Info().last;
    if (!Until([&] { return cluster_.AllInSync(least); }, seconds(30)))
      cluster_.NoProgress("a host that was lost is not in sync with the one that was forced:");
  }

  void Judge() {
    EndClients();
    Host* primary = cluster_.Primary();
    if (primary == nullptr) return;  // the last one that was left was not whole
    for (int key = 0; key < plan_.keys; ++key)
      clients().Do(*primary, Operation::Kind::kRead, key, kAbsent, [](Outcome) {});
    (void)Until([this] { return clients().Idle(); }, seconds(10));
    const Lsn least = primary->store()->Info().last;
    if (!lost_.empty()) return;  // as above
    if (!Until([&] { return cluster_.AllInSync(least) && !cluster_.KeysDiffer(); }, seconds(30)))
      return cluster_.NoProgress("the hosts are not in sync at the end:");
    if (const auto differ = cluster_.LogsDiffer()) cluster_.Violation("the logs are not the same: " + *differ);
    JudgeHistory();
  }

  void JudgeHistory() {
    History history = given_;
    for (const Operation& operation : clients().history()) history.push_back(operation);
    if (const auto wrong = Explain(history)) cluster_.Violation(*wrong);
  }

  Plan plan_;
  World world_;
  Cluster cluster_;
  std::vector<std::unique_ptr<Clients>> clients_;  // those of before had requests open when theirs ended
  std::vector<Lsn> forks_;                         // where the log of each forced one ended
  std::map<Host*, std::size_t> lost_;              // and how many forks each had seen
  std::set<const Host*> gone_;                     // were refused, and ended
  std::set<const Host*> together_;                 // return at the same time
  History given_;                                  // what the last forced one began with
  std::uint64_t refused_ = 0;
};

}  // namespace

Report RunForced(std::uint64_t seed, bool verbose) { return Forced(seed, verbose).Go(); }

}  // namespace faha::sim
