// The table, and the one adapter between Redis and the handlers.
#include "module/commands.h"

#include <array>
#include <string>

#include "module/commit.h"

namespace faha::module {
namespace {

constexpr std::uint64_t kRead = REDISMODULE_CMD_KEY_RO | REDISMODULE_CMD_KEY_ACCESS;
constexpr std::uint64_t kLook = REDISMODULE_CMD_KEY_RO;
constexpr std::uint64_t kOverwrite = REDISMODULE_CMD_KEY_OW | REDISMODULE_CMD_KEY_UPDATE;
constexpr std::uint64_t kInsert = REDISMODULE_CMD_KEY_OW | REDISMODULE_CMD_KEY_INSERT;
constexpr std::uint64_t kUpdate = REDISMODULE_CMD_KEY_RW | REDISMODULE_CMD_KEY_UPDATE;
constexpr std::uint64_t kAccessUpdate = kUpdate | REDISMODULE_CMD_KEY_ACCESS;
constexpr std::uint64_t kAppend = REDISMODULE_CMD_KEY_RW | REDISMODULE_CMD_KEY_INSERT;
constexpr std::uint64_t kTake = REDISMODULE_CMD_KEY_RW | REDISMODULE_CMD_KEY_ACCESS | REDISMODULE_CMD_KEY_DELETE;
constexpr std::uint64_t kRemove = REDISMODULE_CMD_KEY_RM | REDISMODULE_CMD_KEY_DELETE;

constexpr const char* kReadFast = "readonly fast";
constexpr const char* kWriteFast = "write fast";
constexpr const char* kWriteGrow = "write deny-oom";
constexpr const char* kWriteGrowFast = "write deny-oom fast";

constexpr auto kTable = std::to_array<Command>({
    {"set", strings::Set, -3, Access::kWrite, kWriteGrow, 1, 1, 1, kAccessUpdate},
    {"setnx", strings::SetNx, 3, Access::kWrite, kWriteGrowFast, 1, 1, 1, kInsert},
    {"setex", strings::SetEx, 4, Access::kWrite, kWriteGrow, 1, 1, 1, kOverwrite},
    {"psetex", strings::PSetEx, 4, Access::kWrite, kWriteGrow, 1, 1, 1, kOverwrite},
    {"get", strings::Get, 2, Access::kRead, kReadFast, 1, 1, 1, kRead},
    {"getdel", strings::GetDel, 2, Access::kWrite, kWriteFast, 1, 1, 1, kTake},
    {"getex", strings::GetEx, -2, Access::kWrite, kWriteFast, 1, 1, 1, kAccessUpdate},
    {"mset", strings::MSet, -3, Access::kWrite, kWriteGrow, 1, -1, 2, kOverwrite},
    {"msetnx", strings::MSetNx, -3, Access::kWrite, kWriteGrow, 1, -1, 2, kInsert},
    {"mget", strings::MGet, -2, Access::kRead, kReadFast, 1, -1, 1, kRead},
    {"append", strings::Append, 3, Access::kWrite, kWriteGrowFast, 1, 1, 1, kAppend},
    {"strlen", strings::StrLen, 2, Access::kRead, kReadFast, 1, 1, 1, kLook},
    {"incr", strings::Incr, 2, Access::kWrite, kWriteGrowFast, 1, 1, 1, kAccessUpdate},
    {"decr", strings::Decr, 2, Access::kWrite, kWriteGrowFast, 1, 1, 1, kAccessUpdate},
    {"incrby", strings::IncrBy, 3, Access::kWrite, kWriteGrowFast, 1, 1, 1, kAccessUpdate},
    {"decrby", strings::DecrBy, 3, Access::kWrite, kWriteGrowFast, 1, 1, 1, kAccessUpdate},
    {"incrbyfloat", strings::IncrByFloat, 3, Access::kWrite, kWriteGrowFast, 1, 1, 1, kAccessUpdate},
    {"del", generic::Del, -2, Access::kWrite, "write", 1, -1, 1, kRemove},
    {"unlink", generic::Del, -2, Access::kWrite, kWriteFast, 1, -1, 1, kRemove},
    {"exists", generic::Exists, -2, Access::kRead, kReadFast, 1, -1, 1, kLook},
    {"type", generic::Type, 2, Access::kRead, kReadFast, 1, 1, 1, kLook},
    {"expire", generic::Expire, -3, Access::kWrite, kWriteFast, 1, 1, 1, kUpdate},
    {"pexpire", generic::PExpire, -3, Access::kWrite, kWriteFast, 1, 1, 1, kUpdate},
    {"expireat", generic::ExpireAt, -3, Access::kWrite, kWriteFast, 1, 1, 1, kUpdate},
    {"pexpireat", generic::PExpireAt, -3, Access::kWrite, kWriteFast, 1, 1, 1, kUpdate},
    {"ttl", generic::Ttl, 2, Access::kRead, kReadFast, 1, 1, 1, kRead},
    {"pttl", generic::PTtl, 2, Access::kRead, kReadFast, 1, 1, 1, kRead},
    {"persist", generic::Persist, 2, Access::kWrite, kWriteFast, 1, 1, 1, kUpdate},
    {"scan", scan::Scan, -2, Access::kRead, "readonly", 0, 0, 0, 0},
    {"keys", scan::AllKeys, 2, Access::kRead, "readonly", 0, 0, 0, 0},
    {"randomkey", scan::RandomKey, 1, Access::kRead, "readonly", 0, 0, 0, 0},
    {"dbsize", generic::DbSize, 1, Access::kRead, kReadFast, 0, 0, 0, 0},
    {"flushdb", generic::FlushDb, -1, Access::kWrite, "write", 0, 0, 0, 0},
    {"flushall", generic::FlushAll, -1, Access::kWrite, "write", 0, 0, 0, 0},
    // Ours alone: the filter does not rewrite these.
    {"status", admin::GetStatus, 1, Access::kAdmin, "readonly fast allow-loading allow-stale", 0, 0, 0, 0},
    {"promote", admin::Promote, -1, Access::kAdmin, "admin deny-script allow-loading allow-stale", 0, 0, 0, 0},
    {"failover", admin::Failover, -1, Access::kAdmin, "admin deny-script allow-stale", 0, 0, 0, 0},
    {"refuse", admin::Refuse, -1, Access::kAdmin, "readonly fast allow-loading allow-stale", 0, 0, 0, 0},
});

// From a command's arrival to its reply.
template <std::size_t kIndex>
int Adapter(RedisModuleCtx* ctx, RedisModuleString** argv, int argc) {
  constexpr const Command& command = kTable[kIndex];
  Call call(ctx, argv, argc, command.name);
  if constexpr (command.access == Access::kAdmin) {
    return command.run(call).SendTo(ctx);
  } else {
    const bool inside = BeginCommand(ctx);
    constexpr bool kWrites = command.access == Access::kWrite;
    Status status = inside ? CommitInside() : Status::Ok();
    if (status.ok()) status = kWrites ? call.store().CheckWrite(0, 0) : call.store().CheckRead();
    // Deletes need no room: they are how a full pool is emptied.
    if (status.code() == Code::kNoSpace) status = Status::Ok();
    if (!status.ok()) return Reply::Error(status).SendTo(ctx);
    Reply reply = command.run(call);
    if (inside && kWrites) {
      reply.Own();
      status = CommitInside();
    }
    return (status.ok() ? reply : Reply::Error(status)).SendTo(ctx);
  }
}

using RedisHandler = int (*)(RedisModuleCtx*, RedisModuleString**, int);

template <std::size_t... kIndex>
constexpr std::array<RedisHandler, sizeof...(kIndex)> Adapters(std::index_sequence<kIndex...>) {
  return {Adapter<kIndex>...};
}
constexpr auto kAdapters = Adapters(std::make_index_sequence<kTable.size()>());

// ACL and cluster redirects go by these: the same rights as for the built-in command.
void DescribeKeys(RedisModuleCommand* created, const Command& command) {
  RedisModuleCommandKeySpec specs[2] = {};
  specs[0].flags = command.key_flags;
  specs[0].begin_search_type = REDISMODULE_KSPEC_BS_INDEX;
  specs[0].bs.index.pos = command.first_key;
  specs[0].find_keys_type = REDISMODULE_KSPEC_FK_RANGE;
  specs[0].fk.range.lastkey = command.last_key < 0 ? command.last_key : command.last_key - command.first_key;
  specs[0].fk.range.keystep = command.key_step;
  RedisModuleCommandInfo info = {};
  info.version = REDISMODULE_COMMAND_INFO_VERSION;
  info.arity = command.arity;
  info.key_specs = command.first_key > 0 ? specs : nullptr;
  RedisModule_SetCommandInfo(created, &info);
}

}  // namespace

std::span<const Command> Commands() { return kTable; }

bool CreateCommands(RedisModuleCtx* ctx) {
  for (std::size_t i = 0; i < kTable.size(); ++i) {
    const Command& command = kTable[i];
    const std::string name = "faha." + std::string(command.name);
    if (RedisModule_CreateCommand(ctx, name.c_str(), kAdapters[i], command.flags, command.first_key, command.last_key,
                                  command.key_step) != REDISMODULE_OK) {
      Log(LogLevel::kWarning, "BADCONFIG the server refuses the command " + name + ": is FaHA loaded twice?");
      return false;
    }
    DescribeKeys(RedisModule_GetCommand(ctx, name.c_str()), command);
  }
  return true;
}

}  // namespace faha::module
