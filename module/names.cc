#include "module/names.h"

#include <array>
#include <map>

namespace faha::module {
namespace {

// FaHA calls these commands before any client could show their new names.  It uses the first one (COMMAND) to look up
// the others.
constexpr std::array kNeeded = {"command", "acl", "client", "config", "replicaof"};

std::map<std::string, std::string, std::less<>>& Aliases() {
  static std::map<std::string, std::string, std::less<>> aliases;
  return aliases;
}

}  // namespace

ServersCommand Lookup(RedisModuleCtx* ctx, std::string_view name) {
  RedisModuleCallReply* reply = CallServer(ctx, "COMMAND", "cb", "INFO", name.data(), name.size());
  RedisModuleCallReply* entry = reply == nullptr ? nullptr : RedisModule_CallReplyArrayElement(reply, 0);
  ServersCommand found;
  if (entry != nullptr && RedisModule_CallReplyType(entry) == REDISMODULE_REPLY_ARRAY) {
    found.built_in = TextOf(RedisModule_CallReplyArrayElement(entry, 0));
    found.arity = RedisModule_CallReplyInteger(RedisModule_CallReplyArrayElement(entry, 1));
  }
  if (reply != nullptr) RedisModule_FreeCallReply(reply);
  return found;
}

void RememberAlias(std::string_view name, std::string_view alias) { Aliases()[std::string(name)] = alias; }

std::string ServersName(std::string_view name) {
  const auto found = Aliases().find(name);
  return found == Aliases().end() ? std::string(name) : found->second;
}

Status CheckNames(RedisModuleCtx* ctx) {
  for (const char* name : kNeeded) {
    if (BuiltInName(ctx, name) == name) continue;
    return {
        Code::kBadConfig,
        std::string("FaHA calls the command ") + name +
            ", which rename-command has taken away: remove that line, and take the command from users by ACL rules"};
  }
  return Status::Ok();
}

}  // namespace faha::module
