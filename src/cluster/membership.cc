#include "cluster/membership.h"

#include <algorithm>

#include "base/member_codec.h"

namespace faha {

std::string Encode(const Configuration& configuration) {
  ByteWriter out;
  WriteConfiguration(out, configuration);
  return {reinterpret_cast<const char*>(out.bytes().data()), out.size()};
}

std::optional<Configuration> DecodeConfiguration(std::string_view text) {
  Configuration configuration;
  if (!ReadConfiguration(ByteReader(std::as_bytes(std::span(text))), configuration)) return std::nullopt;
  return configuration;
}

LogEnd Before(const LogEnd& a, const LogEnd& b) { return {std::min(a.epoch, b.epoch), std::min(a.lsn, b.lsn)}; }

bool IsWithin(const LogEnd& common, const LogEnd& batch) {
  return batch.epoch <= common.epoch && batch.lsn <= common.lsn;
}

Forks WithFork(Forks forks, const Fork& fork) {
  if (forks.size() == kMaxForks) {
    forks[1].end = Before(forks[0].end, forks[1].end);
    forks.erase(forks.begin());
  }
  forks.push_back(fork);
  return forks;
}

bool Includes(const Forks& a, const Forks& b) {
  return b.empty() || std::any_of(a.begin(), a.end(), [&](const Fork& fork) { return fork.id == b.back().id; });
}

// The first fork behind the last one that both know is where one has left the other.
LogEnd CommonHistory(const Forks& a, const Forks& b) {
  std::size_t left_a = a.size(), left_b = 0;
  const auto same = [&] {
    const auto found = std::find_if(b.begin(), b.end(), [&](const Fork& fork) { return fork.id == a[left_a - 1].id; });
    left_b = found == b.end() ? 0 : static_cast<std::size_t>(found - b.begin()) + 1;
    return left_b != 0;
  };
  while (left_a > 0 && !same()) --left_a;
  LogEnd common{Epoch{UINT64_MAX}, Lsn{UINT64_MAX}};
  if (left_a < a.size()) common = Before(common, a[left_a].end);
  if (left_b < b.size()) common = Before(common, b[left_b].end);
  return common;
}

void Membership::Add(Lsn lsn, Configuration configuration) { history_.emplace_back(lsn, std::move(configuration)); }

void Membership::CutAfter(Lsn keep) {
  while (!history_.empty() && history_.back().first > keep) history_.pop_back();
}

void Membership::Rebase() {
  if (history_.empty()) return;
  Configuration last = std::move(history_.back().second);
  history_.clear();
  history_.emplace_back(Lsn{}, std::move(last));
}

void Membership::Committed(Lsn lsn) {
  const auto later =
      std::find_if(history_.begin(), history_.end(), [&](const auto& entry) { return entry.first > lsn; });
  if (later - history_.begin() > 1) history_.erase(history_.begin(), later - 1);
}

const Configuration& Membership::newest_configuration() const {
  static const Configuration nobody;
  return history_.empty() ? nobody : history_.back().second;
}

const Member* Membership::Find(const NodeId& id) const {
  const auto it = std::find_if(members().begin(), members().end(), [&](const Member& m) { return m.id == id; });
  return it == members().end() ? nullptr : &*it;
}

Configuration Membership::With(Members members, FeatureLevel level) const {
  Configuration next{.members = std::move(members), .level = level};
  if (level < kForksLevel) return next;
  next.forks = forks();
  next.left_out = left_out();
  std::erase_if(next.left_out, [&](const Member& old) {
    return std::any_of(next.members.begin(), next.members.end(),
                       [&](const Member& m) { return m.id == old.id || m.Replication() == old.Replication(); });
  });
  return next;
}

Configuration Membership::Alone(const Member& self, FeatureLevel level, const Fork& fork) const {
  Configuration next = With({self}, level);
  if (level < kForksLevel) return next;
  next.forks = WithFork(std::move(next.forks), fork);
  for (const Member& member : members()) {
    if (member.id != self.id) next.left_out.push_back(member);
  }
  if (next.left_out.size() > kMaxMembers)  // those that were left out long ago are no longer known
    next.left_out.erase(next.left_out.begin(), next.left_out.end() - kMaxMembers);
  return next;
}

Members Membership::Toward(const Member& member) const {
  Members result = members();
  const auto replaced = std::find_if(result.begin(), result.end(), [&](const Member& m) {
    return m.id != member.id && m.Replication() == member.Replication();
  });
  if (replaced != result.end()) {
    result.erase(replaced);
    return result;
  }
  std::erase_if(result, [&](const Member& m) { return m.id == member.id; });
  result.push_back(member);
  std::sort(result.begin(), result.end(), [](const Member& a, const Member& b) { return a.redis_port < b.redis_port; });
  return result;
}

}  // namespace faha
