// INFO and MEMORY STATS, as Redis answers them, except for what Redis cannot know: the keyspace, which Redis believes
// to be empty, and FaHA's replication.
#include <algorithm>
#include <string>
#include <string_view>

#include "module/commands.h"
#include "module/info_text.h"
#include "module/names.h"
#include "module/pairs.h"
#include "module/replication_info.h"
#include "module/scratch.h"
#include "module/sentinels.h"
#include "module/shown_commands.h"
#include "module/snapshot.h"

namespace faha::module::server {
namespace {

// Redis' own counts are of no use, because Redis looks up no key of FaHA's.
void TellLookups(std::string& text) {
  const State& state = TheState();
  SetInfoField(text, "keyspace_hits", std::to_string(state.hits));
  SetInfoField(text, "keyspace_misses", std::to_string(state.misses));
  SetInfoField(text, "expired_keys", std::to_string(state.expired_keys - state.expired_before));
}

std::string Keyspace(const Call& call) {
  std::string lines;
  for (DbId db = 0; db < TheState().databases; ++db) {
    const std::uint64_t keys = call.store().Size(db);
    if (keys == 0) continue;
    lines += "db" + std::to_string(db) + ":keys=" + std::to_string(keys) +
             ",expires=" + std::to_string(call.store().Expiring(db)) + ",avg_ttl=0\r\n";
  }
  return lines;
}

}  // namespace

// Publishes as the server does: to its replicas, but not into the AOF.
Reply PublishHello(Call& call) {
  TheSentinels().OnHello(call.arg(2));
  const NativeReply reply(CallServer(call.ctx(), ServersName("publish").c_str(), "!A0Ess", call.raw(1), call.raw(2)),
                          RedisModule_FreeCallReply);
  return Reply::Native(reply);
}

Reply Info(Call& call) {
  if (TheSentinels().Withholds(call.ctx())) return Reply::Error("MASTERDOWN the primary is gone: ask again");
  constexpr std::string_view kTitle = "# Keyspace\r\n";
  const NativeReply reply = RunNative(call, "info", Protocol::kResp2);
  if (IsError(reply)) return Reply::Native(reply);
  std::string text(TextOf(reply.get()));
  if (const std::size_t at = text.find(kTitle); at != std::string::npos)
    text.insert(at + kTitle.size(), Keyspace(call));
  TellReplication(call.ctx(), text);
  TellSnapshots(text);
  TellLookups(text);
  TellCommands(text);
  RedisModule_ReplyWithVerbatimStringType(call.ctx(), text.data(), text.size(), "txt");
  return Reply::Sent();
}

// MEMORY STATS needs correction, because Redis counts only the keys of its own data set.
Reply MemoryStats(Call& call) {
  const NativeReply reply = RunNative(call, "memory");
  if (IsError(reply)) return Reply::Native(reply);
  const Pairs stats(reply.get());
  const auto number = [&](std::string_view name) {
    RedisModuleCallReply* found = stats.Find(name);
    return found == nullptr ? 0 : std::max(0LL, RedisModule_CallReplyInteger(found));
  };
  long long keys = 0;
  for (DbId db = 0; db < TheState().databases; ++db) keys += static_cast<long long>(call.store().Size(db));
  const long long taken = std::max(0LL, number("total.allocated") - number("startup.allocated"));
  stats.Begin(call.ctx(), stats.all().size());
  for (const auto& [name, value] : stats.all()) {
    RedisModule_ReplyWithCallReply(call.ctx(), name);
    if (TextOf(name) == "keys.count") {
      RedisModule_ReplyWithLongLong(call.ctx(), keys);
    } else if (TextOf(name) == "keys.bytes-per-key") {
      RedisModule_ReplyWithLongLong(call.ctx(), keys == 0 ? 0 : taken / keys);
    } else {
      RedisModule_ReplyWithCallReply(call.ctx(), value);
    }
  }
  return Reply::Sent();
}

}  // namespace faha::module::server
