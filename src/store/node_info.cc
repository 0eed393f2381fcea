// What an operator sees.  See node.h.
#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "store/node.h"

namespace faha {

std::string_view RoleName(Role role) {
  switch (role) {
    case Role::kBackup: return "backup";
    case Role::kCandidate: return "candidate";
    case Role::kPrimary: return "primary";
  }
  return "unknown";
}

std::string_view Node::StateWord() const {
  if (!health_.ok()) return "failed";
  if (standing_.Leading()) {
    return primary_->Serving() ? "serving" : "no-quorum";
  }
  if (standing_.Fetching()) return "fetching";
  if (standing_.Campaigning()) return "electing";
  if (!replica_.whole() && !pool_->installing()) return "damaged";
  if (!follower_->receiver().streaming()) return "seeking";
  if (!replica_.whole()) return "installing";
  return log_->end().lsn < replica_.heard_committed() ? "syncing" : "following";
}

std::pair<std::string, std::chrono::milliseconds> Node::Trouble() const {
  if (!health_.ok()) return {health_.failure().ToString(), {}};
  if (const Status forked = replica_.CheckForkedOff(); !forked.ok()) return {forked.ToString(), {}};
  if (standing_.Campaigning() && !standing_.Fetching()) {
    const Status obstacle{Code::kNoPromise, fmt::format("no majority has promised yet: {}", election_->Obstacle())};
    return {obstacle.ToString(), {}};
  }
  if (standing_.Leading() && committer_->Serving()) {
    if (const Status copies = primary_->CheckCopies(); !copies.ok()) return {copies.ToString(), {}};
  }
  if (standing_.role() == Role::kBackup && follower_->receiver().streaming() && !follower_->contact().reached()) {
    const Status unreached{
        Code::kUnavailable,
        fmt::format("the primary does not reach this node at {}, so it may not lead: see faha.announce-host, "
                    "faha.peer-host and faha.port, and what stands between the two",
                    self_.Replication().ToString())};
    return {unreached.ToString(), {}};
  }
  if (health_.problem().status.ok()) return {};
  return {health_.problem().status.ToString(), Since(health_.problem().at)};
}

std::chrono::milliseconds Node::Since(MonoTime time) const {
  return std::chrono::duration_cast<std::chrono::milliseconds>(clock_->Now() - time);
}

StoreInfo Node::Info() const {
  StoreInfo info;
  info.role = standing_.role();
  info.state = StateWord();
  std::tie(info.last_error, info.last_error_age) = Trouble();
  info.epoch = voter_->promised();
  info.node = self_.id;
  info.cluster = pool_->cluster();
  if (!standing_.primary().id.IsNone()) info.primary = standing_.primary();
  info.streaming = follower_->receiver().streaming() && !standing_.Fetching();
  info.blank = replica_.Blank();
  info.silent = Since(follower_->contact().heard_at());
  info.members = replica_.members();
  info.left_out = replica_.membership().left_out();
  info.feature_level = replica_.membership().level();
  info.offered_level = options_.feature_level;
  for (const auto& shipper : committer_->shippers()) {
    const Member& receiver = shipper->receiver();
    info.peers.push_back(
        {.member = receiver,
         .voting = replica_.membership().Find(receiver.id) != nullptr,
         .in_sync = shipper->in_sync,
         .reached = shipper->reached,
         .domain = shipper->domain(),
         .transport = fabric_->TransportOf(shipper->data()),
         .flushed = fabric_->Flushes(shipper->data()),
         .durable = shipper->acked(),
         .address = shipper->address(),
         .silent = shipper->echoed() == MonoTime{0} ? std::chrono::milliseconds{0} : Since(shipper->echoed())});
  }
  info.last = log_->end().lsn;
  info.durable = log_->durable();
  info.committed =
      standing_.Leading() ? committer_->committed() : std::min(replica_.heard_committed(), log_->end().lsn);
  info.applied = standing_.Leading() ? log_->end().lsn : engine_->applied();
  info.domain = pool_->media().domain();
  info.domain_configured = options_.persistence_domain != "auto";
  info.transport = fabric_->DataTransport();
  info.transport_remark = follower_->remark();
  if (follower_->receiver().streaming()) info.source_transport = fabric_->TransportOf(follower_->receiver().data());
  info.pool_path = options_.pool_path;
  info.pool_bytes = pool_->media().bytes().size();
  info.pool_usable_bytes = pool_->geometry().segment_bytes * replica_.UsableSegments();
  info.pool_writable_bytes = space_->WritableBytes();
  if (follower_->MayBeRead()) info.staleness = Since(follower_->current_at());
  info.pool_used_bytes = log_->UsedBytes();
  info.segment_bytes = pool_->geometry().segment_bytes;
  info.granule = pool_->geometry().granule;
  info.segments = log_->segments().count();
  info.free_segments = log_->segments().free();
  info.live_bytes = engine_->usage().live_bytes();
  info.tombstone_bytes = engine_->usage().tombstone_bytes();
  info.cleaned_segments = space_->stats().segments;
  info.moved_bytes = space_->stats().moved_bytes;
  info.whole = replica_.whole();
  info.keys = engine_->Size();
  info.expiring = engine_->Expiring();
  info.index_bytes = engine_->IndexBytes();
  info.packed_collections = engine_->usage().packed();
  info.collections = engine_->LargeCollections();
  info.collection_elements = engine_->collection_totals().elements;
  info.collection_bytes = engine_->collection_totals().bytes();
  const HotStats& hot = engine_->hot().stats();
  info.hot_bytes = engine_->hot().limit();
  info.hot_used_bytes = engine_->hot().MemoryBytes();
  info.hot_keys = hot.keys;
  info.hot_hits = hot.hits;
  info.hot_misses = hot.misses;
  info.hot_admissions = hot.admissions;
  info.hot_evictions = hot.evictions;
  info.hot_ghost_hits = hot.ghost_hits;
  info.hot_refreshes = hot.refreshes;
  info.commits = primary_->counts().commits;
  info.commit_failures = primary_->counts().commit_failures;
  info.damages = pool_->damages();
  info.batches = log_->sealed_batches();
  info.batch_bytes = log_->sealed_bytes();
  info.records = records_;
  info.record_bytes = record_bytes_;
  return info;
}

}  // namespace faha
