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

#include "cluster/membership.h"
#include "tests/sim/clients.h"
#include "tests/sim/cluster.h"
#include "tests/sim/plan.h"

namespace faha::sim {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Those that were refused see no primary for so long.
constexpr milliseconds kRefusedFor{1500};

// Where hosts stand in memory differs from run to run.
struct ByNumber {
  bool operator()(const Host* a, const Host* b) const { return a->number() < b->number(); }
};

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
  // What a host that was lost holds, before it has heard of anybody.
  struct Held {
    LogEnd written;  // the newest batch of a client
    std::map<std::string, std::uint64_t> contents;
  };

  [[nodiscard]] bool Goes() const { return !cluster_.violation(); }
  Clients& clients() { return *clients_.back(); }
  void RunFor(MonoTime time) { world_.RunTo(world_.Now() + time); }
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
    (void)cluster_.Until([this] { return clients().Idle(); }, seconds(10));
  }

  void Round(bool is_last) {
    clients().Begin();
    RunFor(world_.UpTo(plan_.length));
    if (!Goes()) return;
    if (world_.OneIn(3)) ForceInVain();
    if (!Goes()) return;
    const std::vector<Host*> present = Present();
    Host* left = present[world_.Below(present.size())];
    LoseAllBut(*left);
    if (!Force(*left)) return;
    if (world_.OneIn(4)) left = ForceAnother(left);
    if (!Goes()) return;
    clients().Begin();
    GoOn(*left, is_last);
  }

  // The primary is lost, and a majority is not: the node that is told to lead without the others is elected by them.
  void ForceInVain() {
    const std::vector<Host*> present = Present();
    Host* primary = cluster_.Primary();
    if (present.size() < 3 || primary == nullptr || !cluster_.AllInSync(primary->store()->Info().last)) return;
    world_.UnblockAll();
    world_.PokeAll();
    const bool pauses = world_.OneIn(2);
    pauses ? world_.Pause(primary->number()) : primary->KillProcess();
    Host* heir = primary;
    while (heir == primary) heir = present[world_.Below(present.size())];
    RunFor(world_.UpTo(milliseconds(1500)));
    bool asked = false, forced = false;
    heir->Command([&](Store& store) {
      store.Force([&](const Status& status) {
        asked = true;
        forced = status.ok();
      });
    });
    if (!cluster_.Until([&] { return asked; }, seconds(10))) cluster_.NoProgress("FORCE is not answered:");
    if (forced && heir->store()->Info().members.size() == 1)
      cluster_.Violation(fmt::format("host {} was forced to lead alone, although a majority would have elected it{}",
                                     heir->number(), cluster_.Describe()));
    if (pauses) world_.Resume(primary->number());
    primary->PowerOn();
    if (!cluster_.Until([&] { return cluster_.Primary() != nullptr; }, seconds(20)))
      cluster_.NoProgress("nobody serves after FORCE where it was not needed:");
    if (Goes()) AwaitSync(*cluster_.Primary());
  }

  // Another one of those that were lost is forced as well, and neither names the other among its members.  That of the
  // later epoch goes on.  Returns it.
  Host* ForceAnother(Host* left) {
    Host* other = std::next(lost_.begin(), static_cast<long>(world_.Below(lost_.size())))->first;
    if (lost_.at(other) != forks_.size() - 1) return left;
    EndClients();
    JudgeHistory();
    if (!StartApart(*other)) return left;
    const auto end = OrderForce(*other);
    if (!Goes()) return left;
    if (!end) {
      other->KillProcess();
      world_.UnblockAll();
      return Anew(left);
    }
    world_.Trace(other->number(), fmt::format("was forced as well; its log ended at {}", end->lsn.value));
    if (world_.OneIn(3)) StartAgain(*left);
    if (world_.OneIn(3)) StartAgain(*other);
    if (!Goes()) return left;
    const bool other_wins = other->store()->Info().epoch > left->store()->Info().epoch;
    Host& winner = other_wins ? *other : *left;
    Host& loser = other_wins ? *left : *other;
    // The one that does not go on perhaps cannot dial the other, only the other way round.
    if (world_.OneIn(2)) world_.Hide(winner.number());
    world_.UnblockAll();
    world_.PokeAll();
    if (!cluster_.Until([&] { return Serves(winner) && !Serves(loser); }, seconds(15)))
      cluster_.NoProgress("two nodes that were forced to lead never hear of each other:");
    world_.Show(winner.number());
    world_.PokeAll();
    RunFor(seconds(1));
    if (!Goes()) return left;
    const LogEnd common = Before(*end, forks_.back());
    if (other_wins) {
      forks_.push_back(*end);
      for (auto& [host, since] : lost_) since += since == forks_.size() - 2 ? 1 : 0;
      lost_.erase(other);
      other->SetApart(false);
    }
    // What it shares with the one that goes on may end before the fork that it has made itself.
    if (!FollowsHistoryOf(winner, loser)) {
      loser.KillProcess();
      loser.SetApart(true);
      shared_[&loser] = common;
      lost_[&loser] = forks_.size() - 1;
    } else {
      loser.SetApart(false);
      lost_.erase(&loser);
      AwaitSync(winner);
    }
    return Anew(&winner);
  }

  // Clients begin anew, with what this host holds.
  Host* Anew(Host* left) {
    NewClients();
    Give(*left);
    return left;
  }

  void Give(Host& left) {
    given_.clear();
    for (int key = 0; key < plan_.keys; ++key) {
      const Value value = left.Holds(key);
      if (value == kAbsent) continue;
      given_.push_back({.kind = Operation::Kind::kWrite,
                        .key = key,
                        .value = value,
                        .called = MonoTime{0},
                        .answered = world_.Now(),
                        .client = -1});
    }
  }

  void GoOn(Host& left, bool is_last) {
    // Where nobody writes, nothing but what the forced node says itself tells those that return where its log ends.
    if (world_.OneIn(2)) RunFor(world_.UpTo(plan_.length));
    if (world_.OneIn(2)) StartAgain(left);
    if (!Goes()) return;
    clients().Rest(world_.OneIn(2));
    JoinLate(left);
    Return(left, is_last);
  }

  // What its pool holds is what it held, and nothing of what others have placed there before.
  void StartAgain(Host& left) {
    world_.OneIn(2) ? left.KillProcess() : left.PowerOff();
    left.PowerOn();
    if (!cluster_.Until([&] { return Serves(left); }, seconds(20)))
      cluster_.NoProgress("the forced node does not serve after a restart:");
  }

  // A node with an empty pool: it takes the whole log.
  void JoinLate(Host& left) {
    for (int number = 1; number <= cluster_.size() && Goes(); ++number) {
      Host& host = cluster_[number];
      if (host.joined() || lost_.contains(&host) || gone_.contains(&host)) continue;
      host.PowerOn();
      if (!cluster_.Until([&] { return host.store() != nullptr; }, seconds(5))) continue;
      cluster_.Join(host);
      if (!cluster_.Until([&] { return host.joined(); }, seconds(20)))
        cluster_.NoProgress(fmt::format("host {} does not join:", number));
      AwaitSync(left);
      host.SetJoined();
    }
  }

  // It lags behind, or not, when the others are lost.
  void LoseAllBut(Host& left) {
    const auto how = world_.Below(4);
    // Where nobody writes, what it lacks are batches of the cleaner.
    if (how != 0 && world_.OneIn(3)) clients().Rest(true);
    if (how == 1) world_.Pause(left.number());
    if (how == 2) left.KillProcess();
    if (how == 3) Block(left);
    if (how != 0) RunFor(world_.UpTo(milliseconds(1500)));
    for (Host* host : Present()) {
      if (host == &left) continue;
      world_.OneIn(2) ? host->PowerOff() : host->KillProcess();
      host->SetApart(true);
      if (lost_.emplace(host, forks_.size()).second) shared_.erase(host);
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
    const auto end = OrderForce(left);
    if (!end) return false;
    world_.Trace(left.number(), fmt::format("was forced; its log ended at {}", end->lsn.value));
    forks_.push_back(*end);
    JudgeHistory();
    NewClients();
    Give(left);
    return Goes();
  }

  // Where its log ended; nothing if it may not lead.
  std::optional<LogEnd> OrderForce(Host& left) {
    bool asked = false, done = false, not_whole = false;
    LogEnd before;
    const auto order = [&](Store& store) {
      before = cluster_.LastFork(left);
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
    if (!cluster_.Until(serves, seconds(20))) cluster_.NoProgress("a node that is forced to lead does not serve:");
    if (!Goes() || not_whole) return std::nullopt;
    // Who is the only member already is elected, and nothing forks.
    const LogEnd fork = cluster_.LastFork(left);
    return fork == before ? LogEnd{Epoch{UINT64_MAX}, Lsn{UINT64_MAX}} : fork;
  }

  // All of the lost hosts, or some of them.
  void Return(Host& left, bool all) {
    if (!lost_.empty() && world_.OneIn(4)) ServeBehind(left);
    std::map<Host*, Held, ByNumber> returning;
    for (const auto& [host, since] : lost_) {
      if (!all && world_.OneIn(3)) continue;
      if (auto held = StartApart(*host)) returning.emplace(host, std::move(*held));
    }
    const bool together = world_.OneIn(2);
    std::map<Host*, Held, ByNumber> refused;
    for (auto& [host, held] : returning) {
      if (!Goes()) return;
      const LogEnd fork = SharedWith(*host);
      world_.Trace(host->number(), fmt::format("returns, with {} of {}", held.written.lsn.value, fork.lsn.value));
      LetIn(*host);
      LeadTo(left, *host);
      if (!IsWithin(fork, held.written) || MayHaveWritten(left, *host)) {
        refused.emplace(host, std::move(held));
      } else if (!together) {
        AwaitFollows(left, *host);
      }
    }
    for (auto& [host, held] : returning) {
      if (!refused.contains(host)) AwaitFollows(left, *host);
    }
    if (Goes()) AwaitSync(left);
    if (Goes()) Refuse(left, refused);
    for (const auto& [host, held] : returning) {
      lost_.erase(host);
      shared_.erase(host);
    }
  }

  // A host that has led another part has perhaps cleaned its log meanwhile, and then cannot say that no client has
  // written to what it has cleaned.  True if it is refused.
  bool MayHaveWritten(Host& left, Host& host) {
    if (!shared_.contains(&host)) return false;
    const auto refused = [&] {
      return host.store() != nullptr && host.store()->Info().last_error.starts_with("FORKED");
    };
    (void)cluster_.Until([&] { return refused() || FollowsHistoryOf(left, host); }, seconds(20));
    return refused();
  }

  LogEnd SharedWith(Host& host) {
    const auto forced = shared_.find(&host);
    const LogEnd fork = forks_[lost_.at(&host)];
    return forced == shared_.end() ? fork : Before(forced->second, fork);
  }

  // The lost hosts are back while the forced one is not to be seen.  Those that have a majority of the members of
  // before serve, until they meet it; clients that stay with the forced one do not ask them.
  void ServeBehind(Host& left) {
    clients().Rest(true);
    (void)cluster_.Until([this] { return clients().Idle(); }, seconds(10));
    // Those that follow the forced one may elect one of the others, which then leads all of them.
    const bool writes = world_.OneIn(2);
    for (const Host* host : Present()) {
      if (host == &left || writes) Part(*host);
    }
    for (const auto& [host, since] : lost_) host->PowerOn();
    RunFor(milliseconds(400));
    for (int i = 0; i < 3; ++i) {
      Host& heir = *std::next(lost_.begin(), static_cast<long>(world_.Below(lost_.size())))->first;
      heir.Command([](Store& store) { store.Promote(milliseconds(800), [](const Status&) {}); });
      RunFor(world_.UpTo(milliseconds(1000)));
    }
    if (writes) WriteBehind();
    world_.UnblockAll();
    world_.PokeAll();
    const auto one_leads = [&] {
      const auto present = Present();
      const auto lost = std::count_if(lost_.begin(), lost_.end(), [](const auto& at) { return Serves(*at.first); });
      return lost + std::count_if(present.begin(), present.end(), [](const Host* host) { return Serves(*host); }) <= 1;
    };
    if (!cluster_.Until(one_leads, seconds(15))) cluster_.NoProgress("two primaries never hear of each other:");
    RunFor(seconds(1));
    for (auto entry = lost_.begin(); entry != lost_.end();) {
      Host* host = entry->first;
      // Who has written nothing meanwhile follows the forced one.
      const bool follows = FollowsHistoryOf(left, *host);
      follows ? host->SetApart(false) : host->KillProcess();
      if (!follows) shared_.emplace(host, LogEnd{Epoch{UINT64_MAX}, Lsn{UINT64_MAX}});
      entry = follows ? lost_.erase(entry) : std::next(entry);
    }
    AwaitSync(left);
  }

  void Part(const Host& host) {
    for (const auto& [other, since] : lost_) {
      world_.Block(host.number(), other->number());
      world_.Block(other->number(), host.number());
    }
  }

  // Somebody writes to those that serve beside the forced one.
  void WriteBehind() {
    for (const auto& [host, since] : lost_) {
      if (!Serves(*host)) continue;
      behind_.push_back(std::make_unique<Clients>(&world_, &cluster_, plan_, clients().NextValue()));
      const int key = static_cast<int>(world_.Below(static_cast<std::uint64_t>(plan_.keys)));
      behind_.back()->Do(*host, Operation::Kind::kWrite, key, behind_.back()->NextValue(), [](Outcome) {});
    }
    RunFor(milliseconds(100));
  }

  static bool FollowsHistoryOf(const Host& left, const Host& host) {
    return left.store() != nullptr && host.store() != nullptr &&
           host.store()->Info().epoch >= left.store()->Info().epoch;
  }

  static bool Serves(const Host& host) { return host.store() != nullptr && host.store()->Serving(); }

  // What it holds is read before it hears of anybody.
  std::optional<Held> StartApart(Host& host) {
    Block(host);
    host.PowerOn();
    if (!cluster_.Until([&] { return host.store() != nullptr; }, seconds(20))) {
      cluster_.NoProgress("a lost host does not start:");
      return std::nullopt;
    }
    return Held{.written = cluster_.LastWrite(host), .contents = host.Contents()};
  }

  // It does not meet others that were lost before it has met the forced one: a majority of the members of before would
  // serve as well.
  void LetIn(const Host& host) {
    for (const Host* other : Present()) {
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

  // They hold what the forced one never received.  They keep it, and do not lead, also when they find each other and
  // the forced one is away, or somebody tells them to lead.
  void Refuse(Host& left, const std::map<Host*, Held, ByNumber>& refused) {
    if (refused.empty()) return;
    refused_ += refused.size();
    const auto told = [&] {
      return std::all_of(refused.begin(), refused.end(), [](const auto& entry) {
        return entry.first->store() != nullptr && entry.first->store()->Info().last_error.starts_with("FORKED");
      });
    };
    if (!cluster_.Until(told, seconds(20))) return cluster_.NoProgress("a host does not say why it does not follow:");
    world_.UnblockAll();
    const bool pauses = world_.OneIn(2);
    if (pauses) {
      world_.Pause(left.number());
    } else {
      left.KillProcess();
    }
    Host& heir = *std::next(refused.begin(), static_cast<long>(world_.Below(refused.size())))->first;
    if (world_.OneIn(2)) heir.KillProcess();
    heir.PowerOn();
    RunFor(milliseconds(200));
    heir.Command([](Store& store) { store.Promote(milliseconds(1500), [](const Status&) {}); });
    RunFor(kRefusedFor);
    JudgeRefused(refused);
    if (pauses) world_.Resume(left.number());
    left.PowerOn();
    for (const auto& [host, held] : refused) {
      host->KillProcess();
      gone_.insert(host);
    }
    if (!cluster_.Until([&] { return cluster_.Primary() != nullptr; }, seconds(20)))
      cluster_.NoProgress("nobody serves after those that were refused have gone:");
  }

  void JudgeRefused(const std::map<Host*, Held, ByNumber>& refused) {
    for (const auto& [host, held] : refused) {
      const StoreInfo info = host->store()->Info();
      if (Serves(*host) || !info.whole || cluster_.LastWrite(*host) != held.written ||
          host->Contents() != held.contents) {
        return cluster_.Violation(
            fmt::format("host {} holds writes (up to {}) that the forced one never received, and "
                        "leads, or has given them up{}",
                        host->number(), held.written.lsn.value, cluster_.Describe()));
      }
    }
  }

  // Before that it may lead others that were lost, and clients of the forced one do not ask it.
  void AwaitFollows(Host& left, Host& host) {
    if (!cluster_.Until([&] { return FollowsHistoryOf(left, host); }, seconds(30)))
      cluster_.NoProgress(fmt::format("host {} does not follow the one that was forced:", host.number()));
    host.SetApart(false);
  }

  void AwaitSync(Host& left) {
    if (!Goes()) return;
    const Lsn least = left.store()->Info().last;
    if (!cluster_.Until([&] { return cluster_.AllInSync(least); }, seconds(30)))
      cluster_.NoProgress("a host that was lost is not in sync with the one that was forced:");
  }

  void Judge() {
    EndClients();
    Host* primary = cluster_.Primary();
    if (primary == nullptr) return;  // the last one that was left was not whole
    for (int key = 0; key < plan_.keys; ++key)
      clients().Do(*primary, Operation::Kind::kRead, key, kAbsent, [](Outcome) {});
    (void)cluster_.Until([this] { return clients().Idle(); }, seconds(10));
    const Lsn least = primary->store()->Info().last;
    if (!lost_.empty()) return;  // as above
    if (!cluster_.Until([&] { return cluster_.AllInSync(least) && !cluster_.KeysDiffer(); }, seconds(30)))
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
  std::vector<std::unique_ptr<Clients>> behind_;   // of those that serve beside a forced one
  std::vector<LogEnd> forks_;                      // where the log of each forced one ended
  std::map<Host*, std::size_t, ByNumber> lost_;    // and how many forks each had seen
  std::map<Host*, LogEnd, ByNumber> shared_;       // of one that was forced and did not go on: see SharedWith
  std::set<const Host*, ByNumber> gone_;           // were refused, and ended
  History given_;                                  // what the last forced one began with
  std::uint64_t refused_ = 0;
};

}  // namespace

Report RunForced(std::uint64_t seed, bool verbose) { return Forced(seed, verbose).Go(); }

}  // namespace faha::sim
