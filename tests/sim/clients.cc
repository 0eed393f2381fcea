#include "tests/sim/clients.h"

namespace faha::sim {

namespace {
// Whoever hears nothing for so long gives up, and does not know.
constexpr MonoTime kPatience = std::chrono::seconds(2);
constexpr MonoTime kDelay{300};  // between a client and a host, at most
}  // namespace

void Clients::Begin() {
  // Nobody talks to a host that is apart.
  const int first = (*cluster_)[1].joined() ? 1 : cluster_->Any().number();
  hosts_.assign(static_cast<std::size_t>(plan_.clients), first);
  for (int client = 0; client < plan_.clients; ++client) Next(client);
}

void Clients::Next(int client) {
  world_->After(world_->UpTo(plan_.think), [this, client] { Act(client); });
}

void Clients::Act(int client) {
  if (ended_) return;
  if (rests_) return Next(client);
  const auto dice = world_->Below(16);
  const bool reads = dice < plan_.reads || (plan_.readers && client % 2 == 0);
  const auto kind = reads ? Operation::Kind::kRead : Operation::Kind::kWrite;
  const bool deletes = dice >= 16 - plan_.deletes;
  const Value value = reads || deletes ? kAbsent : NextValue();
  const int key = static_cast<int>(world_->Below(static_cast<std::uint64_t>(plan_.keys)));
  int& at = hosts_[static_cast<std::size_t>(client)];
  if (world_->OneIn(16)) at = cluster_->Any().number();
  const std::size_t entry = Open(client, kind, key, value, [this, client](Outcome outcome) {
    // A redirection names the primary, but whom it names may be wrong: anybody may be asked next.
    if (outcome != Outcome::kDone) hosts_[static_cast<std::size_t>(client)] = cluster_->Any().number();
    Next(client);
  });
  Send(entry, (*cluster_)[at]);
}

void Clients::Do(Host& host, Operation::Kind kind, int key, Value value, Then then) {
  Send(Open(plan_.clients, kind, key, value, std::move(then)), host);
}

std::size_t Clients::Open(int client, Operation::Kind kind, int key, Value value, Then then) {
  ++open_;
  entries_.push_back(
      {.operation = {.kind = kind, .key = key, .value = value, .called = world_->Now(), .client = client},
       .state = State::kOpen,
       .then = std::move(then)});
  return entries_.size() - 1;
}

void Clients::Send(std::size_t entry, Host& host) {
  const Operation& operation = entries_[entry].operation;
  Request request{.kind = operation.kind,
                  .key = operation.key,
                  .value = operation.value,
                  .bytes = 8 + (plan_.overwrites ? plan_.value_bytes : world_->Below(plan_.value_bytes)),
                  .reply = {}};
  if (operation.client != plan_.clients) AddScript(request);
  if (request.busy > MonoTime{20'000} && request.noop != Noop::kNone) {
    // Somebody reads what may be old by then, in the turn that the script makes long.
    world_->After(request.busy - world_->UpTo(MonoTime{20'000}), [this, &host, key = request.key] {
      if (!ended_) Do(host, Operation::Kind::kRead, key, kAbsent, [](Outcome) {});
    });
  }
  request.reply = [this, entry, &host](Outcome outcome, Value read) { Answered(entry, host, outcome, read); };
  if (Reaches(operation.client, host)) {
    world_->After(world_->UpTo(kDelay), [&host, request = std::move(request)] { host.Ask(request); });
  } else {
    world_->After(kDelay, [this, entry] { Close(entry, Outcome::kRefused, kAbsent); });
  }
  world_->After(kPatience, [this, entry] { Close(entry, Outcome::kUnknown, kAbsent); });
}

void Clients::AddScript(Request& request) {
  request.forged = plan_.forges && !world_->OneIn(4);
  if (plan_.noops && world_->OneIn(3)) request.noop = static_cast<Noop>(world_->Below(kNoops));
  if (plan_.long_turn == MonoTime{0} || !world_->OneIn(plan_.deposes ? 5 : 20)) return;
  request.busy_polls = plan_.deposes || world_->OneIn(2);
  const bool writes_nothing = plan_.noops && !request.busy_polls;
  if (writes_nothing) request.noop = static_cast<Noop>(1 + world_->Below(kNoops - 1));
  // Long enough for another to be elected meanwhile, where that matters.
  const MonoTime least = writes_nothing || plan_.deposes ? plan_.long_turn / 2 : MonoTime{0};
  request.busy = least + world_->UpTo(plan_.long_turn - least);
}

bool Clients::Reaches(int client, const Host& host) const {
  if (!plan_.beside_hosts || client == plan_.clients) return true;
  const int beside = 1 + client % cluster_->size();
  return world_->Reaches(beside, host.number()) && world_->Reaches(host.number(), beside);
}

void Clients::Answered(std::size_t entry, const Host& host, Outcome outcome, Value read) {
  const Operation& operation = entries_[entry].operation;
  if (outcome == Outcome::kDone && operation.kind == Operation::Kind::kWrite) {
    last_written_ = world_->Now();
    if (on_written) on_written();
  }
  if (!Reaches(operation.client, host)) return;
  world_->After(world_->UpTo(kDelay), [this, entry, outcome, read] { Close(entry, outcome, read); });
}

void Clients::Close(std::size_t entry, Outcome outcome, Value read) {
  Entry& closed = entries_[entry];
  if (closed.state != State::kOpen) return;
  --open_;
  Operation& operation = closed.operation;
  closed.state = outcome == Outcome::kDone      ? State::kDone
                 : outcome == Outcome::kRefused ? State::kRefused
                                                : State::kUnknown;
  if (outcome == Outcome::kUnknown) ++unknown_;
  if (outcome == Outcome::kDone) {
    operation.answered = world_->Now();
    if (operation.kind == Operation::Kind::kRead) operation.value = read;
    ++done_;
  }
  world_->Trace(0, std::string(operation.kind == Operation::Kind::kRead ? "read " : "wrote ") +
                       std::to_string(operation.key) + " " + std::to_string(operation.value) +
                       (outcome == Outcome::kDone      ? ""
                        : outcome == Outcome::kRefused ? ": refused"
                                                       : ": unknown"));
  const Then then = std::move(closed.then);
  then(outcome);
}

History Clients::history() const {
  History history;
  for (const Entry& entry : entries_) {
    const bool unanswered = entry.state == State::kOpen || entry.state == State::kUnknown;
    if (entry.state == State::kRefused) continue;
    if (unanswered && entry.operation.kind == Operation::Kind::kRead) continue;
    history.push_back(entry.operation);
  }
  return history;
}

}  // namespace faha::sim
