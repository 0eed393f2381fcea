#include "module/client_list.h"

#include <algorithm>
#include <vector>

#include "module/call.h"

namespace faha::module {

// The fields have the form `name=value`, with a space between them.  A value contains no space, because CLIENT SETNAME
// refuses it.
std::string_view ListedClient::Field(std::string_view name) const {
  for (std::string_view rest = line_; !rest.empty();) {
    const std::string_view field = rest.substr(0, rest.find(' '));
    rest.remove_prefix(std::min(rest.size(), field.size() + 1));
    if (field.size() > name.size() && field.starts_with(name) && field[name.size()] == '=')
      return field.substr(name.size() + 1);
  }
  return {};
}

namespace {

RedisModuleCallReply* List(RedisModuleCtx* ctx, std::span<const std::uint64_t> among) {
  if (among.empty()) return CallServer(ctx, "CLIENT", "c", "LIST");
  std::vector<RedisModuleString*> ids;
  ids.reserve(among.size());
  for (const std::uint64_t id : among)
    ids.push_back(RedisModule_CreateStringFromLongLong(nullptr, static_cast<long long>(id)));
  RedisModuleCallReply* reply = CallServer(ctx, "CLIENT", "ccv", "LIST", "ID", ids.data(), ids.size());
  for (RedisModuleString* id : ids) RedisModule_FreeString(nullptr, id);
  return reply;
}

}  // namespace

void ForEachClient(RedisModuleCtx* ctx, const std::function<void(const ListedClient&)>& visit,
                   std::span<const std::uint64_t> among) {
  RedisModuleCallReply* reply = List(ctx, among);
  for (std::string_view rest = TextOf(reply); !rest.empty();) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    visit(ListedClient(line));
  }
  if (reply != nullptr) RedisModule_FreeCallReply(reply);
}

void CloseClients(RedisModuleCtx* ctx,
                  const std::function<bool(const ListedClient& client, std::uint64_t id)>& chosen) {
  std::vector<std::uint64_t> clients;
  ForEachClient(ctx, [&](const ListedClient& client) {
    const auto number = ParseInteger(client.Field("id"));
    if (!number) return;
    const auto id = static_cast<std::uint64_t>(*number);
    if (chosen(client, id)) clients.push_back(id);
  });
  for (const std::uint64_t client : clients) RedisModule_DeauthenticateAndCloseClient(ctx, client);
}

}  // namespace faha::module
