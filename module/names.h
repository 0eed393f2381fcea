// The names that the server has for its commands: rename-command gives a command another name, or none.  Redis does not
// list these renames, but it tells which command it runs for a given name.  Thread: main loop only.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "faha/status.h"
#include "module/redis_api.h"

namespace faha::module {

// A command that the server has.
struct ServersCommand {
  std::string built_in;    // the built-in name in lower case; empty: there is none
  std::int64_t arity = 0;  // number of words including the name; if negative, the minimum
};
// The command that the server runs for `name`.  `name` may consist of a command and its subcommand: "object|freq".
// The server is called once for each name that it knows, for MONITOR and SLOWLOG show such calls.
ServersCommand Lookup(RedisModuleCtx* ctx, std::string_view name);

// The built-in name of the command that the server runs for `name`, lower case; empty if it runs none.
inline std::string BuiltInName(RedisModuleCtx* ctx, std::string_view name) { return Lookup(ctx, name).built_in; }

// Remembers that the server runs the built-in command `name` under the name `alias`.
void RememberAlias(std::string_view name, std::string_view alias);

// The name under which the server knows the built-in command `name`: the remembered alias, or `name` itself.
std::string ServersName(std::string_view name);

// Another module's commands have come or gone.
void ForgetLookups();

// Errors: BadConfig - a command that FaHA itself calls was renamed or removed.
Status CheckNames(RedisModuleCtx* ctx);

}  // namespace faha::module
