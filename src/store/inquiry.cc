#include "store/inquiry.h"

#include <algorithm>
#include <utility>

#include "base/mutant.h"

namespace faha {

std::map<NodeId, Inquiry::AskOf>::iterator Inquiry::AskWith(LinkId link) {
  return std::find_if(asks_.begin(), asks_.end(), [&](const auto& entry) { return entry.second.link == link; });
}

std::vector<Inquiry::SeedAsk>::iterator Inquiry::SeedWith(LinkId link) {
  return std::find_if(seeds_.begin(), seeds_.end(), [&](const SeedAsk& seed) { return seed.link == link; });
}

std::vector<NodeId> Inquiry::Dial(const Members& members, const NodeId& self) {
  const MonoTime now = clock_->Now();
  next_ = now + kPeriod;
  std::vector<NodeId> silent;
  bool all_answer = true;
  for (const Member& member : members) {
    if (member.id == self) continue;
    AskOf& ask = asks_[member.id];
    if (ask.link != LinkId::kNone && now - ask.heard > options_->lease && !Mutated(Mutant::kHungVoterCounts)) {
      fabric_->Close(ask.link);
      ask = {};
      silent.push_back(member.id);
    }
    all_answer = all_answer && ask.connected;
    if (ask.link != LinkId::kNone) continue;
    ask.heard = now;
    ask.link = fabric_->Dial(book_->AddressOf(member));
  }
  if (!all_answer) DialSeeds();
  return silent;
}

// If all members have new addresses since they ran last, they find each other by the seeds that they were told: see
// Suggest().
void Inquiry::DialSeeds() {
  const MonoTime now = clock_->Now();
  std::erase_if(seeds_, [&](const SeedAsk& seed) {
    const bool silent = !seed.answered && now - seed.dialled > options_->lease;
    if (silent) fabric_->Close(seed.link);
    return silent;
  });
  for (const Endpoint& at : book_->seeds()) {
    const bool asked = std::any_of(seeds_.begin(), seeds_.end(), [&](const auto& seed) { return seed.at == at; });
    if (!asked) seeds_.push_back({.at = at, .link = fabric_->Dial(at), .dialled = now});
  }
}

void Inquiry::Ask(std::span<const std::byte> request) const {
  for (const auto& [id, ask] : asks_) {
    if (ask.connected) fabric_->Send(ask.link, request);
  }
}

void Inquiry::AskForPromise(Epoch epoch, std::span<const std::byte> request) {
  for (auto& [id, ask] : asks_) {
    if (!ask.connected || ask.promise == epoch) continue;
    ask.promise = epoch;
    fabric_->Send(ask.link, request);
  }
}

void Inquiry::Close() {
  for (const auto& [id, ask] : asks_) fabric_->Close(ask.link);
  asks_.clear();
  for (const SeedAsk& seed : seeds_) fabric_->Close(seed.link);
  seeds_.clear();
}

bool Inquiry::Owns(LinkId link) const {
  const auto is_it = [link](const auto& of) { return of.link == link; };
  return link != LinkId::kNone &&
         (std::any_of(seeds_.begin(), seeds_.end(), is_it) ||
          std::any_of(asks_.begin(), asks_.end(), [&](const auto& entry) { return is_it(entry.second); }));
}

void Inquiry::OnConnect(LinkId link, std::span<const std::byte> request) {
  fabric_->Send(link, request);
  const auto ask = AskWith(link);
  if (ask == asks_.end()) return;
  ask->second.connected = true;
  ask->second.heard = clock_->Now();
}

std::optional<NodeId> Inquiry::PeerOf(LinkId link) {
  if (const auto ask = AskWith(link); ask != asks_.end()) {
    ask->second.heard = clock_->Now();
    return ask->first;
  }
  const auto seed = SeedWith(link);
  if (seed == seeds_.end()) return std::nullopt;
  seed->answered = true;
  return NodeId{};
}

bool Inquiry::Adopt(LinkId link, const NodeId& member) {
  const auto seed = SeedWith(link);
  AskOf& ask = asks_[member];
  if (ask.connected) return false;
  fabric_->Close(ask.link);
  ask = {.link = std::exchange(seed->link, LinkId::kNone), .connected = true, .heard = clock_->Now(), .promise = {}};
  book_->Found(member, seed->at);
  return true;
}

NodeId Inquiry::OnClose(LinkId link) {
  std::erase_if(seeds_, [&](const SeedAsk& seed) { return seed.link == link; });
  const auto ask = AskWith(link);
  if (ask == asks_.end()) return {};
  if (!ask->second.connected) book_->NotThere(ask->first);
  // The seed that led to a member gave its link to that member: it is forgotten here, so that it is dialled again.
  std::erase_if(seeds_, [](const SeedAsk& seed) { return seed.link == LinkId::kNone; });
  ask->second = {};
  return ask->first;
}

void Inquiry::Refuse(const NodeId& member) {
  AskOf& ask = asks_[member];
  fabric_->Close(ask.link);
  ask = {};
}

void Inquiry::Drop(LinkId link) {
  std::erase_if(seeds_, [&](const SeedAsk& seed) { return seed.link == link; });
  std::erase_if(asks_, [&](const auto& entry) { return entry.second.link == link; });
}

std::size_t Inquiry::Missing() const {
  return static_cast<std::size_t>(
      std::count_if(asks_.begin(), asks_.end(), [](const auto& ask) { return ask.second.misses; }));
}

}  // namespace faha
