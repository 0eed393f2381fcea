// What peers say, and what this node answers.  See node.h.
// An accepted link is a guest until its first message tells what the link is for.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/mutant.h"
#include "base/uuid.h"
#include "store/node.h"

namespace faha {

namespace {
constexpr MonoTime kGuestPatience{5'000'000};
}  // namespace

void Node::OnAccept(LinkId link, const Endpoint& peer, Lane lane) { guests_[link] = {peer, lane, clock_->Now()}; }

void Node::OnConnect(LinkId link) {
  if (receiver_->Owns(link)) return receiver_->OnConnect(link);
  const auto request = wire::Encode(wire::StateRequest{pool_->cluster()});
  if (probes_->Owns(link)) return fabric_->Send(link, request);
  if (inquiry_->Owns(link)) inquiry_->OnConnect(link, request);
}

void Node::OnFrame(LinkId link, std::span<const std::byte> head, std::span<const std::byte> body) {
  if (!health_.ok()) return fabric_->Close(link);
  if (receiver_->Owns(link)) return receiver_->OnFrame(link, head, body);
  bool known = false;
  if (inquiry_->Owns(link)) {
    known = OnInquiryFrame(link, head);
    if (!known) inquiry_->Drop(link);
  } else if (probes_->Owns(link)) {
    known = OnProbeFrame(link, head);
  } else if (Shipper* shipper = committer_->Find(link)) {
    known = OnShipperFrame(shipper, link, head);
    if (!known) committer_->Drop(link);
  } else if (const auto guest = guests_.find(link); guest != guests_.end()) {
    guest->second.heard = clock_->Now();
    if (guest->second.lane == Lane::kData) return OnStrangerFrame(link, head);
    known = OnGuestFrame(link, head);
    if (!known) guests_.erase(link);
  }
  if (known) return;
  health_.Remember(
      {Code::kProtocol, "a peer sent a message that does not belong there: run the same release on all nodes"});
  fabric_->Close(link);
}

void Node::OnPlaced(LinkId link, std::uint64_t place, std::span<const std::byte> body) {
  if (health_.ok() && receiver_->Owns(link)) return receiver_->OnPlaced(link, place, body);
  fabric_->Close(link);
}

void Node::OnFlushed(LinkId link, std::uint64_t count) {
  Shipper* shipper = committer_->Find(link);
  if (shipper == nullptr) return;
  shipper->OnFlushed(count);
  committer_->Pump(*shipper, voter_->promised());
}

void Node::OnClose(LinkId link, const Status& reason) {
  if (reason.code() == Code::kProtocol || reason.code() == Code::kPeerVersion || reason.code() == Code::kDenied)
    health_.Remember(reason);
  held_votes_.Drop(link);
  if (guests_.erase(link) > 0) return;
  if (receiver_->Owns(link)) return receiver_->OnClose(link, reason);
  if (Shipper* shipper = committer_->Find(link)) {
    if (!shipper->fetch()) NoteLost({shipper->receiver().Redis()}, reason.message());
    committer_->Drop(link);
    return;
  }
  if (probes_->Owns(link)) return OnProbed(probes_->OnClose(link));
  if (!inquiry_->Owns(link)) return;
  const NodeId member = inquiry_->OnClose(link);
  if (candidacy_ && !member.IsNone()) candidacy_->campaign.OnUnreachable(member);
}

void Node::OnPollEnd() {
  receiver_->OnPollEnd();
  StepCampaign();
  Progress();
}

void Node::DropSilentGuests() {
  std::erase_if(guests_, [&](const auto& guest) {
    const bool silent = clock_->Now() - guest.second.heard > kGuestPatience;
    if (silent) fabric_->Close(guest.first);
    return silent;
  });
}

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

// Every segment that was given back was freed by a committed record; and what is committed is never cut again.
std::unique_ptr<BatchReader> Node::ReaderFrom(Lsn lsn) const {
  return std::make_unique<LogReader>(
      log_, lsn,
      [this] {
        return std::max({committer_->committed(), log_->known_committed(), replica_.heard_committed()});
      },
      [this] { return committer_->first(); });
}

// --- From a backup or a fetching candidate.

bool Node::OnShipperFrame(Shipper* shipper, LinkId link, std::span<const std::byte> head) {
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
    if (may && replica_.membership().Find(shipper->receiver().id) != nullptr)
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

bool Node::OnGuestFrame(LinkId link, std::span<const std::byte> head) {
  switch (wire::TypeOf(head).value_or(wire::Type::kBatch)) {
    case wire::Type::kStateRequest:
      if (const auto request = wire::Decode<wire::StateRequest>(head)) return AnswerState(link, *request), true;
      return false;
    case wire::Type::kPromiseRequest:
      if (const auto request = wire::Decode<wire::PromiseRequest>(head)) return AnswerPromise(link, *request), true;
      return false;
    case wire::Type::kFollowRequest:
      if (const auto request = wire::Decode<wire::FollowRequest>(head)) return AnswerFollow(link, *request), true;
      return false;
    case wire::Type::kDataHello:
      // The shipper to which this link belongs may be gone already.
      if (!OpenData(link, head)) fabric_->Close(link), guests_.erase(link);
      return true;
    default: return false;
  }
}

// The first message on an accepted link of the data lane.  Its peer has proved nothing: the only message that it may
// send is a token.
void Node::OnStrangerFrame(LinkId link, std::span<const std::byte> head) {
  const std::string host = guests_.at(link).peer.host;
  if (OpenData(link, head)) return;
  guests_.erase(link);
  fabric_->Close(link);
  health_.Remember(
      {Code::kDenied,
       fmt::format("{} spoke over RDMA without a token that it was told over TCP, and was not heard: it is no node "
                   "of this cluster, or asked too late",
                   host)});
}

// A token identifies a control link and what was agreed on it.  It was told only to a peer that knows the secret, and
// it opens one data link, once.
bool Node::OpenData(LinkId link, std::span<const std::byte> head) {
  const auto hello = wire::Decode<wire::DataHello>(head);
  Shipper* shipper = hello ? committer_->FindToken(hello->token) : nullptr;
  if (shipper == nullptr) return false;
  guests_.erase(link);
  fabric_->Trust(link);
  shipper->OpenData(link);
  committer_->Pump(*shipper, voter_->promised());
  return true;
}

// A primary that was elected a moment ago gets time to be heard: electing another one meanwhile would only prolong the
// time in which nobody serves.
bool Node::IsNotToBeReplaced() const {
  return Leads() || (standing_.Leading() && clock_->Now() - term_.elected_at < options_.lease);
}

void Node::AnswerState(LinkId link, const wire::StateRequest& request) {
  if (request.cluster != pool_->cluster()) return fabric_->Close(link);
  const bool serving = IsNotToBeReplaced();
  fabric_->Send(link, wire::Encode(wire::StateReply{.from = self_.id,
                                                    .serving = serving,
                                                    .lease_may_run = serving || voter_->LeaseMayRun(clock_->Now()),
                                                    .promised = voter_->promised(),
                                                    .end = replica_.VouchedEnd(),
                                                    .primary = standing_.primary(),
                                                    .members = replica_.members(),
                                                    .whole = replica_.whole(),
                                                    .lease_holder = voter_->LeaseHolder()}));
}

Refusal Node::JudgeRequest(const wire::PromiseRequest& request) const {
  // This node does not know what it lost, so it cannot say how far a log must reach that is to take the lost log's
  // place.
  if (!replica_.whole() && replica_.VouchedEnd() == kUnknownClaim) return Refusal::kNotWhole;
  const Refusal refusal = voter_->Judge(request.epoch, request.candidate.id, request.interrupts, clock_->Now());
  const bool alive = IsNotToBeReplaced() && request.interrupts != voter_->promised();
  return refusal == Refusal::kNone && alive ? Refusal::kPrimaryAlive : refusal;
}

void Node::AnswerPromise(LinkId link, const wire::PromiseRequest& request) {
  if (request.cluster != pool_->cluster()) return fabric_->Close(link);
  Refusal refusal = JudgeRequest(request);
  // A node that is elected must be one that others can follow.  A primary that hands over has already checked that.
  const bool vouched = request.interrupts != Epoch{} || Mutated(Mutant::kElectsUnreached);
  if (refusal == Refusal::kNone && request.epoch > voter_->promised() && !vouched) {
    const Reach reach = probes_->ReachOf(request.candidate);
    if (reach == Reach::kUnknown) {
      held_votes_.Hold({link, request, clock_->Now() + options_.lease / 2});
      return;
    }
    if (reach == Reach::kNot) refusal = Refusal::kNotReached;
    probes_->End(request.candidate.id);  // the next request dials again
  }
  if (refusal == Refusal::kNone && request.epoch > voter_->promised()) {
    EndCampaign(
        {Code::kNoPromise, fmt::format("{} campaigns with a later epoch", request.candidate.Redis().ToString())});
    if (!GivePromise(request.epoch, request.candidate.id).ok()) return fabric_->Close(link);
    health_.Note(LogLevel::kNotice,
                 fmt::format("promised epoch {} to {}", request.epoch.value, request.candidate.Redis().ToString()));
    if (replica_.membership().Find(request.candidate.id) != nullptr) {
      book_.Found(request.candidate.id, request.candidate.Replication());
    }
    Seek(request.candidate);
  }
  fabric_->Send(link, wire::Encode(wire::PromiseReply{.from = self_.id,
                                                      .granted = refusal == Refusal::kNone,
                                                      .refusal = static_cast<std::uint8_t>(refusal),
                                                      .promised = voter_->promised(),
                                                      .end = replica_.VouchedEnd(),
                                                      .members = replica_.members(),
                                                      .whole = replica_.whole()}));
}

// The receiver has answered a heartbeat within the last lease.
bool Node::Lives(const Shipper& shipper) const { return clock_->Now() - shipper.echoed() <= options_.lease; }

// The address of another living node that has the same id as `member`.
std::optional<Endpoint> Node::TwinOf(const Member& member) const {
  if (member.id == self_.id) return self_.Redis();
  for (const auto& shipper : committer_->shippers()) {
    const Member& other = shipper->receiver();
    if (other.id == member.id && other.Replication() != member.Replication() && Lives(*shipper)) return other.Redis();
  }
  return std::nullopt;
}

// Does another living node announce the same address for clients as `member`?
bool Node::SharesAddress(const Member& member) const {
  if (member.Redis() == self_.Redis()) return member.id != self_.id;
  const auto& shippers = committer_->shippers();
  return std::any_of(shippers.begin(), shippers.end(), [&](const auto& shipper) {
    const Member& other = shipper->receiver();
    return other.id != member.id && other.Redis() == member.Redis() && Lives(*shipper);
  });
}

// Errors: the reasons for which nothing may be shipped to the node that asks.
Status Node::Admissible(const wire::FollowRequest& request) const {
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
  if (!chosen && (!standing_.Leading() || request.fetch)) return {Code::kNotPrimary, "this node is not the primary"};
  if (request.cluster != pool_->cluster() && (!request.empty || request.fetch)) {
    return {Code::kClusterId, "the node holds data of another cluster: move its pool away to join this one"};
  }
  // A pool on a volatile medium is no copy, unless the cluster began on such media.  A member stays a member, whatever
  // its medium: otherwise a cluster of different media could end up without a majority.
  if (request.domain == static_cast<std::uint8_t>(PersistenceDomain::kVolatile) &&
      pool_->media().domain() != PersistenceDomain::kVolatile &&
      replica_.membership().Find(request.self.id) == nullptr) {
    return {Code::kBadPool,
            "the node's pool is on memory, and this cluster's are not: put it on a disk or on persistent "
            "memory, or name its faha.persistence-domain"};
  }
  if (request.offers < replica_.membership().level()) {
    return {Code::kPeerVersion, fmt::format("the node's release knows feature levels up to {}, and this cluster is at "
                                            "{}: run the release of the other nodes on it",
                                            request.offers, replica_.membership().level())};
  }
  if (Status status = CheckPeerHost(request.self, replica_.membership().level()); !status.ok()) return status;
  const std::uint64_t segment_bytes = pool_->geometry().segment_bytes;
  const std::uint32_t needed = replica_.SegmentsOf(replica_.members());
  if (SegmentsThatFit(request.self.pool_bytes, segment_bytes) >= needed) return Status::Ok();
  return {Code::kPoolSize, fmt::format("the node's pool of {} bytes is smaller than any other of its cluster: set its "
                                       "faha.pool-bytes to at least {} and restart it",
                                       request.self.pool_bytes, format::kDataOffset + needed * segment_bytes)};
}

// The last batch that both logs hold.  Errors: Corrupt - the logs do not agree even on a committed batch.
Result<Lsn> Node::CommonWith(const wire::FollowRequest& request) const {
  if (request.cluster != pool_->cluster() || request.tail.empty() || request.installing) return Lsn{};
  for (const wire::TailBatch& theirs : request.tail) {
    const auto ours = log_->Find(theirs.lsn);
    if (ours && ours->view.header().checksum == theirs.checksum) return theirs.lsn;
  }
  // The batch was cleaned away here: the node is given the whole log.
  if (request.tail.back().lsn <= log_->freed_through()) return Lsn{};
  // The tail goes back to the first batch, so nobody ever committed it: it can be cut to nothing.
  if (request.tail.back().lsn == Lsn{1}) return Lsn{};
  (void)log_->AreIntact(wire::kMaxTail);  // if this node's log is the damaged one, this finds the damage
  return Status{Code::kCorrupt,
                fmt::format("batch {} of the node, which was committed, is not in the primary's log: one "
                            "of the two is damaged",
                            request.tail.back().lsn.value)};
}

// A peer has promised an epoch beyond this primary's.  A failed candidate left that promise there, and the peer can
// follow only a primary of a later epoch.  While the role is offered, the candidate is the heir, which gets its time.
void Node::OnLaterEpoch(Epoch epoch) {
  if (offer_) {
    offer_->floor = std::max(offer_->floor, epoch);
  } else {
    health_.Note(LogLevel::kNotice,
                 fmt::format("a member has promised epoch {}, of which nobody is the primary", epoch.value));
    StartCampaign(voter_->promised(), epoch, std::chrono::milliseconds::max(), nullptr);
  }
}

// What the candidate lacks was cleaned away here.  The candidate would have to give up its own log to take this one,
// and if it or this node failed then, nobody could lead.  So the candidate does not take the log: this node, which has
// it, leads instead.
void Node::LeadInstead(LinkId link, const wire::FollowRequest& request) {
  wire::FollowReply reply;
  reply.code = static_cast<std::uint8_t>(Code::kNoPromise);
  reply.text = fmt::format("{} lacks what {} has cleaned away: {} seeks to be the primary instead",
                           request.self.Redis().ToString(), self_.Redis().ToString(), self_.Redis().ToString());
  health_.Note(LogLevel::kNotice, reply.text);
  fabric_->Send(link, wire::Encode(reply));
  StartCampaign(Epoch{}, Epoch{}, std::chrono::milliseconds::max(), nullptr);
}

void Node::AnswerFollow(LinkId link, const wire::FollowRequest& request) {
  wire::FollowReply reply;
  Status status = Admissible(request);
  const bool newer = status.ok() && request.cluster == pool_->cluster() && request.promised > voter_->promised();
  if (newer) status = {Code::kFenced, "the node promised a later epoch; the primary seeks one later still"};
  if (status.ok() && !replica_.whole()) status = {Code::kNotPrimary, "the log of this node is not whole yet"};
  Result<Lsn> common = status.ok() ? CommonWith(request) : Result<Lsn>(status);
  if (!common.ok()) {
    reply.code = static_cast<std::uint8_t>(common.status().code());
    reply.text = common.status().message();
    if (standing_.primary().id != request.self.id) reply.primary = standing_.primary();
    fabric_->Send(link, wire::Encode(reply));
    if (newer) OnLaterEpoch(request.promised);
    return;
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
  reply.install = joins || request.installing || reply.common < log_->freed_through();
  if (reply.install) reply.common = Lsn{};
  if (request.fetch && reply.install && !Mutated(Mutant::kCandidateInstalls)) return LeadInstead(link, request);
  reply.transport = static_cast<std::uint8_t>(fabric_->DataTransport());
  const std::string address = guests_[link].peer.host;
  guests_.erase(link);
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
    health_.Note(LogLevel::kNotice, fmt::format("{} follows from LSN {} ({})", request.self.Redis().ToString(),
                                                reply.common.value, DomainName(domain)));
  }
}

// --- From a member that was asked.

bool Node::OnInquiryFrame(LinkId link, std::span<const std::byte> head) {
  const NodeId peer = inquiry_->PeerOf(link).value_or(NodeId{});
  if (!peer.IsNone()) return OnAnswer(peer, head);
  const auto reply = wire::Decode<wire::StateReply>(head);
  if (!reply) return false;
  const Member* member = replica_.membership().Find(reply->from);
  if (member == nullptr || member->id == self_.id || !inquiry_->Adopt(link, member->id)) return true;
  health_.Note(LogLevel::kNotice,
               fmt::format("{} answers at {}", member->Redis().ToString(), book_.AddressOf(*member).ToString()));
  return OnAnswer(member->id, head);
}

bool Node::OnAnswer(NodeId peer, std::span<const std::byte> head) {
  if (const auto reply = wire::Decode<wire::StateReply>(head)) {
    if (reply->from != peer) return OnWrongAnswer(peer), true;
    if (candidacy_) {
      candidacy_->campaign.OnState(
          reply->from, {reply->serving, reply->lease_may_run, reply->lease_holder, reply->whole, reply->promised,
                        reply->end, reply->primary, reply->members});
    } else if (!reply->primary.id.IsNone() && reply->promised > voter_->promised()) {
      // The peer is, or follows, the primary of a later epoch.  That primary may lack only this node to serve.
      StepDown(fmt::format("epoch {} has another primary", reply->promised.value));
      Seek(reply->primary);
    } else {
      inquiry_->SetMisses(peer, !reply->serving && !reply->lease_may_run);
    }
    return true;
  }
  if (const auto reply = wire::Decode<wire::PromiseReply>(head)) {
    if (reply->from != peer) return OnWrongAnswer(peer), true;
    if (candidacy_) {
      const auto refusal = static_cast<Refusal>(std::min(reply->refusal, static_cast<std::uint8_t>(kLastRefusal)));
      candidacy_->campaign.OnPromise(
          peer, {reply->granted, refusal, reply->whole, reply->promised, reply->end, reply->members});
      // Each attempt is written to the pools: if nobody can follow the candidate, there is no hurry to make the next
      // attempt.
      if (refusal == Refusal::kNotReached) inquiry_->Defer(clock_->Now() + options_.lease);
    }
    return true;
  }
  return false;
}

// The node that answers at the address of a member is another node, or this one.
void Node::OnWrongAnswer(NodeId peer) {
  inquiry_->Refuse(peer);
  if (candidacy_) candidacy_->campaign.OnUnreachable(peer);
  const Member* member = replica_.membership().Find(peer);
  health_.Remember(
      {Code::kUnavailable, fmt::format("another node answers at {}, where {} should: see faha.announce-host, "
                                       "faha.peer-host and faha.port there, and what "
                                       "stands between the two",
                                       member != nullptr ? member->Replication().ToString() : "the address of a member",
                                       member != nullptr ? member->Redis().ToString() : peer.ToString())});
}

}  // namespace faha
