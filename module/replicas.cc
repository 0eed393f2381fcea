#include "module/replicas.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>

#include "module/client_list.h"
#include "module/commands.h"
#include "module/names.h"
#include "module/shutdown.h"
#include "module/state.h"

namespace faha::module {
namespace {

// Client ids: of the backups that have not asked for a synchronisation yet, and of those that have.
std::set<std::uint64_t> admitted, replicating;
bool synced = false;  // a PSYNC or SYNC has run since DropStrangers()

bool IsBackup(std::string_view address, std::int64_t port) {
  const auto peers = TheState().store->Info().peers;
  return std::any_of(peers.begin(), peers.end(), [&](const PeerInfo& peer) {
    return peer.member.redis_port == port && (peer.address == address || peer.member.host == address);
  });
}

// May the user of the client run PSYNC?  This is asked in advance, because after Redis' own refusal a replica tries
// again without a pause.
bool MayAskForIt(RedisModuleCtx* ctx) {
  const std::string psync = ServersName("psync");
  RedisModuleString* name = RedisModule_GetCurrentUserName(ctx);
  RedisModuleUser* user = RedisModule_GetModuleUserFromUserName(name);
  std::array<RedisModuleString*, 3> words{RedisModule_CreateString(ctx, psync.data(), psync.size()),
                                          RedisModule_CreateString(ctx, "?", 1),
                                          RedisModule_CreateString(ctx, "-1", 2)};
  const bool may =
      user != nullptr && RedisModule_ACLCheckCommandPermissions(user, words.data(), words.size()) == REDISMODULE_OK;
  for (RedisModuleString* word : words) RedisModule_FreeString(ctx, word);
  if (user != nullptr) RedisModule_FreeModuleUser(user);
  RedisModule_FreeString(ctx, name);
  return may;
}

}  // namespace

bool MaySync() {
  synced = synced || !admitted.empty();
  return !admitted.empty();
}

void DropStrangers(RedisModuleCtx* ctx) {
  if (!std::exchange(synced, false)) return;
  std::set<std::uint64_t> waiting, present;
  CloseClients(ctx, [&](const ListedClient& client, std::uint64_t id) {
    if (client.Field("flags").find('S') == std::string_view::npos) {
      if (admitted.contains(id)) waiting.insert(id);
      return false;
    }
    const bool known = admitted.contains(id) || replicating.contains(id);
    if (known) present.insert(id);
    return !known;
  });
  admitted = std::move(waiting);
  replicating = std::move(present);
}

namespace server {

// REPLCONF listening-port port
Reply ReplicaPort(Call& call) {
  if (call.size() != 3) return Call::SyntaxError();
  const auto port = ParseInteger(call.arg(2));
  if (!port || *port < 0 || *port > 65535) return Call::NotAnInteger();
  RedisModuleClientInfo client = REDISMODULE_CLIENTINFO_INITIALIZER_V1;
  const std::uint64_t id = RedisModule_GetClientId(call.ctx());
  if (RedisModule_GetClientInfoById(&client, id) != REDISMODULE_OK || !IsBackup(client.addr, *port)) {
    return Reply::Error(
        "UNSUPPORTED this server holds FaHA's keys, which Redis' replication does not carry, and no backup of it "
        "listens at that port: load FaHA there first");
  }
  if (EndsSoon()) return Reply::Error("UNAVAILABLE this server is about to end");
  if (!MayAskForIt(call.ctx())) return Reply::Error("NOPERM this user may not run PSYNC, by which a replica begins");
  admitted.insert(id);
  return Reply::Ok();
}

}  // namespace server
}  // namespace faha::module
