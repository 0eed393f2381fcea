#include "module/replication_info.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <list>

#include "module/commands.h"
#include "module/info_text.h"
#include "module/peer_names.h"
#include "module/roles.h"
#include "module/sentinels.h"
#include "module/state.h"
#include "module/waiters.h"

namespace faha::module {
namespace {

// The fields that stay as Redis gives them, because Redis knows them better or nobody needs them.
constexpr std::array<std::string_view, 8> kNative = {"master_failover_state",
                                                     "master_replid",
                                                     "master_replid2",
                                                     "second_repl_offset",
                                                     "repl_backlog_active",
                                                     "repl_backlog_size",
                                                     "repl_backlog_first_byte_offset",
                                                     "repl_backlog_histlen"};

bool Leads(const StoreInfo& info) { return info.role == Role::kPrimary; }

// The primary that this node follows, or should follow.  A node that has not found a primary yet names another member.
Endpoint Source(RedisModuleCtx* ctx, const StoreInfo& info) {
  if (const auto primary = TheRoles().PrimaryOfBackup(ctx)) return *primary;
  for (const Member& member : info.members) {
    if (member.id != info.node) return ThePeerNames().NameOf(member);
  }
  return {"?", 0};
}

// The backups that are members or are becoming members, which excludes a candidate that only fetches.
std::string Backups(const StoreInfo& info) {
  std::string lines = fmt::format("connected_slaves:{}\r\n", info.peers.size());
  int number = 0;
  for (const PeerInfo& peer : info.peers) {
    lines += fmt::format("slave{}:ip={},port={},state={},offset={},lag={}\r\n", number++, peer.member.host,
                         peer.member.redis_port, peer.in_sync ? "online" : "send_bulk", peer.durable.value,
                         peer.silent.count() / 1000);
  }
  return lines;
}

// Sentinel promotes no replica whose priority is 0.
std::string Priority(RedisModuleCtx* ctx) {
  return TheState().store->Promotable() ? ConfigValue(ctx, "replica-priority") : "0";
}

std::string AsBackup(RedisModuleCtx* ctx, const StoreInfo& info) {
  const Endpoint source = Source(ctx, info);
  const auto silent = info.silent.count() / 1000;
  std::string lines = fmt::format(
      "role:slave\r\nmaster_host:{}\r\nmaster_port:{}\r\nmaster_link_status:{}\r\nmaster_last_io_seconds_ago:{}\r\n"
      "master_sync_in_progress:{}\r\nslave_read_repl_offset:{}\r\nslave_repl_offset:{}\r\n",
      source.host, source.port, info.streaming ? "up" : "down", info.streaming ? silent : -1,
      info.state == "installing" ? 1 : 0, info.last.value, info.durable.value);
  if (!info.streaming) lines += fmt::format("master_link_down_since_seconds:{}\r\n", silent);
  lines += fmt::format("slave_priority:{}\r\nslave_read_only:1\r\nreplica_announced:{}\r\nconnected_slaves:0\r\n",
                       Priority(ctx), ConfigValue(ctx, "replica-announced") == "no" ? 0 : 1);
  return lines;
}

std::string Section(RedisModuleCtx* ctx, std::string_view native) {
  const StoreInfo info = TheState().store->Info();
  const bool shown = TheRoles().ShownToSentinels() && Sentinels::Asks(ctx);
  std::string lines = Leads(info) || shown ? "role:master\r\n" + Backups(info) : AsBackup(ctx, info);
  while (!native.empty()) {
    const std::string_view line = native.substr(0, native.find("\r\n"));
    native.remove_prefix(std::min(native.size(), line.size() + 2));
    const std::string_view name = line.substr(0, line.find(':'));
    if (std::find(kNative.begin(), kNative.end(), name) == kNative.end()) continue;
    lines.append(line).append("\r\n");
    if (name == "master_replid2") lines += fmt::format("master_repl_offset:{}\r\n", info.last.value);
  }
  return lines;
}

// --- WAIT.

struct Wait {
  RedisModuleBlockedClient* blocked = nullptr;
  std::optional<Lsn> lsn;  // nothing: the LSN at the end of the turn
  std::int64_t copies = 0;
};
std::list<Wait> waits;

// The number of copies of everything up to `lsn`, without this node's copy.
std::int64_t CopiesOf(Lsn lsn) {
  const auto peers = TheState().store->Info().peers;
  return std::count_if(peers.begin(), peers.end(),
                       [&](const PeerInfo& peer) { return peer.voting && peer.durable >= lsn; });
}

// WAITAOF has one more argument, and its reply also tells of this node's copy, which by now contains what was written
// before.
int ReplyCopies(RedisModuleCtx* ctx, int argc) {
  if (argc == 4) {
    RedisModule_ReplyWithArray(ctx, 2);
    RedisModule_ReplyWithLongLong(ctx, 1);
  }
  return RedisModule_ReplyWithLongLong(ctx, CopiesOf(TheState().store->Info().durable));
}

int AnswerWait(RedisModuleCtx* ctx, RedisModuleString**, int argc) { return ReplyCopies(ctx, argc); }

void ForgetWait(RedisModuleCtx*, RedisModuleBlockedClient* blocked) {
  waits.remove_if([&](const Wait& wait) { return wait.blocked == blocked; });
  RedisModule_UnblockClient(blocked, nullptr);
}

int OnWaitTimeout(RedisModuleCtx* ctx, RedisModuleString** argv, int argc) {
  const int result = AnswerWait(ctx, argv, argc);
  ForgetWait(ctx, RedisModule_GetBlockedClientHandle(ctx));
  return result;
}

}  // namespace

void TellReplication(RedisModuleCtx* ctx, std::string& text) {
  const InfoPlace place = InfoSection(text, "# Replication\r\n");
  if (place.size == 0) return;
  text.replace(place.begin, place.size, Section(ctx, std::string_view(text).substr(place.begin, place.size)));
}

void AnswerWaits() {
  if (waits.empty()) return;
  const StoreInfo info = TheState().store->Info();
  for (auto wait = waits.begin(); wait != waits.end();) {
    if (!wait->lsn) wait->lsn = info.durable;
    const bool done = !Leads(info) || CopiesOf(*wait->lsn) >= wait->copies;
    if (done) RedisModule_UnblockClient(wait->blocked, nullptr);
    wait = done ? waits.erase(wait) : std::next(wait);
  }
}

namespace server {

// ROLE
Reply Role(Call& call) {
  const StoreInfo info = TheState().store->Info();
  RedisModuleCtx* ctx = call.ctx();
  const auto text = [ctx](const std::string& value) {
    RedisModule_ReplyWithStringBuffer(ctx, value.data(), value.size());
  };
  if (Leads(info)) {
    RedisModule_ReplyWithArray(ctx, 3);
    text("master");
    RedisModule_ReplyWithLongLong(ctx, static_cast<long long>(info.last.value));
    RedisModule_ReplyWithArray(ctx, static_cast<long>(info.peers.size()));
    for (const PeerInfo& peer : info.peers) {
      RedisModule_ReplyWithArray(ctx, 3);
      text(peer.member.host);
      text(std::to_string(peer.member.redis_port));
      text(std::to_string(peer.durable.value));
    }
    return Reply::Sent();
  }
  const Endpoint source = Source(ctx, info);
  RedisModule_ReplyWithArray(ctx, 5);
  text("slave");
  text(source.host);
  RedisModule_ReplyWithLongLong(ctx, source.port);
  text(!info.streaming ? "connect" : info.state == "installing" ? "sync" : "connected");
  RedisModule_ReplyWithLongLong(ctx, static_cast<long long>(info.durable.value));
  return Reply::Sent();
}

// WAIT numreplicas timeout, and WAITAOF numlocal numreplicas timeout: they count the backups that hold persistently
// what was written before, and this node, which holds it persistently at the turn's end.
Reply Wait(Call& call) {
  const StoreInfo info = TheState().store->Info();
  const int last = call.size() - 1;
  if (!Leads(info))
    return Reply::Error("ERR " + std::string(last == 3 ? "WAITAOF" : "WAIT") +
                        " cannot be used with replica instances: ask the primary");
  if (const auto local = last == 3 ? ParseInteger(call.arg(1)) : 0; !local || *local < 0 || *local > 1)
    return Reply::Error("ERR value is out of range, must be between 0 and 1");
  const auto copies = ParseInteger(call.arg(last - 1));
  if (!copies) return Call::NotAnInteger();
  const auto timeout = ParseInteger(call.arg(last));
  if (!timeout) return Reply::Error("ERR timeout is not an integer or out of range");
  if (*timeout < 0) return Reply::Error("ERR timeout is negative");
  const bool pending = call.store().NeedsCommit();
  if (!MayBlock(call) || (!pending && CopiesOf(info.durable) >= *copies)) {
    ReplyCopies(call.ctx(), call.size());
    return Reply::Sent();
  }
  RedisModuleBlockedClient* blocked = RedisModule_BlockClient(call.ctx(), AnswerWait, OnWaitTimeout, nullptr, *timeout);
  RedisModule_SetDisconnectCallback(blocked, ForgetWait);
  waits.push_back({blocked, pending ? std::nullopt : std::optional(info.durable), *copies});
  return Reply::Sent();
}

}  // namespace server
}  // namespace faha::module
