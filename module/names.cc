#include "module/names.h"

#include <algorithm>
#include <array>
#include <cerrno>
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

// By name in lower case.  A client's name that the server does not know is not kept, for there is no end of these; one
// with a bar is not looked up for a client at all (filter.cc).
std::map<std::string, ServersCommand, std::less<>>& Lookups() {
  static std::map<std::string, ServersCommand, std::less<>> lookups;
  return lookups;
}

// Does the server know that name?  Asks without a call.
bool IsKnown(RedisModuleCtx* ctx, std::string_view name) {
  const std::size_t bar = std::min(name.find('|'), name.size());
  const std::string_view sub = name.substr(std::min(bar + 1, name.size()));
  RedisModuleString* words[] = {RedisModule_CreateString(nullptr, name.data(), bar),
                                RedisModule_CreateString(nullptr, sub.data(), sub.size())};
  int keys = 0;
  errno = 0;
  int* places = RedisModule_GetCommandKeys(ctx, words, bar < name.size() ? 2 : 1, &keys);
  const bool known = places != nullptr || errno != ENOENT;
  if (places != nullptr) RedisModule_Free(places);
  for (RedisModuleString* word : words) RedisModule_FreeString(nullptr, word);
  return known;
}

ServersCommand Ask(RedisModuleCtx* ctx, std::string_view name) {
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

}  // namespace

ServersCommand Lookup(RedisModuleCtx* ctx, std::string_view name) {
  const std::string lower = InLowerCase(std::string(name));
  const auto before = Lookups().find(lower);
  if (before != Lookups().end()) return before->second;
  if (!IsKnown(ctx, name)) return {};
  return Lookups()[lower] = Ask(ctx, name);
}

void ForgetLookups() { Lookups().clear(); }

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
