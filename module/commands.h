// The command table: which of Redis' commands FaHA serves, and how each behaves.  Thread: main loop only.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "module/call.h"

namespace faha::module {

enum class Access : std::uint8_t {
  kRead,    // needs a node that may answer reads
  kWrite,   // needs the primary
  kServer,  // works on any node; its reply tells about the data without showing them
  kAdmin,   // FaHA's own: works on any node and touches no data; the filter rewrites no command to it
};

// The arguments that are keys, as COMMAND describes them.
struct KeyRange {
  int first = 0, last = 0, step = 0;
  std::uint64_t flags = 0;  // REDISMODULE_CMD_KEY_*
  bool counted = false;     // the argument `first` is the number of the keys that follow it; `last` and `step` are 0
  // The first argument that is a key; 0: none.
  [[nodiscard]] constexpr int first_key() const { return counted ? first + 1 : first; }
};

struct Command {
  // Redis' name in lower case; for a subcommand "container|sub".  The name of the module's command begins with "faha."
  // and has '.' instead of '|'.  Its arguments are the same as those of Redis' command, and include the name of the
  // subcommand.
  std::string_view name;
  Reply (*run)(Call&);
  int arity;  // as in COMMAND: negative means "at least"
  Access access;
  const char* flags;  // as RM_CreateCommand takes them
  KeyRange keys = {}, more_keys = {};
  // For keys that no range describes: reports them to Redis with RM_KeyAtPosWithFlags.
  void (*find_keys)(const Call&) = nullptr;
  int channel = 0;  // the argument that names the channel to publish to; 0: none
};

// The name of the module's command for `command`.
std::string ModuleName(const Command& command);

std::span<const Command> Commands();

// Registers every command of the table.  Returns false, after a log line, if Redis refuses one.
bool CreateCommands(RedisModuleCtx* ctx);

// The handlers.
namespace strings {
Reply Set(Call& call);
void FindSetKeys(const Call& call);
Reply SetNx(Call& call);
Reply SetEx(Call& call);
Reply PSetEx(Call& call);
Reply Get(Call& call);
Reply GetSet(Call& call);
Reply GetRange(Call& call);
Reply SetRange(Call& call);
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

namespace lists {
Reply LPush(Call& call);
Reply RPush(Call& call);
Reply LPushX(Call& call);
Reply RPushX(Call& call);
Reply LPop(Call& call);
Reply RPop(Call& call);
Reply LLen(Call& call);
Reply LIndex(Call& call);
Reply LSet(Call& call);
Reply LRange(Call& call);
Reply LTrim(Call& call);
Reply LRem(Call& call);
Reply LInsert(Call& call);
Reply LPos(Call& call);
Reply LMove(Call& call);
Reply RPopLPush(Call& call);
Reply LMPop(Call& call);
void FindLMPopKeys(const Call& call);
Reply BLPop(Call& call);
Reply BRPop(Call& call);
Reply BLMove(Call& call);
Reply BRPopLPush(Call& call);
Reply BLMPop(Call& call);
void FindBLMPopKeys(const Call& call);
}  // namespace lists

namespace bits {
Reply SetBit(Call& call);
Reply GetBit(Call& call);
Reply BitCount(Call& call);
Reply BitPos(Call& call);
Reply BitOp(Call& call);
Reply BitField(Call& call);
void FindBitFieldKeys(const Call& call);
Reply BitFieldRo(Call& call);
}  // namespace bits

namespace hashes {
Reply Set(Call& call);
Reply SetNx(Call& call);
Reply MSet(Call& call);
Reply Get(Call& call);
Reply MGet(Call& call);
Reply GetAll(Call& call);
Reply Keys(Call& call);
Reply Values(Call& call);
Reply Length(Call& call);
Reply StrLen(Call& call);
Reply Exists(Call& call);
Reply Del(Call& call);
Reply IncrBy(Call& call);
Reply IncrByFloat(Call& call);
Reply RandField(Call& call);
Reply Scan(Call& call);
}  // namespace hashes

namespace sets {
Reply Add(Call& call);
Reply Rem(Call& call);
Reply Move(Call& call);
Reply IsMember(Call& call);
Reply MIsMember(Call& call);
Reply Members(Call& call);
Reply Card(Call& call);
Reply Pop(Call& call);
Reply RandMember(Call& call);
Reply Scan(Call& call);
Reply Inter(Call& call);
Reply InterCard(Call& call);
Reply InterStore(Call& call);
Reply Union(Call& call);
Reply UnionStore(Call& call);
Reply Diff(Call& call);
Reply DiffStore(Call& call);
}  // namespace sets

namespace sorted {
Reply Add(Call& call);
Reply IncrBy(Call& call);
Reply Rem(Call& call);
Reply Card(Call& call);
Reply Score(Call& call);
Reply MScore(Call& call);
Reply RankOf(Call& call);
Reply RevRankOf(Call& call);
Reply CountByScore(Call& call);
Reply CountByLex(Call& call);
Reply Range(Call& call);
Reply RangeStore(Call& call);
Reply RangeByScore(Call& call);
Reply RevRangeByScore(Call& call);
Reply RevRange(Call& call);
Reply RangeByLex(Call& call);
Reply RevRangeByLex(Call& call);
Reply RemRangeByRank(Call& call);
Reply RemRangeByScore(Call& call);
Reply RemRangeByLex(Call& call);
Reply PopMin(Call& call);
Reply PopMax(Call& call);
Reply MPop(Call& call);
Reply BPopMin(Call& call);
Reply BPopMax(Call& call);
Reply BMPop(Call& call);
Reply RandMember(Call& call);
Reply Scan(Call& call);
Reply Union(Call& call);
Reply Inter(Call& call);
Reply Diff(Call& call);
Reply InterCard(Call& call);
Reply UnionStore(Call& call);
Reply InterStore(Call& call);
Reply DiffStore(Call& call);
}  // namespace sorted

namespace native {
Reply Lcs(Call& call);
Reply PfAdd(Call& call);
Reply PfCount(Call& call);
Reply PfMerge(Call& call);
Reply Dump(Call& call);
Reply Restore(Call& call);
Reply MemoryUsage(Call& call);
}  // namespace native

namespace sorting {
Reply Sort(Call& call);
void FindKeys(const Call& call);
}  // namespace sorting

namespace move {
Reply Rename(Call& call);
Reply RenameNx(Call& call);
Reply Copy(Call& call);
Reply Move(Call& call);
}  // namespace move

namespace object {
Reply Encoding(Call& call);
Reply RefCount(Call& call);
Reply IdleTime(Call& call);
Reply Frequency(Call& call);
Reply DebugObject(Call& call);
Reply DebugDigest(Call& call);
Reply DebugDigestValue(Call& call);
}  // namespace object

namespace debug {
Reply Populate(Call& call);
Reply Reload(Call& call);
Reply SetActiveExpire(Call& call);
}  // namespace debug

namespace server {
Reply Info(Call& call);
Reply MemoryStats(Call& call);
Reply PublishHello(Call& call);
Reply ListClients(Call& call);
Reply ClientInfo(Call& call);
Reply Unblock(Call& call);
Reply SlowLog(Call& call);
Reply AclLog(Call& call);
Reply LatencyHistogram(Call& call);
Reply ResetStatistics(Call& call);
Reply ReplicaPort(Call& call);
Reply RewriteConfig(Call& call);
Reply Role(Call& call);
Reply SetConfig(Call& call);
Reply Wait(Call& call);
}  // namespace server

namespace snapshot {
Reply BgSave(Call& call);
Reply Save(Call& call);
Reply LastSave(Call& call);
}  // namespace snapshot

namespace functions {
Reply Change(Call& call);
}  // namespace functions

namespace rights {
Reply SetUser(Call& call);
Reply DelUser(Call& call);
Reply Load(Call& call);
Reply Show(Call& call);
}  // namespace rights

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
Reply ExpireTime(Call& call);
Reply PExpireTime(Call& call);
Reply Persist(Call& call);
Reply DbSize(Call& call);
Reply FlushDb(Call& call);
Reply FlushAll(Call& call);
Reply SwapDb(Call& call);
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
Reply Forget(Call& call);
Reply ReplicaOf(Call& call);
Reply Refuse(Call& call);
}  // namespace admin

}  // namespace faha::module
