// DEBUG's subcommands that change something.  They are for tests and drills, where enable-debug-command allows them.
#include <algorithm>
#include <string>

#include "module/call.h"
#include "module/commands.h"
#include "module/gate.h"
#include "module/scratch.h"

namespace faha::module::debug {
namespace {

// This many keys are one unit, and are committed before more are written, because peers must hear from a primary in
// time.
constexpr std::uint64_t kKeysAtOnce = 1000;

std::optional<std::uint64_t> ParseCount(std::string_view text) {
  const auto number = ParseInteger(text);
  return number && *number >= 0 ? std::optional(static_cast<std::uint64_t>(*number)) : std::nullopt;
}

Status Commit(const Call& call) {
  // A transaction is one unit, so nothing is committed within it.
  if ((RedisModule_GetContextFlags(call.ctx()) & REDISMODULE_CTX_FLAGS_MULTI) != 0) return Status::Ok();
  EndUnit();
  return TheState().gate.CommitInside();
}

Status WriteNew(const Call& call, const std::string& key, const std::string& value) {
  Store& store = call.store();
  if (store.Get(call.db(), key)) return Status::Ok();
  if (Status status = store.CheckWrite(key.size() + value.size(), 1); !status.ok()) return status;
  if (Status status = store.Put(call.db(), key, {value}); !status.ok()) return status;
  RedisModuleString* name = RedisModule_CreateString(call.ctx(), key.data(), key.size());
  RedisModule_SignalModifiedKey(call.ctx(), name);
  RedisModule_FreeString(call.ctx(), name);
  return Status::Ok();
}

}  // namespace

// DEBUG POPULATE count [prefix] [size]: writes the keys prefix:0 to prefix:<count - 1>, except those that exist
// already.
Reply Populate(Call& call) {
  const auto count = ParseCount(call.arg(2));
  const auto size = call.size() > 4 ? ParseCount(call.arg(4)) : 0;
  if (!count || !size) return Reply::Error("ERR value is out of range, must be positive");
  if (call.size() > 5) return Call::SyntaxError();
  if (auto error = call.TooLong(*size)) return *std::move(error);
  const std::string prefix(call.size() > 3 ? call.arg(3) : "key");
  for (std::uint64_t i = 0; i < *count; ++i) {
    const std::string number = std::to_string(i);
    std::string value = "value:" + number;
    if (*size != 0) value.resize(*size, '\0');
    Status status = WriteNew(call, prefix + ":" + number, value);
    if (status.ok() && (i + 1) % kKeysAtOnce == 0) status = Commit(call);
    if (!status.ok()) return Reply::Error(status);
  }
  return Reply::Ok();
}

// DEBUG RELOAD: Redis writes its data set and reads it again.  Here it is enough to commit what was written.
Reply Reload(Call& call) {
  if (call.size() > 2) return Call::SyntaxError();
  return After(Commit(call), Reply::Ok());
}

// DEBUG SET-ACTIVE-EXPIRE 0|1
Reply SetActiveExpire(Call& call) {
  const auto on = ParseInteger(call.arg(2));
  TheState().active_expire = on && *on != 0;
  return Reply::Native(RunNative(call, "debug"));
}

}  // namespace faha::module::debug
