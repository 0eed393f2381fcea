#include "store/committer.h"

#include <algorithm>

#include "cluster/quorum.h"

namespace faha {

namespace {
// A commit begins to wait for a backup that lacks at most so many batches; under load a backup is always a little
// behind.
constexpr std::uint64_t kCloseEnough = 4;
// A backup on which a commit has given up twice within kForgiveAfter stays out of sync for kFirstPenalty, and twice as
// long each further time, up to kMaxPenalty.
constexpr MonoTime kForgiveAfter = std::chrono::seconds(60);
constexpr MonoTime kFirstPenalty = std::chrono::seconds(2);
constexpr MonoTime kMaxPenalty = std::chrono::seconds(32);
}  // namespace

void Committer::Begin(Epoch epoch, Lsn first) {
  epoch_ = epoch;
  first_ = first;
}

void Committer::End() {
  for (const auto& shipper : shippers_) shipper->Close();
  shippers_.clear();
  left_.clear();
  strikes_.clear();
  epoch_ = Epoch{};
}

Shipper* Committer::Admit(std::unique_ptr<Shipper> shipper) {
  std::erase_if(shippers_, [&](const auto& old) {
    const bool same = old->receiver().id == shipper->receiver().id;
    if (same) old->Close();
    return same;
  });
  shippers_.push_back(std::move(shipper));
  return shippers_.back().get();
}

Shipper* Committer::Find(LinkId link) {
  for (const auto& shipper : shippers_) {
    if (shipper->control() == link || shipper->data() == link) return shipper.get();
  }
  return nullptr;
}

Shipper* Committer::FindToken(std::uint64_t token) {
  for (const auto& shipper : shippers_) {
    if (shipper->token() != 0 && shipper->token() == token) return shipper.get();
  }
  return nullptr;
}

void Committer::Drop(LinkId link) {
  std::erase_if(shippers_, [&](const auto& shipper) {
    const bool hit = shipper->control() == link || shipper->data() == link;
    if (!hit) return false;
    Lsn& left = left_[shipper->receiver().id];
    left = std::max(left, shipper->whole_through());
    shipper->Close();
    return true;
  });
}

const Shipper* Committer::Of(const NodeId& node) const {
  for (const auto& shipper : shippers_) {
    if (shipper->receiver().id == node) return shipper.get();
  }
  return nullptr;
}

bool Committer::Spared(const Shipper& shipper) const {
  if (shipper.in_sync || shipper.fetch() || !Serving()) return false;
  const auto has = [&](const Member& member) {
    const Shipper* other = Of(member.id);
    return member.id == self_.id || (other != nullptr && other->in_sync);
  };
  const auto& members = membership_->members();
  const auto copies = static_cast<std::size_t>(std::count_if(members.begin(), members.end(), has));
  return copies >= std::max<std::size_t>(Majority(members.size()), options_->min_acks);
}

void Committer::Pump(Shipper& shipper, Epoch epoch) const {
  if (!Spared(shipper)) shipper.Pump(epoch, committed_, options_->batch_depth);
}

void Committer::Pump(Epoch epoch) {
  for (const auto& shipper : shippers_) Pump(*shipper, epoch);
}

void Committer::PumpSpared(Epoch epoch, MonoTime now) {
  const bool busy = now - served_at_ < kQuiet;
  for (const auto& shipper : shippers_) {
    if (Spared(*shipper)) shipper->PumpSlice(epoch, committed_, options_->batch_depth, now, busy, log_->sealed_bytes());
  }
}

Lsn Committer::Everywhere() const {
  Lsn least = log_->durable();
  for (const Member& member : membership_->members()) {
    if (member.id == self_.id) continue;
    const Shipper* shipper = Of(member.id);
    const auto left = left_.find(member.id);
    const Lsn before = left != left_.end() ? left->second : Lsn{};
    least = std::min(least, std::max(before, shipper != nullptr ? shipper->whole_through() : Lsn{}));
  }
  return least;
}

bool Committer::Claimed(Lsn first, Lsn last) const {
  return std::any_of(shippers_.begin(), shippers_.end(),
                     [&](const auto& shipper) { return shipper->read_from() < last && shipper->posted() >= first; });
}

std::vector<Endpoint> Committer::DropStalled(MonoTime now, MonoTime patience) {
  std::vector<Endpoint> dropped;
  std::vector<LinkId> links;
  for (const auto& shipper : shippers_) {
    if (!shipper->Stalled(now, patience)) continue;
    dropped.push_back(shipper->receiver().Redis());
    links.push_back(shipper->control());
  }
  for (const LinkId link : links) Drop(link);
  return dropped;
}

void Committer::Heartbeat(MonoTime now, bool leads) {
  for (const auto& shipper : shippers_) shipper->SendHeartbeat(epoch_, committed_, now, leads);
}

Lsn Committer::DurableAt(const Member& member) const {
  if (member.id == self_.id) return log_->durable();
  const Shipper* shipper = Of(member.id);
  return shipper == nullptr || !shipper->whole() ? Lsn{} : shipper->acked();
}

bool Committer::Advance(MonoTime now) {
  const Lsn reached = ReachedByMajority(membership_->members(), [&](const Member& m) { return DurableAt(m); });
  // Counting copies proves nothing about batches of earlier epochs until one of this epoch stands behind them.
  const bool moved = active() && reached >= first_ && reached > committed_;
  if (moved) committed_ = reached;
  for (const auto& shipper : shippers_) {
    shipper->NoteProgress(now);
    const bool close =
        shipper->acked() >= shipper->owed && shipper->acked().value + kCloseEnough >= log_->end().lsn.value;
    if (!close || shipper->fetch() || !shipper->whole() || shipper->data() == LinkId::kNone) continue;
    // If faha.min-acks needs this backup, nothing is gained by going on without it.
    const auto strikes = strikes_.find(shipper->receiver().id);
    if (strikes == strikes_.end() || now >= strikes->second.until || !EnoughCopies()) shipper->in_sync = true;
  }
  return moved;
}

bool Committer::Acknowledged(Lsn lsn) const {
  if (committed_ < lsn || log_->durable() < lsn) return false;
  std::size_t copies = 1;
  for (const auto& shipper : shippers_) {
    if (shipper->fetch() || !shipper->whole()) continue;
    if (shipper->in_sync && shipper->acked() < lsn) return false;
    if (shipper->acked() >= lsn) ++copies;
  }
  return copies >= options_->min_acks;
}

bool Committer::EnoughCopies() const {
  if (options_->min_acks <= 1) return true;
  const auto copies = 1 + std::count_if(shippers_.begin(), shippers_.end(), [](const auto& s) { return s->in_sync; });
  return static_cast<std::size_t>(copies) >= options_->min_acks;
}

std::vector<Endpoint> Committer::GiveUpOn(Lsn lsn, MonoTime now) {
  std::vector<Endpoint> slow;
  for (const auto& shipper : shippers_) {
    if (!shipper->in_sync || shipper->acked() >= lsn) continue;
    shipper->in_sync = false;
    shipper->owed = lsn;
    Strikes& strikes = strikes_[shipper->receiver().id];
    strikes.count = now - strikes.last < kForgiveAfter ? std::min(strikes.count + 1, 16U) : 1;
    strikes.last = now;
    const MonoTime penalty = strikes.count < 2 ? MonoTime{0} : kFirstPenalty * (1 << (strikes.count - 2));
    strikes.until = now + std::min(penalty, kMaxPenalty);
    slow.push_back(shipper->receiver().Redis());
  }
  return slow;
}

MonoTime Committer::HeardByMajority(MonoTime now) const {
  return ReachedByMajority(membership_->members(), [&](const Member& m) {
    if (m.id == self_.id) return now;
    const Shipper* shipper = Of(m.id);
    return shipper == nullptr ? MonoTime{0} : shipper->echoed();
  });
}

FeatureLevel Committer::Offered(const Members& members) const {
  FeatureLevel offered = options_->feature_level;
  for (const Member& member : members) {
    if (member.id == self_.id) continue;
    const Shipper* shipper = Of(member.id);
    offered = std::min(offered, shipper == nullptr ? kLowestLevel : shipper->offers());
  }
  return offered;
}

Members Committer::Joining() const {
  Members candidates;
  if (!Serving() || membership_->ChangePending(committed_)) return candidates;
  for (const auto& shipper : shippers_) {
    if (!shipper->in_sync) continue;
    const Member* known = membership_->Find(shipper->receiver().id);
    if (known == nullptr || *known != shipper->receiver()) candidates.push_back(shipper->receiver());
  }
  return candidates;
}

}  // namespace faha
