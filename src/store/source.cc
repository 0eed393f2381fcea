#include "store/source.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <utility>
#include <vector>

#include "base/mutant.h"
#include "base/uuid.h"

namespace faha {

namespace {
class LogReader final : public BatchReader {
 public:
  LogReader(const Log* log, Lsn from, std::function<Lsn()> committed, std::function<Lsn()> first)
      : log_(log), cursor_{.next = from}, committed_(std::move(committed)), first_(std::move(first)) {}
  std::optional<Shippable> Peek() override {
    ahead_ = cursor_;
    const auto batch = log_->Next(ahead_);
    if (!batch) return std::nullopt;
    // A batch that was sealed in this turn is fresh and was not drained yet, so it is not checked.  An older batch is
    // checked: a receiver that lacks it would refuse a damaged one.  A damaged header may even name an LSN behind the
    // log's end.
    const bool fresh = batch->view.lsn() > log_->durable() && batch->view.lsn() <= log_->end().lsn;
    const bool old = !fresh && batch->view.lsn() > intact_;
    if (old) {
      if (!log_->IsIntact(batch->view, batch->at)) return std::nullopt;
      intact_ = batch->view.lsn();  // a receiver that must apply other batches first is shown this one repeatedly
    }
    return Shippable{batch->view.lsn(), batch->at, batch->bytes, batch->opens_segment ? batch->reused_after : Lsn{},
                     batch->opens_segment};
  }
  void Take() override { cursor_ = ahead_; }
  [[nodiscard]] Lsn Committed() const override { return committed_(); }
  [[nodiscard]] Lsn WholeAt() const override { return std::max(committed_(), first_()); }
  [[nodiscard]] std::vector<std::uint64_t> Generations() const override { return log_->Generations(); }

 private:
  const Log* log_;
  LogCursor cursor_, ahead_;
  Lsn intact_;
  std::function<Lsn()> committed_;
  std::function<Lsn()> first_;  // batch of the epoch
};
}  // namespace

Source::Source(const PartContext& shared, Committer* committer, Probes* probes)
    : options_(shared.options),
      observer_(shared.observer),
      clock_(shared.clock),
      fabric_(shared.fabric),
      health_(shared.health),
      standing_(shared.standing),
      replica_(shared.replica),
      voter_(shared.voter),
      pool_(&shared.replica->pool()),
      log_(&shared.replica->log()),
      committer_(committer),
      probes_(probes),
      self_(shared.self) {}

// Every segment that was given back was freed by a committed record; and what is committed is never cut again.
std::unique_ptr<BatchReader> Source::ReaderFrom(Lsn lsn) const {
  return std::make_unique<LogReader>(
      log_, lsn,
      [this] {
        return std::max({committer_->committed(), log_->known_committed(), replica_->heard_committed()});
      },
      [this] { return committer_->first(); });
}

// --- What receivers say.

bool Source::OnFrame(LinkId link, std::span<const std::byte> head) {
  const bool known = OnReceiverFrame(committer_->Find(link), link, head);
  if (!known) committer_->Drop(link);
  return known;
}

bool Source::OnReceiverFrame(Shipper* shipper, LinkId link, std::span<const std::byte> head) {
  if (link == shipper->data()) {
    const auto ack = wire::Decode<wire::Ack>(head);
    if (!ack || ack->epoch != voter_->promised() || !shipper->OnAck(ack->durable, ack->applied)) {
      return false;
    }
    committer_->Pump(*shipper, voter_->promised());
    return true;
  }
  if (const auto asked = wire::Decode<wire::HandOver>(head)) {
    const bool may = asked->epoch == voter_->promised() && shipper->in_sync;
    if (may && replica_->membership().Find(shipper->receiver().id) != nullptr)
      observer_->OnHandOverAsked(shipper->receiver().Redis());
    return true;
  }
  const auto ack = wire::Decode<wire::HeartbeatAck>(head);
  if (!ack || ack->epoch != voter_->promised()) return false;
  const MonoTime sent_at{static_cast<MonoTime::rep>(ack->sent_at)};
  if (sent_at > clock_->Now()) return false;
  shipper->OnHeartbeatAck(sent_at, ack->at, ack->may_lead);
  return true;
}

void Source::OnFlushed(LinkId link, std::uint64_t count) {
  Shipper* shipper = committer_->Find(link);
  if (shipper == nullptr) return;
  shipper->OnFlushed(count);
  committer_->Pump(*shipper, voter_->promised());
}

// A token identifies a control link and what was agreed on it.  It was told only to a peer that knows the secret, and
// it opens one data link, once.
bool Source::OpenData(LinkId link, std::span<const std::byte> head) {
  const auto hello = wire::Decode<wire::DataHello>(head);
  Shipper* shipper = hello ? committer_->FindToken(hello->token) : nullptr;
  if (shipper == nullptr) return false;
  fabric_->Trust(link);
  shipper->OpenData(link);
  committer_->Pump(*shipper, voter_->promised());
  return true;
}

// --- Who may follow, and from where.

// The receiver has answered a heartbeat within the last lease.
bool Source::Lives(const Shipper& shipper) const { return clock_->Now() - shipper.echoed() <= options_->lease; }

// The address of another living node that has the same id as `member`.
std::optional<Endpoint> Source::TwinOf(const Member& member) const {
  if (member.id == self_.id) return self_.Redis();
  for (const auto& shipper : committer_->shippers()) {
    const Member& other = shipper->receiver();
    if (other.id == member.id && other.Replication() != member.Replication() && Lives(*shipper)) return other.Redis();
  }
  return std::nullopt;
}

// Does another living node announce the same address for clients as `member`?
bool Source::SharesAddress(const Member& member) const {
  if (member.Redis() == self_.Redis()) return member.id != self_.id;
  const auto& shippers = committer_->shippers();
  return std::any_of(shippers.begin(), shippers.end(), [&](const auto& shipper) {
    const Member& other = shipper->receiver();
    return other.id != member.id && other.Redis() == member.Redis() && Lives(*shipper);
  });
}

// At a lower level the other nodes are told of the member without its second address, and would look for it at the
// wrong one.
Status Source::CheckPeerHost(const Member& member, FeatureLevel level) {
  if (member.peer_host.empty() || level >= kPeerHostLevel) return Status::Ok();
  return {Code::kPeerVersion,
          fmt::format("faha.peer-host needs feature level {}, and the cluster is at {}: leave it out "
                      "until every member runs a release that offers that level",
                      kPeerHostLevel, level)};
}

// Errors: the reasons for which nothing may be shipped to the node that asks.
Status Source::Admissible(const wire::FollowRequest& request) const {
  if (request.self.id == self_.id && request.self.Replication() == self_.Replication())
    return {Code::kNotPrimary, "a node cannot follow itself"};
  if (const auto twin = TwinOf(request.self)) {
    return {Code::kPoolInUse,
            fmt::format("{} and {} have pools of the same id, so one is a copy of the other's, and the two "
                        "would count as one: give one of them a new pool",
                        request.self.Redis().ToString(), twin->ToString())};
  }
  if (SharesAddress(request.self)) {
    return {Code::kBadConfig, fmt::format("{} is the address of another node, which lives: see faha.announce-host and "
                                          "replica-announce-port of the node that asks",
                                          request.self.Redis().ToString())};
  }
  const bool chosen = request.fetch && request.promised == voter_->promised() && request.self.id == voter_->voted_for();
  if (!chosen && replica_->forked_off()) {
    return {Code::kUnavailable,
            fmt::format("{} has no part in the cluster: a node was forced to lead without it, and lacks writes that it "
                        "holds (FORKED)",
                        self_.Redis().ToString())};
  }
  if (!chosen && (!standing_->Leading() || request.fetch)) return {Code::kNotPrimary, "this node is not the primary"};
  if (request.cluster != pool_->cluster() && (!request.empty || request.fetch)) {
    return {Code::kClusterId, "the node holds data of another cluster: move its pool away to join this one"};
  }
  // A pool on a volatile medium is no copy, unless the cluster began on such media.  A member stays a member, whatever
  // its medium: otherwise a cluster of different media could end up without a majority.
  if (request.domain == static_cast<std::uint8_t>(PersistenceDomain::kVolatile) &&
      pool_->media().domain() != PersistenceDomain::kVolatile &&
      replica_->membership().Find(request.self.id) == nullptr) {
    return {Code::kBadPool,
            "the node's pool is on memory, and this cluster's are not: put it on a disk or on persistent "
            "memory, or name its faha.persistence-domain"};
  }
  if (request.offers < replica_->membership().level()) {
    return {Code::kPeerVersion, fmt::format("the node's release knows feature levels up to {}, and this cluster is at "
                                            "{}: run the release of the other nodes on it",
                                            request.offers, replica_->membership().level())};
  }
  if (Status status = CheckPeerHost(request.self, replica_->membership().level()); !status.ok()) return status;
  const std::uint64_t segment_bytes = pool_->geometry().segment_bytes;
  const std::uint32_t needed = replica_->SegmentsOf(replica_->members());
  if (SegmentsThatFit(request.self.pool_bytes, segment_bytes) >= needed) return Status::Ok();
  return {Code::kPoolSize, fmt::format("the node's pool of {} bytes is smaller than any other of its cluster: set its "
                                       "faha.pool-bytes to at least {} and restart it",
                                       request.self.pool_bytes, format::kDataOffset + needed * segment_bytes)};
}

// Does this node's history include all that the node that asks knows as committed?  Where a node was forced to lead, it
// may lack batches that no client has written; then the node that asks is given the whole log.
bool Source::SharesCommitted(const wire::FollowRequest& request) const {
  return request.tail.empty() || IsWithin(CommonHistory(request.forks, replica_->membership().forks()),
                                          {request.oldest, request.tail.back().lsn});
}

// A node that was forced to lead has begun another history.  What clients have written outside of the common history in
// the log of the node that asks may have been acknowledged, whether that node knows it or not: it is not cut.
Status Source::CheckForks(const wire::FollowRequest& request) const {
  const LogEnd shared = CommonHistory(request.forks, replica_->membership().forks());
  if (IsWithin(shared, request.written) || Mutated(Mutant::kForgetsForks)) return Status::Ok();
  return {Code::kForked,
          fmt::format("the node holds writes up to batch {} of epoch {}, and behind batch {} of epoch {} they are not "
                      "the primary's: one of the two was forced to lead alone then",
                      request.written.lsn.value, request.written.epoch.value, shared.lsn.value, shared.epoch.value)};
}

// The last batch that both logs hold.  Errors: Corrupt - the logs do not agree even on a committed batch; Forked.
Result<Lsn> Source::CommonWith(const wire::FollowRequest& request) const {
  if (request.cluster != pool_->cluster() || request.tail.empty() || request.installing) return Lsn{};
  const auto is_ours = [&](const wire::TailBatch& theirs) {
    const auto ours = log_->Find(theirs.lsn);
    return ours && ours->view.header().checksum == theirs.checksum;
  };
  if (is_ours(request.tail.front())) return request.tail.front().lsn;
  if (Status status = CheckForks(request); !status.ok()) return status;
  for (const wire::TailBatch& theirs : request.tail) {
    if (is_ours(theirs)) return theirs.lsn;
  }
  if (!SharesCommitted(request)) return Lsn{};
  const Lsn committed = request.tail.back().lsn;
  // The batch was cleaned away here: the node is given the whole log.
  if (committed <= log_->freed_through()) return Lsn{};
  // The tail goes back to the first batch, so nobody ever committed it: it can be cut to nothing.
  if (committed == Lsn{1}) return Lsn{};
  (void)log_->AreIntact(wire::kMaxTail);  // if this node's log is the damaged one, this finds the damage
  return Status{Code::kCorrupt,
                fmt::format("batch {} of the node, which was committed, is not in the primary's log: one "
                            "of the two is damaged",
                            committed.value)};
}

// What the candidate lacks was cleaned away here.  The candidate would have to give up its own log to take this one,
// and if it or this node failed then, nobody could lead.  So the candidate does not take the log: this node, which has
// it, is to lead instead.
void Source::RefuseToInstall(LinkId link, const wire::FollowRequest& request) {
  wire::FollowReply reply;
  reply.code = static_cast<std::uint8_t>(Code::kNoPromise);
  reply.text = fmt::format("{} lacks what {} has cleaned away: {} seeks to be the primary instead",
                           request.self.Redis().ToString(), self_.Redis().ToString(), self_.Redis().ToString());
  health_->Note(LogLevel::kNotice, reply.text);
  fabric_->Send(link, wire::Encode(reply));
}

Source::Outcome Source::Answer(LinkId link, const std::string& address, const wire::FollowRequest& request) {
  wire::FollowReply reply;
  Status status = Admissible(request);
  // Who has forks of its own belongs to another part of the cluster, which was forced to lead as well: this node seeks
  // no epoch above that one's.
  const bool newer = status.ok() && request.cluster == pool_->cluster() && request.promised > voter_->promised() &&
                     Includes(replica_->membership().forks(), request.forks);
  if (newer) status = {Code::kFenced, "the node promised a later epoch; the primary seeks one later still"};
  if (status.ok() && !replica_->whole()) status = {Code::kNotPrimary, "the log of this node is not whole yet"};
  Result<Lsn> common = status.ok() ? CommonWith(request) : Result<Lsn>(status);
  if (!common.ok()) {
    reply.code = static_cast<std::uint8_t>(common.status().code());
    reply.text = common.status().message();
    reply.epoch = voter_->promised();
    if (standing_->primary().id != request.self.id) reply.primary = standing_->primary();
    fabric_->Send(link, wire::Encode(reply));
    return newer ? Outcome::kLaterEpoch : Outcome::kRefused;
  }
  const Geometry geometry = pool_->geometry();
  const Uuid token = NewUuid();
  std::memcpy(&reply.token, token.bytes.data(), sizeof reply.token);
  reply.primary = self_;
  reply.cluster = pool_->cluster();
  reply.log_key = pool_->log_key();
  reply.segment_bytes = geometry.segment_bytes;
  reply.segment_count = geometry.segment_count;
  reply.granule = geometry.granule;
  reply.epoch = voter_->promised();
  reply.common = common.value();
  // A node of another cluster has an empty log, which is not a log of this cluster.
  const bool joins = request.cluster != pool_->cluster();
  const bool shares = reply.common > Lsn{} || SharesCommitted(request);
  reply.install = joins || request.installing || reply.common < log_->freed_through() || !shares;
  if (reply.install) reply.common = Lsn{};
  if (request.fetch && reply.install && !Mutated(Mutant::kCandidateInstalls)) {
    RefuseToInstall(link, request);
    return Outcome::kLacksLog;
  }
  reply.transport = static_cast<std::uint8_t>(fabric_->DataTransport());
  probes_->End(request.self.id);  // the node may have been started again since
  const auto domain = static_cast<PersistenceDomain>(std::min<std::uint8_t>(request.domain, 3));
  committer_->Admit(
      std::make_unique<Shipper>(fabric_, ReaderFrom(reply.common.Next()),
                                Shipper::Terms{.receiver = request.self,
                                               .domain = domain,
                                               .offers = request.offers,
                                               .fetch = request.fetch,
                                               .install = reply.install,
                                               .released_through = reply.install ? log_->released_through() : Lsn{},
                                               .common = reply.common,
                                               .control = link,
                                               .token = reply.token,
                                               .address = address}));
  fabric_->Send(link, wire::Encode(reply));
  if (!request.fetch) {
    health_->Note(LogLevel::kNotice, fmt::format("{} follows from LSN {} ({})", request.self.Redis().ToString(),
                                                 reply.common.value, DomainName(domain)));
  }
  return Outcome::kAdmitted;
}

}  // namespace faha
