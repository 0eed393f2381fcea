#include "module/node_status.h"

#include <algorithm>
#include <functional>
#include <string>
#include <utility>

#include "faha/version.h"
#include "module/roles.h"
#include "module/state.h"

namespace faha::module {
namespace {

using Number = std::uint64_t;

// Receives the fields that both INFO and FAHA.STATUS show.  The names are those of FAHA.STATUS; INFO has '_' instead of
// '-'.
struct Fields {
  std::function<void(const char*, const std::string&)> text;
  std::function<void(const char*, Number)> number;
};

void Visit(const StoreInfo& info, const Fields& fields) {
  fields.text("version", std::string(Version()));
  fields.text("role", std::string(RoleName(info.role)));
  fields.text("state", info.state);
  fields.number("epoch", info.epoch.value);
  std::string left_out;
  for (const Member& member : info.left_out) left_out += (left_out.empty() ? "" : " ") + member.Redis().ToString();
  fields.text("left-out", left_out);
  fields.text("primary", info.primary ? info.primary->Redis().ToString() : "");
  const RedisReplication redis = RedisReplicates(TheState().context);
  fields.text("redis-role", redis.primary ? "slave" : "master");
  fields.text("redis-link", !redis.primary ? "" : redis.up ? "up" : "down");
  fields.number("last-lsn", info.last.value);
  fields.number("durable-lsn", info.durable.value);
  fields.number("committed-lsn", info.committed.value);
  fields.number("applied-lsn", info.applied.value);
  fields.number("in-sync-backups",
                static_cast<Number>(std::count_if(info.peers.begin(), info.peers.end(),
                                                  [](const PeerInfo& peer) { return peer.in_sync && peer.voting; })));
  fields.text("node", info.node.ToString());
  fields.text("cluster", info.cluster.ToString());
  fields.number("feature-level", info.feature_level);
  fields.number("offered-level", info.offered_level);
  fields.text("fabric", std::string(TransportName(info.source_transport.value_or(info.transport))));
  fields.text("fabric-remark", info.transport_remark);
  fields.text("domain", std::string(DomainName(info.domain)));
  fields.text("domain-source", info.domain_configured ? "configured" : "detected");
  fields.text("pool", info.pool_path);
  fields.number("pool-bytes", info.pool_bytes);
  fields.number("pool-usable-bytes", info.pool_usable_bytes);
  fields.number("pool-used-bytes", info.pool_used_bytes);
  fields.text("read-staleness-ms", info.staleness ? std::to_string(info.staleness->count()) : "");
  fields.number("pool-writable-bytes", info.pool_writable_bytes);
  fields.number("segments", info.segments);
  fields.number("free-segments", info.free_segments);
  fields.number("live-bytes", info.live_bytes);
  fields.number("tombstone-bytes", info.tombstone_bytes);
  fields.number("cleaned-segments", info.cleaned_segments);
  fields.number("moved-bytes", info.moved_bytes);
  fields.number("whole", info.whole ? 1 : 0);
  fields.number("keys", info.keys);
  fields.number("expiring", info.expiring);
  fields.number("expired-keys", TheState().expired_keys);
  fields.number("index-bytes", info.index_bytes);
  fields.number("collections", info.collections);
  fields.number("collection-elements", info.collection_elements);
  fields.number("collection-bytes", info.collection_bytes);
  fields.number("packed-collections", info.packed_collections);
  fields.number("hot-bytes", info.hot_bytes);
  fields.number("hot-used-bytes", info.hot_used_bytes);
  fields.number("hot-keys", info.hot_keys);
  fields.number("hot-hits", info.hot_hits);
  fields.number("hot-misses", info.hot_misses);
  fields.number("hot-admissions", info.hot_admissions);
  fields.number("hot-evictions", info.hot_evictions);
  fields.number("hot-ghost-hits", info.hot_ghost_hits);
  fields.number("hot-refreshes", info.hot_refreshes);
  fields.number("barrier", TheState().gate.barrier() ? 1 : 0);
  fields.number("unordered-clients", TheState().gate.unordered().size());
  fields.number("commits", info.commits);
  fields.number("commit-failures", info.commit_failures);
  fields.number("damages-found", info.damages);
  fields.number("unreached-peers",
                static_cast<Number>(std::count_if(info.peers.begin(), info.peers.end(),
                                                  [](const PeerInfo& peer) { return !peer.reached; })));
  fields.number("batches", info.batches);
  fields.number("batch-bytes", info.batch_bytes);
  fields.number("records", info.records);
  fields.number("record-bytes", info.record_bytes);
  auto trouble = std::pair(info.last_error, info.last_error_age);
  const auto complaint = TheRoles().Complaint();
  const bool newer = complaint.second < trouble.second && !complaint.first.empty();
  if (trouble.first.empty() || newer) trouble = complaint;
  fields.text("last-error", trouble.first);
  fields.number("last-error-age-ms", trouble.second.count());
}

void OnInfo(RedisModuleInfoCtx* ctx, int for_crash_report) {
  if (for_crash_report != 0 || !TheState().store) return;
  RedisModule_InfoAddSection(ctx, "");
  const StoreInfo info = TheState().store->Info();
  const auto name = [](const char* field) {
    std::string result = field;
    std::replace(result.begin(), result.end(), '-', '_');
    return result;
  };
  Visit(info,
        {[&](const char* field, const std::string& value) {
           RedisModule_InfoAddFieldCString(ctx, name(field).c_str(), value.c_str());
         },
         [&](const char* field, Number value) { RedisModule_InfoAddFieldULongLong(ctx, name(field).c_str(), value); }});
  RedisModule_InfoAddFieldULongLong(ctx, "members", info.members.size());
}

void Text(RedisModuleCtx* ctx, const std::string& text) {
  RedisModule_ReplyWithStringBuffer(ctx, text.data(), text.size());
}

void ReplyPeer(RedisModuleCtx* ctx, const PeerInfo& peer) {
  RedisModule_ReplyWithArray(ctx, 16);
  Text(ctx, "redis");
  Text(ctx, peer.member.Redis().ToString());
  Text(ctx, "replication");
  Text(ctx, peer.member.Replication().ToString());
  Text(ctx, "reached");
  Text(ctx, peer.reached ? "yes" : "no");
  Text(ctx, "voting");
  Text(ctx, peer.voting ? "yes" : "no");
  Text(ctx, "in-sync");
  Text(ctx, peer.in_sync ? "yes" : "no");
  Text(ctx, "domain");
  Text(ctx, std::string(DomainName(peer.domain)));
  Text(ctx, "fabric");
  Text(ctx, std::string(TransportName(peer.transport)) + (peer.flushed ? "+flush" : ""));
  Text(ctx, "durable-lsn");
  RedisModule_ReplyWithLongLong(ctx, static_cast<long long>(peer.durable.value));
}

}  // namespace

bool AddInfo(RedisModuleCtx* ctx) { return RedisModule_RegisterInfoFunc(ctx, OnInfo) == REDISMODULE_OK; }

int ReplyStatus(RedisModuleCtx* ctx) {
  const StoreInfo info = TheState().store->Info();
  long fields = 0;
  RedisModule_ReplyWithArray(ctx, REDISMODULE_POSTPONED_LEN);
  Visit(info, {[&](const char* field, const std::string& value) {
                 Text(ctx, field);
                 Text(ctx, value);
                 fields += 2;
               },
               [&](const char* field, Number value) {
                 Text(ctx, field);
                 RedisModule_ReplyWithLongLong(ctx, static_cast<long long>(value));
                 fields += 2;
               }});
  Text(ctx, "members");
  RedisModule_ReplyWithArray(ctx, static_cast<long>(info.members.size()));
  for (const Member& member : info.members) Text(ctx, member.id.ToString() + " " + member.Redis().ToString());
  Text(ctx, "peers");
  RedisModule_ReplyWithArray(ctx, static_cast<long>(info.peers.size()));
  for (const PeerInfo& peer : info.peers) ReplyPeer(ctx, peer);
  RedisModule_ReplySetArrayLength(ctx, fields + 4);
  return REDISMODULE_OK;
}

}  // namespace faha::module
