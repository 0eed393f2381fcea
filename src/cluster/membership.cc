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
