// The command table: which of Redis' commands FaHA serves, and how each behaves.  Thread: main loop only.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "module/call.h"

namespace faha::module {

enum class Access : std::uint8_t {
  kRead,   // needs a node that may answer reads
  kWrite,  // needs the primary
  kAdmin,  // works on any node and touches no data
};

struct Command {
  std::string_view name;  // Redis' name, lower case; the module's command is "faha." before it
  Reply (*run)(Call&);
  int arity;  // as in COMMAND: negative means "at least"
  Access access;
  const char* flags;  // RM_CreateCommand's
  int first_key, last_key, key_step;
  std::uint64_t key_flags;  // REDISMODULE_CMD_KEY_*
};

std::span<const Command> Commands();

// Registers every command of the table.  False, after a log line, if Redis refuses one.
bool CreateCommands(RedisModuleCtx* ctx);

// The handlers.
namespace strings {
Reply Set(Call& call);
Reply SetNx(Call& call);
Reply SetEx(Call& call);
Reply PSetEx(Call& call);
Reply Get(Call& call);
Reply GetDel(Call& call);
Reply GetEx(Call& call);
Reply MSet(Call& call);
Reply MSetNx(Call& call);
Reply MGet(Call& call);
Reply Append(Call& call);
Reply StrLen(Call& call);
Reply Incr(Call& call);
Reply Decr(Call& call);
Reply IncrBy(Call& call);
Reply DecrBy(Call& call);
Reply IncrByFloat(Call& call);
}  // namespace strings

namespace generic {
Reply Del(Call& call);
Reply Exists(Call& call);
Reply Type(Call& call);
Reply Expire(Call& call);
Reply PExpire(Call& call);
Reply ExpireAt(Call& call);
Reply PExpireAt(Call& call);
Reply Ttl(Call& call);
Reply PTtl(Call& call);
Reply Persist(Call& call);
Reply DbSize(Call& call);
Reply FlushDb(Call& call);
Reply FlushAll(Call& call);
}  // namespace generic

namespace scan {
Reply Scan(Call& call);
Reply AllKeys(Call& call);
Reply RandomKey(Call& call);
}  // namespace scan

namespace admin {
Reply GetStatus(Call& call);
Reply Promote(Call& call);
Reply Failover(Call& call);
Reply Refuse(Call& call);
}  // namespace admin

}  // namespace faha::module
