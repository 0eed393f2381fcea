#include "store/follower.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/mutant.h"
#include "log/record_kinds.h"

namespace faha {

Follower::Follower(const PartContext& shared, Standing* standing, Voter* voter, AddressBook* book, std::string remark,
                   Owner* owner)
    : options_(shared.options),
      observer_(shared.observer),
      clock_(shared.clock),
      fabric_(shared.fabric),
      health_(shared.health),
      standing_(standing),
      replica_(shared.replica),
      voter_(voter),
      pool_(&shared.replica->pool()),
      log_(&shared.replica->log()),
      engine_(&shared.replica->engine()),
      book_(book),
      owner_(owner),
      self_(shared.self),
      receiver_(shared.fabric, shared.clock, static_cast<BatchSink*>(this),
                static_cast<std::uint32_t>(shared.replica->pool().geometry().segment_bytes),
                shared.options->fabric == "rdma"),
      remark_(std::move(remark)) {}

// --- Where the source is.

void Follower::Suggest(const Endpoint& primary) {
  if (!health_->ok()) return;
  book_->SetSeeds({{primary.host, static_cast<std::uint16_t>(primary.port + options_->port_offset)}});
  // If this node's own port is not its Redis port plus the offset, the replication port is perhaps the same on all
  // machines.
  if (options_->port != options_->redis_port + options_->port_offset) book_->AddSeed({primary.host, options_->port});
  // The node that began to give this node the cluster's log may be all that this node knows of the cluster, and
  // `primary` may be wrong.
  if (const auto source = pool_->InstallSource()) book_->AddSeed(*source);
  const Members& members = replica_->members();
  const auto known =
      std::find_if(members.begin(), members.end(), [&](const Member& m) { return m.Redis() == primary; });
  book_->SetHint(known == members.end() ? book_->seeds().front() : known->Replication());
  if (!standing_->Campaigning()) receiver_.Start();
}

void Follower::Seek(const Member& primary) {
  book_->SetHint(primary.Replication());
  receiver_.Start();
}

std::optional<Endpoint> Follower::NextSource() {
  if (standing_->Fetching()) return book_->AddressOf(owner_->BestLog());
  if (const auto hint = book_->TakeHint()) return hint;
  // The node to which this node has promised an epoch may not be the primary yet.  Other nodes, which may hang, are
  // asked later.
  const Member* chosen = replica_->membership().Find(voter_->voted_for());
  if (chosen != nullptr && chosen->id != self_.id && clock_->Now() - promised_at_ < 2 * options_->lease)
    return book_->AddressOf(*chosen);
  return book_->NextSource(replica_->members(), self_.id);
}

// --- From which place in the log.

wire::FollowRequest Follower::Introduce() {
  if (!standing_->Fetching()) replica_->GiveUpDamaged();
  wire::FollowRequest request;
  request.cluster = pool_->cluster();
  request.self = self_;
  request.empty = replica_->Blank();
  request.fetch = standing_->Fetching();
  request.installing = !replica_->whole();
  request.promised = voter_->promised();
  request.domain = static_cast<std::uint8_t>(pool_->media().domain());
  request.offers = options_->feature_level;
  request.forks = replica_->membership().forks();
  // The tail goes back to a batch that is known to be committed: every primary's log has that batch.
  if (!replica_->whole()) return request;
  const Lsn floor = log_->known_committed();
  const auto add = [&](const LocatedBatch& batch) {
    if (request.tail.empty()) request.oldest = batch.view.epoch();
    request.tail.push_back({batch.view.lsn(), batch.view.header().checksum});
  };
  const std::uint64_t newest = log_->end().lsn.value;
  LogCursor cursor{.next = Lsn{std::max(floor.value, newest > wire::kMaxTail ? newest - wire::kMaxTail + 2 : 1)}};
  // The batch exists, unless it cannot be read: then this node is about to fence itself.
  const auto known = cursor.next > floor && floor.value > 0 ? log_->Find(floor) : std::nullopt;
  if (known) add(*known);
  while (const auto batch = log_->Next(cursor)) add(*batch);
  std::reverse(request.tail.begin(), request.tail.end());
  request.written = LastWritten();
  return request;
}

// The search ends at a batch that is not there any more, and after so many: either may have held a write.
LogEnd Follower::LastWritten() const {
  LogEnd written = log_->end();
  for (std::size_t left = wire::kMaxTail; written.lsn > Lsn{} && left > 0; --left) {
    const auto batch = log_->Find(written.lsn);
    if (batch) written.epoch = batch->view.epoch();
    if (!batch || HoldsWrites(batch->view)) break;
    written.lsn = Lsn{written.lsn.value - 1};
  }
  return written.lsn > Lsn{} ? written : LogEnd{};
}

Status Follower::Accept(const wire::FollowReply& reply) {
  if (reply.cluster != pool_->cluster()) {
    if (Status status = JoinCluster(reply); !status.ok()) return status;
  }
  if (reply.log_key != pool_->log_key()) {
    return {Code::kClusterId,
            fmt::format("{} and this node hold pools of one cluster with different log keys, so neither can read the "
                        "other's batches: move the pool away on the node that is wrong and let it join again",
                        reply.primary.Redis().ToString())};
  }
  if (reply.epoch < voter_->promised()) {
    return {Code::kFenced, fmt::format("{} is primary of epoch {}, but this node promised epoch {}",
                                       reply.primary.Redis().ToString(), reply.epoch.value, voter_->promised().value)};
  }
  if (standing_->Fetching() && reply.epoch > voter_->promised()) {
    return {Code::kProtocol, fmt::format("{} answers a candidate with an epoch that it did not ask for",
                                         reply.primary.Redis().ToString())};
  }
  if (standing_->Fetching() && reply.install && !Mutated(Mutant::kCandidateInstalls)) {
    return {Code::kProtocol, fmt::format("{} offers a candidate the whole log", reply.primary.Redis().ToString())};
  }
  if (!replica_->whole() && !reply.install) {
    return {Code::kProtocol,
            fmt::format("{} does not offer the whole log to a node that needs it", reply.primary.Redis().ToString())};
  }
  if (!reply.install && (reply.common < log_->known_committed() || reply.common > log_->end().lsn)) {
    (void)log_->AreIntact(wire::kMaxTail);  // if this node's log is the damaged one, this finds the damage
    return {Code::kCorrupt,
            fmt::format("{} does not hold batch {}, which was committed: one of the two logs is damaged",
                        reply.primary.Redis().ToString(), log_->known_committed().value)};
  }
  if (!standing_->Fetching() && (reply.epoch > voter_->promised() || pool_->leader() != reply.primary.id)) {
    if (Status status = pool_->SetLeader(reply.epoch, reply.primary.id); !status.ok()) return health_->Fail(status);
    if (reply.epoch > voter_->promised()) voter_->Promised(reply.epoch, reply.primary.id);
  }
  if (Status status = replica_->SetForkedOff(false); !status.ok()) return status;
  if (reply.install) {
    if (Status status = replica_->BeginInstall(reply.primary); !status.ok()) return status;
    freshness_ = {};
  } else if (reply.common < log_->end().lsn) {
    health_->Note(LogLevel::kNotice,
                  fmt::format("cutting batches {} to {}: the primary, whom a majority has elected, does not hold them",
                              reply.common.value + 1, log_->end().lsn.value));
  }
  if (Status status = replica_->CutAfter(reply.common); !status.ok()) return status;
  if (standing_->Fetching()) return Status::Ok();
  // The primary that this node sought exists.  From now on this node gives leases, so it could not promise itself
  // anything any more.
  owner_->FoundPrimary(reply.primary);
  standing_->SetPrimary(reply.primary);
  contact_.Accepted(clock_->Now());
  health_->Mended();
  voter_->Heard(standing_->primary().id, contact_.heard_at());
  health_->Note(LogLevel::kNotice,
                fmt::format("following {} in epoch {} from LSN {}", standing_->primary().Redis().ToString(),
                            reply.epoch.value, reply.common.value));
  observer_->OnFollowing(standing_->primary());
  return Status::Ok();
}

// An empty node leaves its old cluster, of which it was the only member.
Status Follower::JoinCluster(const wire::FollowReply& reply) {
  if (standing_->Fetching() || !replica_->Blank()) {
    return {Code::kClusterId, "the source belongs to another cluster than this node's data"};
  }
  if (Status status = replica_->Join(reply); !status.ok()) return status;
  freshness_ = {};
  *voter_ = Voter(Epoch{}, NodeId{}, options_->lease, clock_->Now(), Voter::Forgotten{});
  receiver_.SetMaxBatchBytes(static_cast<std::uint32_t>(reply.segment_bytes));
  health_->Note(LogLevel::kNotice, fmt::format("joined the cluster of {}", reply.primary.Redis().ToString()));
  return Status::Ok();
}

void Follower::Refused(const wire::FollowReply& reply) {
  const Code code = static_cast<Code>(reply.code);
  refused_in_ = std::max(refused_in_, reply.epoch);
  // Of two parts that were forced to lead, that of the later epoch goes on.
  if (code == Code::kForked && reply.epoch >= voter_->promised() && !replica_->SetForkedOff(true).ok()) return;
  if (standing_->Fetching() && code == Code::kNoPromise) {
    owner_->EndCampaign({Code::kNoPromise, reply.text});
    receiver_.Start();
    return;
  }
  if (standing_->Fetching()) return Lost({Code::kUnavailable, reply.text});
  contact_.Answers();
  if (code == Code::kCorrupt && replica_->whole()) (void)log_->AreIntact(wire::kMaxTail);
  // A primary that refuses this node names itself.
  const bool leads_on = code == Code::kNotPrimary || code == Code::kFenced;
  if (leads_on && !reply.primary.id.IsNone() && reply.primary.id != self_.id)
    book_->SetHint(reply.primary.Replication());
  if (code != Code::kNotPrimary) health_->Remember({code, reply.text});
  observer_->OnRefused(receiver_.source());
}

// --- What the source sends.

Status Follower::Land(const wire::Batch& batch, std::span<const std::byte> bytes) {
  if (batch.epoch != voter_->promised()) return {Code::kFenced, "a batch of an epoch that is over"};
  return replica_->Land(batch, bytes);
}

Status Follower::Gap(Lsn whole_at, std::span<const std::uint64_t> in_use) {
  if (standing_->Fetching()) return {Code::kProtocol, "a gap was announced to a candidate, which takes none"};
  if (!std::is_sorted(in_use.begin(), in_use.end())) {
    return {Code::kProtocol, "the generations that a gap names are not in ascending order"};
  }
  return replica_->AllowGap(standing_->primary(), whole_at, in_use);
}

Result<wire::Ack> Follower::Persist() {
  if (Mutated(Mutant::kAckBeforeDrain)) {
    fabric_->Send(receiver_.data(), wire::Encode(wire::Ack{voter_->promised(), log_->end().lsn, engine_->applied()}));
  }
  if (Status status = log_->Drain(); !status.ok()) return health_->Fail(status);
  engine_->ApplyTo(replica_->heard_committed());
  freshness_.Applied(engine_->applied());
  owner_->ReleaseFreed();
  if (Status status = replica_->EndInstallIfWhole(); !status.ok()) return status;
  if (!health_->ok()) return health_->failure();
  return wire::Ack{.epoch = {}, .durable = log_->durable(), .applied = engine_->applied()};
}

// Takes the batches that were placed behind the log's end and that this node has not looked at: whole batches that
// follow one another, in the segments that the heads are filling.  A batch that opens another segment counts only once
// this node has acknowledged it.  A batch that was cut from the log does not come back: its header is gone.
void Follower::Absorb() {
  if (!health_->ok() || !replica_->whole()) return;
  std::uint64_t absorbed = 0;
  for (auto next = log_->PlacedBehindEnd(); next; next = log_->PlacedBehindEnd()) {
    if (!Land({voter_->promised(), next->at, Lsn{}}, next->bytes).ok()) break;
    ++absorbed;
  }
  // Batches that landed in the same poll in which the link closed count as well, because this node tells of them when
  // it follows again.
  const bool lacks_drain = absorbed != 0 || log_->durable() < log_->end().lsn;
  if (lacks_drain && health_->ok()) (void)Persist();
}

bool Follower::Heard(Epoch epoch, Lsn committed, MonoTime as_of) {
  if (epoch != voter_->promised() || standing_->Fetching()) return false;
  contact_.Heard(clock_->Now());
  voter_->Heard(standing_->primary().id, contact_.heard_at());
  replica_->HearCommitted(committed);
  freshness_.Told(committed, std::min(as_of, contact_.heard_at()));
  engine_->ApplyTo(std::min(replica_->heard_committed(), log_->durable()));
  freshness_.Applied(engine_->applied());
  owner_->ReleaseFreed();
  return health_->ok();
}

bool Follower::MayBeRead() const {
  return options_->backup_reads && standing_->role() == Role::kBackup && replica_->whole() && !engine_->broken() &&
         !standing_->Fetching() && receiver_.streaming() && clock_->Now() - freshness_.current_at() <= options_->lease;
}

void Follower::FellBack(const Status& reason) {
  remark_ = reason.message();
  health_->Note(LogLevel::kWarning, fmt::format("the batches come over TCP, not RDMA: {}", reason.message()));
}

void Follower::Lost(const Status& reason) {
  if (!standing_->primary().id.IsNone()) {
    health_->Note(LogLevel::kWarning,
                  fmt::format("lost the primary {}: {}", standing_->primary().Redis().ToString(), reason.ToString()));
    // Is the old primary alive?  If it has given up on this backup, it accepts it again.
    book_->SetHint(standing_->primary().Replication());
    contact_.HungUp();
  } else {
    contact_.NotDialled(clock_->Now(), options_->lease);
  }
  standing_->ForgetPrimary();
  health_->Remember(reason);
  if (standing_->Fetching()) owner_->LostBestLog();
}

}  // namespace faha
