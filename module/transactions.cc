#include "module/transactions.h"

#include "module/client_list.h"
#include "module/state.h"

namespace faha::module {
namespace {

bool seen = false;

// The API function that tells the client's id; the server has it from 7.2 on.
using ClientIdOf = unsigned long long (*)(RedisModuleCommandFilterCtx*);
ClientIdOf TheClientIdOf() {
  static const ClientIdOf function = [] {
    ClientIdOf found = nullptr;
    RedisModule_GetApi("RedisModule_CommandFilterGetClientId", reinterpret_cast<void*>(&found));
    return found;
  }();
  return function;
}

// Is there a client in MULTI whose command has been read and has not run?  The client whose command the filter looks at
// is in this state.
bool SomeoneQueues() {
  bool queues = false;
  seen = false;
  ForEachClient(TheState().context, [&](const ListedClient& client) {
    if (client.Field("multi") == "-1") return;
    seen = true;
    queues = queues || client.Field("argv-mem") != "0";
  });
  return queues;
}

}  // namespace

void MultiIsSeen() { seen = true; }

bool IsQueued(RedisModuleCommandFilterCtx* filter) {
  // A script's commands are not queued; the script sees the error as an error.
  if ((RedisModule_GetContextFlags(nullptr) & REDISMODULE_CTX_FLAGS_LUA) != 0) return false;
  if (TheClientIdOf() == nullptr) return seen && SomeoneQueues();
  RedisModuleClientInfoV1 info = REDISMODULE_CLIENTINFO_INITIALIZER_V1;
  return RedisModule_GetClientInfoById(&info, TheClientIdOf()(filter)) == REDISMODULE_OK &&
         (info.flags & REDISMODULE_CLIENTINFO_FLAG_MULTI) != 0;
}

}  // namespace faha::module
