#include "module/functions.h"

#include <cstring>
#include <string>

#include "module/commands.h"
#include "module/names.h"
#include "module/scratch.h"
#include "module/state.h"

namespace faha::module {
namespace {

constexpr std::string_view kKey = "libraries";

// The record consists of a number that no other version of the libraries has, followed by FUNCTION DUMP's answer.
using Version = std::uint64_t;
constexpr std::size_t kHead = sizeof(Version);
Version aligned = 0;  // the version that the server has; 0: no version from the log
bool adopts = true;   // the server may have libraries of its own that the log does not hold

std::optional<std::string_view> InLog() {
  const auto entry = TheState().store->Get(kHiddenDb, kKey);
  if (!entry || entry->value.size() < kHead) return std::nullopt;
  return entry->value;
}

Version VersionOf(std::string_view written) {
  Version version = 0;
  std::memcpy(&version, written.data(), kHead);
  return version;
}

// Gives the server exactly the libraries that are written in the log; if none are written, removes all its libraries.
bool TakeFrom(RedisModuleCtx* ctx, std::optional<std::string_view> written) {
  if (!written) return Run(ctx, ServersName("function").c_str(), "FLUSH");
  const std::string_view dump = written->substr(kHead);
  const NativeReply reply(
      CallServer(ctx, ServersName("function").c_str(), "Ecbc", "RESTORE", dump.data(), dump.size(), "FLUSH"),
      RedisModule_FreeCallReply);
  return reply != nullptr && !IsError(reply);
}

Status Write(RedisModuleCtx* ctx) {
  const NativeReply reply(CallServer(ctx, ServersName("function").c_str(), "Ec", "DUMP"), RedisModule_FreeCallReply);
  const std::string_view dump = TextOf(reply.get());
  if (dump.data() == nullptr) return {Code::kUnavailable, "the server does not dump its functions: see its log"};
  Version version = 0;
  while (version == 0 || version == aligned)
    RedisModule_GetRandomBytes(reinterpret_cast<unsigned char*>(&version), sizeof version);
  std::string value(kHead, '\0');
  std::memcpy(value.data(), &version, kHead);
  value.append(dump);
  Store& store = *TheState().store;
  if (kKey.size() + value.size() > store.MaxRecordBytes()) {
    return {Code::kTooLarge, "all functions together, of " + std::to_string(dump.size()) +
                                 " bytes, must be smaller than a segment: have fewer, or a larger faha.segment-bytes"};
  }
  if (Status status = store.CheckWrite(kKey.size() + value.size(), 1); !status.ok()) return status;
  if (Status status = store.Put(kHiddenDb, kKey, {value}); !status.ok()) return status;
  aligned = version;
  return Status::Ok();
}

// Writes to the log the libraries that the server had before FaHA came: a dump without keys may contain libraries.
void Adopt(RedisModuleCtx* ctx) {
  const NativeReply list(CallServer(ctx, ServersName("function").c_str(), "Ec", "LIST"), RedisModule_FreeCallReply);
  if (list == nullptr || IsError(list) || RedisModule_CallReplyLength(list.get()) == 0) return;
  const Status status = Write(ctx);
  Log(LogLevel::kNotice, status.ok() ? "the functions that the server had are in the log now"
                                     : "the functions that the server had are not in the log: " + status.ToString());
}

}  // namespace

void AlignFunctions(RedisModuleCtx* ctx) {
  if ((RedisModule_GetContextFlags(ctx) & REDISMODULE_CTX_FLAGS_LOADING) != 0 || AScriptRuns()) return;
  const auto written = InLog();
  const Version version = written ? VersionOf(*written) : 0;
  if (version == 0 && aligned == 0 && adopts && TheState().store->Serving()) {
    adopts = false;
    Adopt(ctx);
    return;
  }
  if (version == aligned) return;
  static bool complained = false;
  const bool taken = TakeFrom(ctx, written);
  if (taken) aligned = version;
  // If FUNCTION was renamed, FaHA learns its new name only once a client has used that name.
  if (std::exchange(complained, !taken) == taken) return;
  if (!taken)
    Log(LogLevel::kWarning, "UNAVAILABLE the server refuses the functions that the log holds: it is tried again");
}

std::string_view FunctionsInDump(std::string_view key, std::string_view value) {
  constexpr std::size_t kFoot = 2 + 8;  // FUNCTION DUMP's answer is the entries, the dump version and a checksum
  if (key != kKey || value.size() < kHead + kFoot) return {};
  return value.substr(kHead, value.size() - kHead - kFoot);
}

void FunctionsWereLoaded() {
  aligned = 0;
  adopts = true;
}

namespace functions {

// FUNCTION LOAD, DELETE, FLUSH and RESTORE.
Reply Change(Call& call) {
  AlignFunctions(call.ctx());
  const NativeReply native = RunNative(call, "function");
  if (IsError(native)) return Reply::Native(native);
  const Status status = Write(call.ctx());
  if (status.ok()) return Reply::Native(native);
  // The change is not in the log, so the server must not keep it either.
  if (!TakeFrom(call.ctx(), InLog())) aligned = 0;
  return Reply::Error(status);
}

}  // namespace functions
}  // namespace faha::module
