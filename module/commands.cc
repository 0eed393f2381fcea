// The command table, and the one adapter between Redis and the handlers.
#include "module/commands.h"

#include <algorithm>
#include <array>
#include <string>

#include "module/pass.h"

namespace faha::module {
namespace {

constexpr std::uint64_t kRead = REDISMODULE_CMD_KEY_RO | REDISMODULE_CMD_KEY_ACCESS;
constexpr std::uint64_t kLook = REDISMODULE_CMD_KEY_RO;
constexpr std::uint64_t kOverwrite = REDISMODULE_CMD_KEY_OW | REDISMODULE_CMD_KEY_UPDATE;
constexpr std::uint64_t kInsert = REDISMODULE_CMD_KEY_OW | REDISMODULE_CMD_KEY_INSERT;
constexpr std::uint64_t kUpdate = REDISMODULE_CMD_KEY_RW | REDISMODULE_CMD_KEY_UPDATE;
constexpr std::uint64_t kAccessUpdate = kUpdate | REDISMODULE_CMD_KEY_ACCESS;
constexpr std::uint64_t kVaries = kAccessUpdate | REDISMODULE_CMD_KEY_VARIABLE_FLAGS;  // depends on the arguments
constexpr std::uint64_t kAppend = REDISMODULE_CMD_KEY_RW | REDISMODULE_CMD_KEY_INSERT;
constexpr std::uint64_t kAccessInsert = kAppend | REDISMODULE_CMD_KEY_ACCESS;
constexpr std::uint64_t kTake = REDISMODULE_CMD_KEY_RW | REDISMODULE_CMD_KEY_ACCESS | REDISMODULE_CMD_KEY_DELETE;
constexpr std::uint64_t kErase = REDISMODULE_CMD_KEY_RW | REDISMODULE_CMD_KEY_DELETE;
constexpr std::uint64_t kRemove = REDISMODULE_CMD_KEY_RM | REDISMODULE_CMD_KEY_DELETE;

constexpr const char* kReadOnly = "readonly";
constexpr const char* kReadsCounted = "readonly getkeys-api";
constexpr const char* kDebug = "readonly admin deny-script";
constexpr const char* kDebugWrite = "write deny-oom admin deny-script";
constexpr const char* kSaves = "admin deny-script";
constexpr const char* kRules = "admin deny-script allow-loading allow-stale";
constexpr const char* kReadFast = "readonly fast";
constexpr const char* kWriteFast = "write fast";
constexpr const char* kWriteGrow = "write deny-oom";
constexpr const char* kWaits = "write deny-script blocking";
constexpr const char* kWaitsFast = "write deny-script fast blocking";
constexpr const char* kWaitsToGrow = "write deny-oom deny-script blocking";
constexpr const char* kSometimesReads = "write deny-oom getkeys-api";
constexpr const char* kWriteGrowFast = "write deny-oom fast";

// Redis 7.0 finds keys that are counted by their description for ACLs, but for client-side caching it asks the command.
void FindReadKeys(const Call& call) { FindCountedKeys(call, 1, kRead); }

constexpr auto kTable = std::to_array<Command>({
    {"set", strings::Set, -3, Access::kWrite, kSometimesReads, {1, 1, 1, kVaries}, {}, strings::FindSetKeys},
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
    {"lpush", lists::LPush, -3, Access::kWrite, kWriteGrowFast, 1, 1, 1, kAppend},
    {"rpush", lists::RPush, -3, Access::kWrite, kWriteGrowFast, 1, 1, 1, kAppend},
    {"lpushx", lists::LPushX, -3, Access::kWrite, kWriteGrowFast, 1, 1, 1, kAppend},
    {"rpushx", lists::RPushX, -3, Access::kWrite, kWriteGrowFast, 1, 1, 1, kAppend},
    {"lpop", lists::LPop, -2, Access::kWrite, kWriteFast, 1, 1, 1, kTake},
    {"rpop", lists::RPop, -2, Access::kWrite, kWriteFast, 1, 1, 1, kTake},
    {"llen", lists::LLen, 2, Access::kRead, kReadFast, 1, 1, 1, kLook},
    {"lindex", lists::LIndex, 3, Access::kRead, kReadOnly, 1, 1, 1, kRead},
    {"lset", lists::LSet, 4, Access::kWrite, kWriteGrow, 1, 1, 1, kUpdate},
    {"lrange", lists::LRange, 4, Access::kRead, kReadOnly, 1, 1, 1, kRead},
    {"ltrim", lists::LTrim, 4, Access::kWrite, "write", 1, 1, 1, kErase},
    {"lrem", lists::LRem, 4, Access::kWrite, "write", 1, 1, 1, kErase},
    {"linsert", lists::LInsert, 5, Access::kWrite, kWriteGrow, 1, 1, 1, kAppend},
    {"lpos", lists::LPos, -3, Access::kRead, kReadOnly, 1, 1, 1, kRead},
    {"lmove", lists::LMove, 5, Access::kWrite, kWriteGrow, {1, 1, 1, kTake}, {2, 2, 1, kAppend}},
    {"rpoplpush", lists::RPopLPush, 3, Access::kWrite, kWriteGrow, {1, 1, 1, kTake}, {2, 2, 1, kAppend}},
    {"lmpop", lists::LMPop, -4, Access::kWrite, "write getkeys-api", {1, 0, 0, kTake, true}, {}, lists::FindLMPopKeys},
    {"blpop", lists::BLPop, -3, Access::kWrite, kWaits, 1, -2, 1, kTake},
    {"brpop", lists::BRPop, -3, Access::kWrite, kWaits, 1, -2, 1, kTake},
    {"blmove", lists::BLMove, 6, Access::kWrite, kWaitsToGrow, {1, 1, 1, kTake}, {2, 2, 1, kAppend}},
    {"brpoplpush", lists::BRPopLPush, 4, Access::kWrite, kWaitsToGrow, {1, 1, 1, kTake}, {2, 2, 1, kAppend}},
    {.name = "blmpop",
     .run = lists::BLMPop,
     .arity = -5,
     .access = Access::kWrite,
     .flags = "write blocking getkeys-api",
     .keys = {2, 0, 0, kTake, true},
     .find_keys = lists::FindBLMPopKeys},
    {"getset", strings::GetSet, 3, Access::kWrite, kWriteGrowFast, 1, 1, 1, kAccessUpdate},
    {"getrange", strings::GetRange, 4, Access::kRead, kReadOnly, 1, 1, 1, kRead},
    {"substr", strings::GetRange, 4, Access::kRead, kReadOnly, 1, 1, 1, kRead},
    {"setrange", strings::SetRange, 4, Access::kWrite, kWriteGrow, 1, 1, 1, kUpdate},
    {"lcs", native::Lcs, -3, Access::kRead, kReadOnly, 1, 2, 1, kRead},
    {"incr", strings::Incr, 2, Access::kWrite, kWriteGrowFast, 1, 1, 1, kAccessUpdate},
    {"decr", strings::Decr, 2, Access::kWrite, kWriteGrowFast, 1, 1, 1, kAccessUpdate},
    {"incrby", strings::IncrBy, 3, Access::kWrite, kWriteGrowFast, 1, 1, 1, kAccessUpdate},
    {"decrby", strings::DecrBy, 3, Access::kWrite, kWriteGrowFast, 1, 1, 1, kAccessUpdate},
    {"incrbyfloat", strings::IncrByFloat, 3, Access::kWrite, kWriteGrowFast, 1, 1, 1, kAccessUpdate},
    {"setbit", bits::SetBit, 4, Access::kWrite, kWriteGrow, 1, 1, 1, kAccessUpdate},
    {"getbit", bits::GetBit, 3, Access::kRead, kReadFast, 1, 1, 1, kRead},
    {"bitcount", bits::BitCount, -2, Access::kRead, kReadOnly, 1, 1, 1, kRead},
    {"bitpos", bits::BitPos, -3, Access::kRead, kReadOnly, 1, 1, 1, kRead},
    {"bitop", bits::BitOp, -4, Access::kWrite, kWriteGrow, {2, 2, 1, kOverwrite}, {3, -1, 1, kRead}},
    {"bitfield", bits::BitField, -2, Access::kWrite, kSometimesReads, {1, 1, 1, kVaries}, {}, bits::FindBitFieldKeys},
    {"bitfield_ro", bits::BitFieldRo, -2, Access::kRead, kReadFast, 1, 1, 1, kRead},
    {"pfadd", native::PfAdd, -2, Access::kWrite, kWriteGrowFast, 1, 1, 1, kAppend},
    {"pfcount", native::PfCount, -2, Access::kRead, kReadOnly, 1, -1, 1, kRead},
    {"pfmerge", native::PfMerge, -2, Access::kWrite, kWriteGrow, {1, 1, 1, kAccessInsert}, {2, -1, 1, kRead}},
    {"hset", hashes::Set, -4, Access::kWrite, kWriteGrowFast, 1, 1, 1, kUpdate},
    {"hsetnx", hashes::SetNx, 4, Access::kWrite, kWriteGrowFast, 1, 1, 1, kAppend},
    {"hmset", hashes::MSet, -4, Access::kWrite, kWriteGrowFast, 1, 1, 1, kUpdate},
    {"hget", hashes::Get, 3, Access::kRead, kReadFast, 1, 1, 1, kRead},
    {"hmget", hashes::MGet, -3, Access::kRead, kReadFast, 1, 1, 1, kRead},
    {"hgetall", hashes::GetAll, 2, Access::kRead, kReadOnly, 1, 1, 1, kRead},
    {"hkeys", hashes::Keys, 2, Access::kRead, kReadOnly, 1, 1, 1, kRead},
    {"hvals", hashes::Values, 2, Access::kRead, kReadOnly, 1, 1, 1, kRead},
    {"hlen", hashes::Length, 2, Access::kRead, kReadFast, 1, 1, 1, kLook},
    {"hstrlen", hashes::StrLen, 3, Access::kRead, kReadFast, 1, 1, 1, kLook},
    {"hexists", hashes::Exists, 3, Access::kRead, kReadFast, 1, 1, 1, kLook},
    {"hdel", hashes::Del, -3, Access::kWrite, kWriteFast, 1, 1, 1, kErase},
    {"hincrby", hashes::IncrBy, 4, Access::kWrite, kWriteGrowFast, 1, 1, 1, kAccessUpdate},
    {"hincrbyfloat", hashes::IncrByFloat, 4, Access::kWrite, kWriteGrowFast, 1, 1, 1, kAccessUpdate},
    {"hrandfield", hashes::RandField, -2, Access::kRead, kReadOnly, 1, 1, 1, kRead},
    {"hscan", hashes::Scan, -3, Access::kRead, kReadOnly, 1, 1, 1, kRead},
    {"sadd", sets::Add, -3, Access::kWrite, kWriteGrowFast, 1, 1, 1, kAppend},
    {"srem", sets::Rem, -3, Access::kWrite, kWriteFast, 1, 1, 1, kErase},
    {"smove", sets::Move, 4, Access::kWrite, kWriteFast, {1, 1, 1, kTake}, {2, 2, 1, kAppend}},
    {"sismember", sets::IsMember, 3, Access::kRead, kReadFast, 1, 1, 1, kLook},
    {"smismember", sets::MIsMember, -3, Access::kRead, kReadFast, 1, 1, 1, kRead},
    {"smembers", sets::Members, 2, Access::kRead, kReadOnly, 1, 1, 1, kRead},
    {"scard", sets::Card, 2, Access::kRead, kReadFast, 1, 1, 1, kLook},
    {"spop", sets::Pop, -2, Access::kWrite, kWriteFast, 1, 1, 1, kTake},
    {"srandmember", sets::RandMember, -2, Access::kRead, kReadOnly, 1, 1, 1, kRead},
    {"sscan", sets::Scan, -3, Access::kRead, kReadOnly, 1, 1, 1, kRead},
    {"sinter", sets::Inter, -2, Access::kRead, kReadOnly, 1, -1, 1, kRead},
    {"sintercard", sets::InterCard, -3, Access::kRead, kReadsCounted, {1, 0, 0, kRead, true}, {}, FindReadKeys},
    {"sinterstore", sets::InterStore, -3, Access::kWrite, kWriteGrow, {1, 1, 1, kUpdate}, {2, -1, 1, kRead}},
    {"sunion", sets::Union, -2, Access::kRead, kReadOnly, 1, -1, 1, kRead},
    {"sunionstore", sets::UnionStore, -3, Access::kWrite, kWriteGrow, {1, 1, 1, kOverwrite}, {2, -1, 1, kRead}},
    {"sdiff", sets::Diff, -2, Access::kRead, kReadOnly, 1, -1, 1, kRead},
    {"sdiffstore", sets::DiffStore, -3, Access::kWrite, kWriteGrow, {1, 1, 1, kOverwrite}, {2, -1, 1, kRead}},
    {"zadd", sorted::Add, -4, Access::kWrite, kWriteGrowFast, 1, 1, 1, kUpdate},
    {"zincrby", sorted::IncrBy, 4, Access::kWrite, kWriteGrowFast, 1, 1, 1, kAccessUpdate},
    {"zrem", sorted::Rem, -3, Access::kWrite, kWriteFast, 1, 1, 1, kErase},
    {"zcard", sorted::Card, 2, Access::kRead, kReadFast, 1, 1, 1, kLook},
    {"zscore", sorted::Score, 3, Access::kRead, kReadFast, 1, 1, 1, kRead},
    {"zmscore", sorted::MScore, -3, Access::kRead, kReadFast, 1, 1, 1, kRead},
    {"zrank", sorted::RankOf, 3, Access::kRead, kReadFast, 1, 1, 1, kRead},
    {"zrevrank", sorted::RevRankOf, 3, Access::kRead, kReadFast, 1, 1, 1, kRead},
    {"zcount", sorted::CountByScore, 4, Access::kRead, kReadFast, 1, 1, 1, kRead},
    {"zlexcount", sorted::CountByLex, 4, Access::kRead, kReadFast, 1, 1, 1, kRead},
    {"zrange", sorted::Range, -4, Access::kRead, kReadOnly, 1, 1, 1, kRead},
    {"zrangestore", sorted::RangeStore, -5, Access::kWrite, kWriteGrow, {1, 1, 1, kOverwrite}, {2, 2, 1, kRead}},
    {"zrangebyscore", sorted::RangeByScore, -4, Access::kRead, kReadOnly, 1, 1, 1, kRead},
    {"zrevrangebyscore", sorted::RevRangeByScore, -4, Access::kRead, kReadOnly, 1, 1, 1, kRead},
    {"zrevrange", sorted::RevRange, -4, Access::kRead, kReadOnly, 1, 1, 1, kRead},
    {"zrangebylex", sorted::RangeByLex, -4, Access::kRead, kReadOnly, 1, 1, 1, kRead},
    {"zrevrangebylex", sorted::RevRangeByLex, -4, Access::kRead, kReadOnly, 1, 1, 1, kRead},
    {"zremrangebyrank", sorted::RemRangeByRank, 4, Access::kWrite, "write", 1, 1, 1, kErase},
    {"zremrangebyscore", sorted::RemRangeByScore, 4, Access::kWrite, "write", 1, 1, 1, kErase},
    {"zremrangebylex", sorted::RemRangeByLex, 4, Access::kWrite, "write", 1, 1, 1, kErase},
    {"zpopmin", sorted::PopMin, -2, Access::kWrite, kWriteFast, 1, 1, 1, kTake},
    {"zpopmax", sorted::PopMax, -2, Access::kWrite, kWriteFast, 1, 1, 1, kTake},
    {"zmpop", sorted::MPop, -4, Access::kWrite, "write", {1, 0, 0, kTake, true}},
    {"bzpopmin", sorted::BPopMin, -3, Access::kWrite, kWaitsFast, 1, -2, 1, kTake},
    {"bzpopmax", sorted::BPopMax, -3, Access::kWrite, kWaitsFast, 1, -2, 1, kTake},
    {"bzmpop", sorted::BMPop, -5, Access::kWrite, "write blocking", {2, 0, 0, kTake, true}},
    {"zrandmember", sorted::RandMember, -2, Access::kRead, kReadOnly, 1, 1, 1, kRead},
    {"zscan", sorted::Scan, -3, Access::kRead, kReadOnly, 1, 1, 1, kRead},
    {"zunion", sorted::Union, -3, Access::kRead, kReadsCounted, {1, 0, 0, kRead, true}, {}, FindReadKeys},
    {"zinter", sorted::Inter, -3, Access::kRead, kReadsCounted, {1, 0, 0, kRead, true}, {}, FindReadKeys},
    {"zdiff", sorted::Diff, -3, Access::kRead, kReadsCounted, {1, 0, 0, kRead, true}, {}, FindReadKeys},
    {"zintercard", sorted::InterCard, -3, Access::kRead, kReadsCounted, {1, 0, 0, kRead, true}, {}, FindReadKeys},
    {"zunionstore", sorted::UnionStore, -4, Access::kWrite, kWriteGrow, {1, 1, 1, kOverwrite}, {2, 0, 0, kRead, true}},
    {"zinterstore", sorted::InterStore, -4, Access::kWrite, kWriteGrow, {1, 1, 1, kOverwrite}, {2, 0, 0, kRead, true}},
    {"zdiffstore", sorted::DiffStore, -4, Access::kWrite, kWriteGrow, {1, 1, 1, kOverwrite}, {2, 0, 0, kRead, true}},
    {"del", generic::Del, -2, Access::kWrite, "write", 1, -1, 1, kRemove},
    {"unlink", generic::Del, -2, Access::kWrite, kWriteFast, 1, -1, 1, kRemove},
    {"exists", generic::Exists, -2, Access::kRead, kReadFast, 1, -1, 1, kLook},
    {"touch", generic::Exists, -2, Access::kRead, kReadFast, 1, -1, 1, kLook},
    {"type", generic::Type, 2, Access::kRead, kReadFast, 1, 1, 1, kLook},
    {"expire", generic::Expire, -3, Access::kWrite, kWriteFast, 1, 1, 1, kUpdate},
    {"pexpire", generic::PExpire, -3, Access::kWrite, kWriteFast, 1, 1, 1, kUpdate},
    {"expireat", generic::ExpireAt, -3, Access::kWrite, kWriteFast, 1, 1, 1, kUpdate},
    {"pexpireat", generic::PExpireAt, -3, Access::kWrite, kWriteFast, 1, 1, 1, kUpdate},
    {"ttl", generic::Ttl, 2, Access::kRead, kReadFast, 1, 1, 1, kRead},
    {"pttl", generic::PTtl, 2, Access::kRead, kReadFast, 1, 1, 1, kRead},
    {"expiretime", generic::ExpireTime, 2, Access::kRead, kReadFast, 1, 1, 1, kRead},
    {"pexpiretime", generic::PExpireTime, 2, Access::kRead, kReadFast, 1, 1, 1, kRead},
    {"persist", generic::Persist, 2, Access::kWrite, kWriteFast, 1, 1, 1, kUpdate},
    {"rename", move::Rename, 3, Access::kWrite, "write", {1, 1, 1, kTake}, {2, 2, 1, kOverwrite}},
    {"renamenx", move::RenameNx, 3, Access::kWrite, kWriteFast, {1, 1, 1, kTake}, {2, 2, 1, kInsert}},
    {"copy", move::Copy, -3, Access::kWrite, kWriteGrow, {1, 1, 1, kRead}, {2, 2, 1, kOverwrite}},
    {"move", move::Move, 3, Access::kWrite, kWriteFast, 1, 1, 1, kAccessUpdate},
    {"dump", native::Dump, 2, Access::kRead, kReadOnly, 1, 1, 1, kRead},
    {"restore", native::Restore, -4, Access::kWrite, kWriteGrow, 1, 1, 1, kOverwrite},
    {"sort", sorting::Sort, -2, Access::kWrite, "write deny-oom getkeys-api", {1, 1, 1, kRead}, {}, sorting::FindKeys},
    {"sort_ro", sorting::Sort, -2, Access::kRead, kReadOnly, 1, 1, 1, kRead},
    {"object|encoding", object::Encoding, 3, Access::kRead, kReadOnly, 2, 2, 1, kLook},
    {"object|freq", object::Frequency, 3, Access::kRead, kReadOnly, 2, 2, 1, kLook},
    {"object|idletime", object::IdleTime, 3, Access::kRead, kReadOnly, 2, 2, 1, kLook},
    {"object|refcount", object::RefCount, 3, Access::kRead, kReadOnly, 2, 2, 1, kLook},
    {"memory|usage", native::MemoryUsage, -3, Access::kRead, kReadOnly, 2, 2, 1, kLook},
    {"memory|stats", server::MemoryStats, 2, Access::kServer, ""},
    {"debug|object", object::DebugObject, -3, Access::kRead, kDebug},
    {"debug|digest", object::DebugDigest, 2, Access::kRead, kDebug},
    {"debug|digest-value", object::DebugDigestValue, -2, Access::kRead, kDebug},
    {"debug|populate", debug::Populate, -3, Access::kWrite, kDebugWrite},
    {"debug|reload", debug::Reload, -2, Access::kRead, kDebug},
    {"debug|set-active-expire", debug::SetActiveExpire, 3, Access::kRead, kDebug},
    {"scan", scan::Scan, -2, Access::kRead, "readonly"},
    {"keys", scan::AllKeys, 2, Access::kRead, "readonly"},
    {"randomkey", scan::RandomKey, 1, Access::kRead, "readonly"},
    {"dbsize", generic::DbSize, 1, Access::kRead, kReadFast},
    {"flushdb", generic::FlushDb, -1, Access::kWrite, "write"},
    {"flushall", generic::FlushAll, -1, Access::kWrite, "write"},
    {"swapdb", generic::SwapDb, 3, Access::kWrite, kWriteFast},
    {"function|load", functions::Change, -3, Access::kWrite, "write deny-oom deny-script"},
    {"function|delete", functions::Change, 3, Access::kWrite, "write deny-script"},
    {"function|flush", functions::Change, -2, Access::kWrite, "write deny-script"},
    {"function|restore", functions::Change, -3, Access::kWrite, "write deny-oom deny-script"},
    {"info", server::Info, -1, Access::kServer, "allow-loading allow-stale"},
    {"replconf", server::ReplicaPort, -1, Access::kServer, "admin deny-script allow-loading allow-stale allow-busy"},
    {"role", server::Role, 1, Access::kServer, "deny-script allow-loading allow-stale fast"},
    {"wait", server::Wait, 3, Access::kServer, "deny-script"},
    {"waitaof", server::Wait, 4, Access::kServer, "deny-script"},
    {"bgsave", snapshot::BgSave, -1, Access::kServer, kSaves},
    {"save", snapshot::Save, 1, Access::kServer, kSaves},
    {"lastsave", snapshot::LastSave, 1, Access::kServer, "fast allow-loading allow-stale"},
    {"acl|setuser", rights::SetUser, -3, Access::kServer, kRules},
    {"acl|deluser", rights::DelUser, -3, Access::kServer, kRules},
    {"acl|getuser", rights::Show, 3, Access::kServer, kRules},
    {"acl|list", rights::Show, 2, Access::kServer, kRules},
    {"acl|load", rights::Load, 2, Access::kServer, kRules},
    {"acl|save", rights::Show, 2, Access::kServer, kRules},
    {"config|set", server::SetConfig, -4, Access::kServer, "admin deny-script allow-loading allow-stale"},
    {"config|resetstat", server::ResetStatistics, 2, Access::kServer, "admin deny-script allow-loading allow-stale"},
    {"client|list", server::ListClients, -2, Access::kServer, "admin deny-script allow-loading allow-stale"},
    {"client|info", server::ClientInfo, 2, Access::kServer, "deny-script allow-loading allow-stale"},
    {"client|unblock", server::Unblock, -3, Access::kServer, kRules},
    {"acl|log", server::AclLog, -2, Access::kServer, kRules},
    {"latency|histogram", server::LatencyHistogram, -2, Access::kServer, kRules},
    {"slowlog|get", server::SlowLog, -2, Access::kServer, "admin allow-loading allow-stale"},
    {"config|rewrite", server::RewriteConfig, 2, Access::kServer, kRules},
    {"replicaof", admin::ReplicaOf, 3, Access::kServer, "admin deny-script allow-stale"},
    {"slaveof", admin::ReplicaOf, 3, Access::kServer, "admin deny-script allow-stale"},
    {.name = "publish",
     .run = server::PublishHello,
     .arity = 3,
     .access = Access::kServer,
     .flags = "pubsub allow-loading allow-stale fast may-replicate getchannels-api",
     .channel = 1},
    // FaHA's own commands: the filter does not rewrite these.
    {"status", admin::GetStatus, 1, Access::kAdmin, "readonly fast allow-loading allow-stale"},
    {"promote", admin::Promote, -1, Access::kAdmin, "admin deny-script allow-loading allow-stale"},
    {"forget", admin::Forget, 3, Access::kAdmin, "admin deny-script allow-stale"},
    {"failover", admin::Failover, -1, Access::kAdmin, "admin deny-script allow-stale"},
    {"refuse", admin::Refuse, -1, Access::kAdmin, "readonly fast allow-loading allow-stale"},
    {"refuse-replica", admin::Refuse, -1, Access::kAdmin, "readonly fast allow-loading allow-stale no-auth"},
});

// Clients wait while the server loads its AOF.  A command that comes meanwhile is replayed from the AOF, or is called
// by a replayed command.
Reply Replayed(const Call& call) {
  static bool said = false;
  const std::string text = "NATIVEDATA the server's AOF holds a command of another module, which calls " +
                           std::string(call.name()) + ": it is not carried out again, for its effect is in the pool";
  if (!std::exchange(said, true)) Log(LogLevel::kWarning, text);
  return Reply::Error(text);
}

// Handles a command from its arrival to its reply.
template <std::size_t kIndex>
int Adapter(RedisModuleCtx* ctx, RedisModuleString** argv, int argc) {
  constexpr const Command& command = kTable[kIndex];
  if (command.find_keys != nullptr && RedisModule_IsKeysPositionRequest(ctx) != 0) {  // there is no client
    command.find_keys(Call(ctx, argv, argc, command.name, DbId{0}));
    return REDISMODULE_OK;
  }
  if (command.channel != 0 && RedisModule_IsChannelsPositionRequest(ctx) != 0) {
    RedisModule_ChannelAtPosWithFlags(ctx, command.channel, REDISMODULE_CMD_CHANNEL_PUBLISH);
    return REDISMODULE_OK;
  }
  Call call(ctx, argv, argc, command.name);
  if constexpr (command.access == Access::kAdmin || command.access == Access::kServer) {
    return command.run(call).SendTo(ctx);
  } else {
    if (TheState().loading) return Replayed(call).SendTo(ctx);
    TheState().last_db = call.db();
    if constexpr (command.keys.first > 0) call.FetchFirst(command.keys.first_key());
    return TheState().gate.Pass<command.access == Access::kWrite, command.run>(call);
  }
}

using RedisHandler = int (*)(RedisModuleCtx*, RedisModuleString**, int);

template <std::size_t... kIndex>
constexpr std::array<RedisHandler, sizeof...(kIndex)> Adapters(std::index_sequence<kIndex...>) {
  return {Adapter<kIndex>...};
}
constexpr auto kAdapters = Adapters(std::make_index_sequence<kTable.size()>());

RedisModuleCommandKeySpec Describe(const KeyRange& keys) {
  RedisModuleCommandKeySpec spec = {};
  spec.flags = keys.flags;
  spec.begin_search_type = REDISMODULE_KSPEC_BS_INDEX;
  spec.bs.index.pos = keys.first;
  if (keys.counted) {
    spec.find_keys_type = REDISMODULE_KSPEC_FK_KEYNUM;
    spec.fk.keynum.keynumidx = 0;
    spec.fk.keynum.firstkey = 1;
    spec.fk.keynum.keystep = 1;
    return spec;
  }
  spec.find_keys_type = REDISMODULE_KSPEC_FK_RANGE;
  spec.fk.range.lastkey = keys.last < 0 ? keys.last : keys.last - keys.first;
  spec.fk.range.keystep = keys.step;
  return spec;
}

// ACLs and cluster redirects use these descriptions, so that the rights are the same as for the built-in command.
void DescribeKeys(RedisModuleCommand* created, const Command& command) {
  RedisModuleCommandKeySpec specs[3] = {};
  if (command.keys.first > 0) specs[0] = Describe(command.keys);
  const bool varies = (command.keys.flags & REDISMODULE_CMD_KEY_VARIABLE_FLAGS) != 0;
  if (command.find_keys != nullptr && !varies) specs[0].flags |= REDISMODULE_CMD_KEY_INCOMPLETE;  // then Redis asks
  if (command.more_keys.first > 0) specs[1] = Describe(command.more_keys);
  RedisModuleCommandInfo info = {};
  info.version = REDISMODULE_COMMAND_INFO_VERSION;
  info.arity = command.arity;
  info.key_specs = command.keys.first > 0 ? specs : nullptr;
  RedisModule_SetCommandInfo(created, &info);
}

// Gives a command the ACL categories of the built-in command.  Before 7.2 a module's command cannot have any.
class Categories {
 public:
  Categories() { RedisModule_GetApi("RedisModule_SetCommandACLCategories", reinterpret_cast<void*>(&set_)); }
  void Give(RedisModuleCtx* ctx, RedisModuleCommand* created, const Command& command) const {
    if (set_ == nullptr || command.access == Access::kAdmin) return;
    const std::string name(command.name);
    RedisModuleCallReply* reply = CallServer(ctx, "COMMAND", "cc", "INFO", name.c_str());
    if (reply == nullptr) return;
    RedisModuleCallReply* entry = RedisModule_CallReplyArrayElement(reply, 0);
    RedisModuleCallReply* list = entry == nullptr || RedisModule_CallReplyType(entry) != REDISMODULE_REPLY_ARRAY
                                     ? nullptr
                                     : RedisModule_CallReplyArrayElement(entry, kPlaceInInfo);
    std::string names;
    for (size_t i = 0; list != nullptr && i < RedisModule_CallReplyLength(list); ++i) {
      const std::string_view category = TextOf(RedisModule_CallReplyArrayElement(list, i));
      names.append(names.empty() ? "" : " ").append(category.substr(1));  // without the '@'
    }
    if (!names.empty()) set_(created, names.c_str());
    RedisModule_FreeCallReply(reply);
  }

 private:
  static constexpr size_t kPlaceInInfo = 6;
  int (*set_)(RedisModuleCommand*, const char*) = nullptr;
};

// From Redis 7.2 on, a command that waits may be called in a script, where it does not wait.
std::string FlagsOf(const Command& command) {
  constexpr std::string_view kNoScript = "deny-script ";
  std::string flags = command.flags;
  const auto at = flags.find(kNoScript);
  const bool waits = flags.find("blocking") != std::string::npos;
  if (waits && at != std::string::npos && !ServerIsBefore(7, 2)) flags.erase(at, kNoScript.size());
  return flags;
}

}  // namespace

std::span<const Command> Commands() { return kTable; }

std::string ModuleName(const Command& command) {
  std::string name = "faha." + std::string(command.name);
  std::replace(name.begin(), name.end(), '|', '.');
  return name;
}

bool CreateCommands(RedisModuleCtx* ctx) {
  const Categories categories;
  for (std::size_t i = 0; i < kTable.size(); ++i) {
    const Command& command = kTable[i];
    const std::string name = ModuleName(command);
    const KeyRange range = command.keys.counted ? KeyRange{} : command.keys;
    if (RedisModule_CreateCommand(ctx, name.c_str(), kAdapters[i], FlagsOf(command).c_str(), range.first, range.last,
                                  range.step) != REDISMODULE_OK) {
      Log(LogLevel::kWarning, "BADCONFIG the server refuses the command " + name +
                                  ": is FaHA loaded twice, or is that the new name of another one (rename-command)?");
      return false;
    }
    RedisModuleCommand* created = RedisModule_GetCommand(ctx, name.c_str());
    DescribeKeys(created, command);
    categories.Give(ctx, created, command);
  }
  return true;
}

}  // namespace faha::module
