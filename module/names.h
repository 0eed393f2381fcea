// What the server calls its commands: rename-command gives a command another name, or none.  Redis tells nobody which,
// but says what it runs for a name that is asked for.  Thread: main loop only.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "faha/status.h"
#include "module/redis_api.h"

namespace faha::module {

// A command as the server has it.
struct ServersCommand {
  std::string built_in;    // its built-in name, lower case; empty: there is none
  std::int64_t arity = 0;  // of its words, the name among them: as many, or, if negative, as many at least
};
// What the server runs for `name`, which may be one of a command and its subcommand: "object|freq".
ServersCommand Lookup(RedisModuleCtx* ctx, std::string_view name);

// The built-in name of the command that the server runs for `name`, lower case; empty if it runs none.
inline std::string BuiltInName(RedisModuleCtx* ctx, std::string_view name) { return Lookup(ctx, name).built_in; }

// The server runs the built-in command `name` for `alias`.
void RememberAlias(std::string_view name, std::string_view alias);

// By what the server knows the built-in command `name`: the alias that was remembered, or its own name.
std::string ServersName(std::string_view name);

// Errors: BadConfig - a command that FaHA calls by itself has another name, or none.
Status CheckNames(RedisModuleCtx* ctx);

}  // namespace faha::module
