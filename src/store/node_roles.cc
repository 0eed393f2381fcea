// Who is primary: campaigns, stepping down, following, handing over.  See node.h.
#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "base/mutant.h"
#include "cluster/quorum.h"
#include "store/node.h"

namespace faha {

namespace {
constexpr MonoTime kAskPeriod{50'000};
constexpr std::chrono::milliseconds kHandOverPatience{5000};
}  // namespace

// --- The primary's term.

// Whatever arrived may have moved the commit LSN, the lease or the membership.
void Node::Progress() {
  if (!failure_.ok()) return;
  if (fetching_ && !not_whole_ && log_->end() >= campaign_->best_end()) BecomePrimary();
  if (role_ != Role::kPrimary) return;
  if (committer_->Advance()) {
    log_->SetCommitted(committer_->committed());
    membership_.Committed(committer_->committed());
  }
  CountLease();
  if (committer_->Serving() && !announced_) {
    announced_ = true;
    Note(LogLevel::kNotice, fmt::format("primary of epoch {} with {} members, {} keys", voter_->promised().value,
                                        membership_.members().size(), engine_->Size()));
    Answer(Status::Ok());
    observer_->OnPrimary();
  }
  if (const auto joined = committer_->Candidate()) {
    const Members next = membership_.Toward(*joined);
    const char* what = membership_.Find(joined->id) != nullptr      ? "has changed and stays a member"
                       : next.size() < membership_.members().size() ? "has lost its pool: it leaves before it joins"
                                                                    : "has caught up and becomes a member";
    Note(LogLevel::kNotice,
         fmt::format("{} {} (its pool has {} bytes)", joined->Redis().ToString(), what, joined->pool_bytes));
    AppendMembers(next);
  }
  Ship();
}

void Node::CountLease() {
  const MonoTime now = clock_->Now();
  lease_end_ = membership_.members().size() == 1 ? kForever : committer_->LeaseEnd(now);
  if (LeaseHeld()) {
    lease_lost_ = false;
    if (!campaign_) CloseAsks();
  } else if (now >= next_ask_) {
    // Cut off: somebody may know of a newer primary.
    AskMembers(membership_.members());
  }
}

// The segments that the pool of every member has, connected or not: a primary uses no other, for its batches land at
// the same addresses.  Pools only grow, so this never falls from one configuration in the log to the next.
std::uint32_t Node::SegmentsOf(const Members& members) const {
  std::uint64_t smallest = UINT64_MAX;
  for (const Member& member : members) smallest = std::min(smallest, member.pool_bytes);
  return SegmentsThatFit(smallest, pool_->geometry().segment_bytes);
}

// Takes effect as it is appended; the next change waits until it is committed.
// By value: it may come from the membership that it is added to.
void Node::AppendMembers(Members members) {
  const auto at = log_->Append({.kind = format::RecordKind::kConfig, .key = {}, .value = EncodeMembers(members)});
  Status status = at.status();
  if (status.ok()) status = log_->Seal();
  if (status.ok()) {
    membership_.Add(log_->end().lsn, members);
    log_->LimitSegments(SegmentsOf(members));
    next_heartbeat_ = MonoTime{0};  // the lease needs to hear from the new majority
    engine_->Appended();
    Ship();
    status = log_->Drain();
  }
  if (status.code() == Code::kNoSpace) {
    Remember(status);
  } else if (!status.ok()) {
    (void)Fail(status);
  }
}

void Node::BecomePrimary() {
  const Epoch epoch = campaign_->epoch();
  receiver_->Stop();
  campaign_.reset();
  fetching_ = false;
  CloseAsks();
  role_ = Role::kPrimary;
  primary_ = self_;
  announced_ = false;
  engine_->ApplyTo(log_->end().lsn);
  log_->SetEpoch(epoch);
  log_->SetCommitted(std::max(log_->known_committed(), heard_committed_));
  const Members members = membership_.Toward(self_);
  log_->LimitSegments(SegmentsOf(members));
  // Raft 5.4.2: what earlier epochs left is committed by a batch of our own.
  if (auto at = log_->Append({.kind = format::RecordKind::kEpochStart, .key = {}, .value = {}}); !at.ok()) {
    (void)Fail(at.status());
    return;
  }
  committer_->Begin(epoch, log_->end().lsn.Next());
  AppendMembers(members);
  Progress();
}

void Node::StepDown() {
  log_->LimitSegments(UINT32_MAX);  // where a batch goes is for the next primary to say
  if (role_ == Role::kPrimary) {
    Note(LogLevel::kWarning, fmt::format("no longer primary of epoch {}", log_->end().epoch.value));
    // What was not sealed exists nowhere but here: the index must not show it.
    engine_->Appended();
    const bool unsealed = log_->HasOpenBatch();
    if (unsealed && log_->CutAfter(log_->end().lsn).ok()) engine_->RollBackTo(log_->end().lsn);
    Answer({Code::kFenced, "this node was deposed before it served"});
  }
  role_ = Role::kBackup;
  primary_ = {};
  cleaner_->Abandon();
  committer_->End();
  lease_end_ = MonoTime{0};
  stalled_until_ = Lsn{};
  lease_lost_ = false;
}

// --- Campaigning.

void Node::Promote(std::chrono::milliseconds patience, std::function<void(const Status&)> done) {
  if (!failure_.ok()) return done(failure_);
  if (role_ == Role::kPrimary && committer_->Serving()) return done(Status::Ok());
  if (!membership_.members().empty() && membership_.Find(self_.id) == nullptr) {
    return done(
        {Code::kNoPromise, "this node has not become a member yet: wait until it is in sync, or promote another"});
  }
  StartCampaign(Epoch{}, Epoch{}, patience, std::move(done));
}

void Node::TakeOver(std::chrono::milliseconds patience, std::function<void(const Status&)> done) {
  heir_.reset();
  if (!receiver_->streaming() || membership_.Find(self_.id) == nullptr) return Promote(patience, std::move(done));
  heir_ = {.patience = patience, .done = std::move(done), .end = clock_->Now() + kHandOverPatience};
  StepTakeOver();
}

// A backup that is not in sync yet is not heard: it asks again.
void Node::StepTakeOver() {
  if (!heir_) return;
  const MonoTime now = clock_->Now();
  if (receiver_->streaming() && now < heir_->end) {
    if (now < heir_->next_ask) return;
    heir_->next_ask = now + kAskPeriod;
    receiver_->AskForHandOver();
    return;
  }
  Heir heir = std::move(*heir_);
  heir_.reset();
  Promote(heir.patience, std::move(heir.done));
}

void Node::StartCampaign(Epoch interrupts, Epoch floor, std::chrono::milliseconds patience,
                         std::function<void(const Status&)> done) {
  if (not_whole_) {
    if (done) done({Code::kNoPromise, "the log of this node is not whole yet: wait until it is in sync"});
    if (!receiver_->active()) receiver_->Start();
    return;
  }
  EndCampaign({Code::kNoPromise, "another attempt has taken its place"});
  if (role_ == Role::kPrimary) StepDown();
  Members members = membership_.members();
  if (members.empty()) members = {self_};
  campaign_.emplace(self_, members, std::max(voter_->promised(), floor), log_->end(), interrupts);
  const bool forever = patience == std::chrono::milliseconds::max();
  campaign_end_ = forever ? kForever : clock_->Now() + patience;
  asked_epoch_ = Epoch{};
  next_ask_ = MonoTime{0};
  done_ = std::move(done);
  StepCampaign();
}

void Node::StepCampaign() {
  if (!campaign_ || !failure_.ok()) {
    if (done_ && clock_->Now() >= campaign_end_)
      Answer({Code::kNoQuorum, "elected, but a majority does not follow yet"});
    return;
  }
  switch (campaign_->next()) {
    case Campaign::Next::kAsk:
      role_ = Role::kBackup;
      if (clock_->Now() >= next_ask_) AskMembers(campaign_->members());
      break;
    case Campaign::Next::kPromise: AskForPromises(); break;
    case Campaign::Next::kFollow: {
      const Member primary = campaign_->primary();
      EndCampaign({Code::kNoPromise,
                   fmt::format("{} is the primary and alive: use FAHA.FAILOVER there", primary.Redis().ToString())});
      Seek(primary);
      return;
    }
    case Campaign::Next::kWon:
      if (!fetching_) FetchFromBest();
      return;
  }
  if (campaign_ && clock_->Now() >= campaign_end_) {
    EndCampaign({Code::kNoPromise, fmt::format("no majority promised: {}", campaign_->Obstacle())});
    receiver_->Start();
  }
}

void Node::AskMembers(const Members& members) {
  next_ask_ = clock_->Now() + kAskPeriod;
  for (const Member& member : members) {
    if (member.id == self_.id) continue;
    Ask& ask = asks_[member.id];
    if (ask.link == LinkId::kNone) ask.link = fabric_->Dial(member.Replication());
    if (ask.connected) fabric_->Send(ask.link, wire::Encode(wire::StateRequest{pool_->cluster()}));
  }
}

void Node::AskForPromises() {
  const Epoch epoch = campaign_->epoch();
  if (asked_epoch_ == epoch) return;
  // Our own promise follows the same rule as anybody's.
  if (voter_->Judge(epoch, self_.id, campaign_->interrupts(), clock_->Now()) != Refusal::kNone) return;
  asked_epoch_ = epoch;
  if (!GivePromise(epoch, self_.id).ok()) return;
  role_ = Role::kCandidate;
  const auto request = wire::Encode(wire::PromiseRequest{pool_->cluster(), epoch, self_, campaign_->interrupts()});
  for (const auto& [id, ask] : asks_) {
    if (ask.connected) fabric_->Send(ask.link, request);
  }
  campaign_->OnOwnPromise(log_->end(), membership_.members());
  StepCampaign();
}

void Node::EndCampaign(const Status& outcome) {
  CloseAsks();
  if (role_ == Role::kCandidate) role_ = Role::kBackup;
  if (!campaign_) return;
  campaign_.reset();
  if (fetching_) receiver_->Stop();
  fetching_ = false;
  Answer(outcome);
}

void Node::CloseAsks() {
  for (const auto& [id, ask] : asks_) fabric_->Close(ask.link);
  asks_.clear();
}

// A majority promised, and no other primary can commit any more: take over the most that any of them holds.
void Node::FetchFromBest() {
  fetching_ = true;
  if (log_->end() >= campaign_->best_end()) {
    BecomePrimary();
  } else {
    receiver_->Start();
  }
}

void Node::Answer(const Status& outcome) {
  if (!done_) return;
  const auto done = std::exchange(done_, nullptr);
  done(outcome);
}

Status Node::GivePromise(Epoch epoch, const NodeId& candidate) {
  const bool persists = !Mutated(Mutant::kPromiseNotPersisted);
  if (Status status = persists ? pool_->SetPromise(epoch, candidate) : Status::Ok(); !status.ok()) return Fail(status);
  voter_->Promised(epoch, candidate);
  receiver_->Stop();
  StepDown();
  return Status::Ok();
}

// --- Handing over.

Status Node::HandOver(const std::optional<Endpoint>& target) {
  if (Status status = CheckServing(Code::kNotPrimary); !status.ok()) return status;
  if (NeedsCommit()) {
    if (Status status = Commit(); !status.ok()) return status;
  }
  Shipper* best = nullptr;
  for (const auto& shipper : committer_->shippers()) {
    if (!shipper->in_sync || membership_.Find(shipper->receiver().id) == nullptr) continue;
    if (target && shipper->receiver().Redis() != *target) continue;
    if (best == nullptr || shipper->acked() > best->acked()) best = shipper.get();
  }
  if (best == nullptr) {
    return {Code::kUnavailable, target ? fmt::format("{} is not a backup in sync: see FAHA.STATUS", target->ToString())
                                       : std::string("no backup is in sync: see FAHA.STATUS")};
  }
  const Member heir = best->receiver();
  best->SendHandOver(voter_->promised());
  const MonoTime deadline = clock_->Now() + kHandOverPatience;
  const auto handed_over = [&] { return role_ == Role::kBackup && receiver_->streaming(); };
  while (!handed_over() && clock_->Now() < deadline) WaitForPeers(deadline);
  if (handed_over()) return Status::Ok();
  if (role_ == Role::kPrimary) {
    // What was offered may still be taken up, in this epoch and against its lease: this node serves in a later one.
    StartCampaign(voter_->promised(), Epoch{}, std::chrono::milliseconds::max(), nullptr);
    return {Code::kUnavailable,
            fmt::format("{} did not take over: this node seeks to be the primary again", heir.Redis().ToString())};
  }
  return {Code::kNoQuorum, fmt::format("{} was promised the epoch but is not primary yet: see FAHA.STATUS there",
                                       heir.Redis().ToString())};
}

void Node::HandOverOffered(Epoch epoch) {
  if (epoch != voter_->promised() || membership_.Find(self_.id) == nullptr) return;
  auto done = heir_ ? std::move(heir_->done) : nullptr;
  heir_.reset();
  StartCampaign(epoch, Epoch{}, kHandOverPatience, std::move(done));
}

// --- Following.

void Node::Follow(const Endpoint& primary) {
  heir_.reset();
  if (!failure_.ok() || (receiver_->streaming() && primary_.Redis() == primary)) return;
  EndCampaign({Code::kNoPromise, "this node was told to follow another"});
  StepDown();
  seeds_ = {{primary.host, static_cast<std::uint16_t>(primary.port + options_.port_offset)}};
  hint_ = seeds_.front();
  receiver_->Start();
}

void Node::Seek(const Member& primary) {
  hint_ = primary.Replication();
  receiver_->Start();
}

std::optional<Endpoint> Node::NextSource() {
  if (fetching_) return campaign_->best().Replication();
  if (hint_) return std::exchange(hint_, std::nullopt);
  std::vector<Endpoint> sources = seeds_;
  for (const Member& member : membership_.members()) {
    if (member.id != self_.id) sources.push_back(member.Replication());
  }
  if (sources.empty()) return std::nullopt;
  return sources[next_source_++ % sources.size()];
}

wire::FollowRequest Node::Introduce() {
  wire::FollowRequest request;
  request.cluster = pool_->cluster();
  request.self = self_;
  request.empty = !engine_->touched() && membership_.members().size() <= 1;
  request.fetch = fetching_;
  request.installing = not_whole_;
  request.promised = voter_->promised();
  request.domain = static_cast<std::uint8_t>(pool_->media().domain());
  // Down to a batch known as committed: that one is in every primary's log.
  if (not_whole_) return request;
  const Lsn floor = log_->known_committed();
  const auto add = [&](const LocatedBatch& batch) {
    request.tail.push_back({batch.view.lsn(), batch.view.header().checksum});
  };
  const std::uint64_t newest = log_->end().lsn.value;
  LogCursor cursor{.next = Lsn{std::max(floor.value, newest > wire::kMaxTail ? newest - wire::kMaxTail + 2 : 1)}};
  if (cursor.next > floor && floor.value > 0) add(*log_->Find(floor));
  while (const auto batch = log_->Next(cursor)) add(*batch);
  std::reverse(request.tail.begin(), request.tail.end());
  return request;
}

Status Node::Accept(const wire::FollowReply& reply) {
  if (reply.cluster != pool_->cluster()) {
    if (Status status = JoinCluster(reply); !status.ok()) return status;
  }
  if (reply.epoch < voter_->promised() && !Mutated(Mutant::kFollowsOldEpoch)) {
    return {Code::kFenced, fmt::format("{} is primary of epoch {}, but this node promised epoch {}",
                                       reply.primary.Redis().ToString(), reply.epoch.value, voter_->promised().value)};
  }
  if (not_whole_ && !reply.install) {
    return {Code::kProtocol,
            fmt::format("{} does not offer the whole log to a node that needs it", reply.primary.Redis().ToString())};
  }
  if (!reply.install && (reply.common < log_->known_committed() || reply.common > log_->end().lsn)) {
    return {Code::kCorrupt,
            fmt::format("{} does not hold batch {}, which was committed: one of the two logs is damaged",
                        reply.primary.Redis().ToString(), log_->known_committed().value)};
  }
  if (reply.epoch > voter_->promised()) {
    if (Status status = pool_->SetPromise(reply.epoch, reply.primary.id); !status.ok()) return Fail(status);
    voter_->Promised(reply.epoch, reply.primary.id);
  }
  if (reply.install) {
    if (Status status = BeginInstall(reply); !status.ok()) return status;
  } else if (reply.common < log_->end().lsn) {
    Note(LogLevel::kNotice, fmt::format("cutting batches {} to {}: they were never committed", reply.common.value + 1,
                                        log_->end().lsn.value));
  }
  if (Status status = log_->CutAfter(reply.common); !status.ok()) return Fail(status);
  membership_.CutAfter(reply.common);
  if (engine_->applied() > reply.common) engine_->RollBackTo(reply.common);
  if (fetching_) return Status::Ok();
  primary_ = reply.primary;
  last_problem_ = {};
  voter_->Heard(primary_.id, clock_->Now());
  Note(LogLevel::kNotice, fmt::format("following {} in epoch {} from LSN {}", primary_.Redis().ToString(),
                                      reply.epoch.value, reply.common.value));
  observer_->OnFollowing(primary_);
  return Status::Ok();
}

// What comes next in this node's log is gone at the source: it takes everything that the source holds.  Until that is
// whole this node neither votes nor counts as a copy.
Status Node::BeginInstall(const wire::FollowReply& reply) {
  Note(LogLevel::kNotice, fmt::format("taking the whole log of {}", reply.primary.Redis().ToString()));
  not_whole_ = true;
  whole_at_ = Lsn{~0ULL};
  if (Status status = pool_->BeginInstall(reply.primary.Replication()); !status.ok()) return Fail(status);
  log_->Reset();
  engine_->RollBackTo(Lsn{});
  membership_.Rebase();
  heard_committed_ = Lsn{};
  return Status::Ok();
}

// An empty node leaves the cluster of one that it was.
Status Node::JoinCluster(const wire::FollowReply& reply) {
  if (fetching_ || engine_->touched() || membership_.members().size() > 1) {
    return {Code::kClusterId, "the source belongs to another cluster than this node's data"};
  }
  Status status = pool_->Adopt(reply.cluster, {reply.segment_bytes, reply.segment_count, reply.granule});
  if (!status.ok()) return status.code() == Code::kIoError ? Fail(status) : status;
  log_->Reset();
  engine_->RollBackTo(Lsn{});
  membership_.Reset();
  heard_committed_ = Lsn{};
  voter_.emplace(Epoch{}, NodeId{}, options_.lease, clock_->Now(), false);
  receiver_->SetMaxBatchBytes(static_cast<std::uint32_t>(reply.segment_bytes));
  Note(LogLevel::kNotice, fmt::format("joined the cluster of {}", reply.primary.Redis().ToString()));
  return Status::Ok();
}

void Node::Refused(const wire::FollowReply& reply) {
  if (fetching_) return Lost({Code::kUnavailable, reply.text});
  if (!reply.primary.id.IsNone() && reply.primary.id != self_.id) hint_ = reply.primary.Replication();
  const Code code = static_cast<Code>(reply.code);
  if (code != Code::kNotPrimary) Remember({code, reply.text});
}

Status Node::Land(const wire::Batch& batch, std::span<const std::byte> bytes) {
  if (batch.epoch != voter_->promised() && !Mutated(Mutant::kFollowsOldEpoch))
    return {Code::kFenced, "a batch of an epoch that is over"};
  if (Status status = log_->Land(batch.at, bytes); !status.ok()) {
    return status.code() == Code::kProtocol ? status : Fail(status);
  }
  heard_committed_ = std::max({heard_committed_, batch.committed, log_->known_committed()});
  const auto view = BatchView::Trusted(bytes.data());
  if ((view.header().flags & format::kHasConfig) != 0) {
    FAHA_CHECK(view.ForEach([&](const Record& record, std::uint64_t) {
      if (record.kind != format::RecordKind::kConfig) return;
      if (auto members = DecodeMembers(record.value)) membership_.Add(view.lsn(), std::move(*members));
    }),
               "Land has checked every record");
  }
  return Status::Ok();
}

Status Node::Gap(Lsn whole_at) {
  if (!pool_->installing()) return {Code::kProtocol, "a gap was announced to a node that takes none"};
  whole_at_ = whole_at;
  log_->AllowGap();
  return Status::Ok();
}

Result<wire::Ack> Node::Persist() {
  if (Mutated(Mutant::kAckBeforeDrain)) {
    fabric_->Send(receiver_->data(),
                  wire::Encode(wire::Ack{voter_->promised(), log_->end().lsn, engine_->applied(), !not_whole_}));
  }
  if (Status status = log_->Drain(); !status.ok()) return Fail(status);
  engine_->ApplyTo(heard_committed_);
  ReleaseFreed();
  if (pool_->installing() && log_->durable() >= whole_at_) {
    if (Status status = pool_->EndInstall(); !status.ok()) return Fail(status);
    not_whole_ = false;
    Note(LogLevel::kNotice, "the log is whole");
  }
  if (!failure_.ok()) return failure_;
  return wire::Ack{.epoch = {}, .durable = log_->durable(), .applied = engine_->applied(), .whole = !not_whole_};
}

// What was placed behind the log's end and not looked at: whole batches that follow, where the heads' segments go on. A
// batch that opens another segment counts only once this node has acknowledged it.  Nothing that a cut took out of the
// log comes back: its header is gone.
void Node::Absorb() {
  if (!failure_.ok() || not_whole_) return;
  std::uint64_t absorbed = 0;
  for (auto next = log_->PlacedBehindEnd(); next; next = log_->PlacedBehindEnd()) {
    if (!Land({voter_->promised(), next->at, Lsn{}}, next->bytes).ok()) break;
    ++absorbed;
  }
  // What landed in the same look that saw the link close counts as well, for whoever follows again tells of it.
  const bool lacks_drain = absorbed != 0 || log_->durable() < log_->end().lsn;
  if (lacks_drain && failure_.ok()) (void)Persist();
}

bool Node::Heard(Epoch epoch, Lsn committed) {
  if (epoch != voter_->promised() || fetching_) return false;
  voter_->Heard(primary_.id, clock_->Now());
  heard_committed_ = std::max(heard_committed_, committed);
  engine_->ApplyTo(std::min(heard_committed_, log_->durable()));
  ReleaseFreed();
  return failure_.ok();
}

void Node::FellBack(const Status& reason) {
  remark_ = reason.message();
  Note(LogLevel::kWarning, fmt::format("the batches come over TCP, not RDMA: {}", reason.message()));
}

void Node::Lost(const Status& reason) {
  if (!primary_.id.IsNone())
    Note(LogLevel::kWarning, fmt::format("lost the primary {}: {}", primary_.Redis().ToString(), reason.ToString()));
  primary_ = {};
  if (reason.code() == Code::kUnavailable) {
    last_problem_ = reason;  // not worth a line at every attempt
  } else {
    Remember(reason);
  }
  if (!fetching_) return;
  // The best log went away before it was read: ask again who is there.
  const MonoTime left = campaign_end_ == kForever ? kForever : campaign_end_ - clock_->Now();
  auto done = std::exchange(done_, nullptr);
  receiver_->Stop();
  fetching_ = false;
  campaign_.reset();
  const auto patience =
      left == kForever ? std::chrono::milliseconds::max() : std::chrono::duration_cast<std::chrono::milliseconds>(left);
  StartCampaign(Epoch{}, voter_->promised(), patience, std::move(done));
}

}  // namespace faha
