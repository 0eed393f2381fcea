// Redis' module API, from the distribution's source package, with our compiler warnings turned off.
#pragma once

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wunused-parameter"
#include <redismodule.h>
#pragma GCC diagnostic pop

#include <string>
#include <string_view>
#include <type_traits>

namespace faha::module {

inline std::string_view View(const RedisModuleString* string) {
  size_t size = 0;
  const char* data = RedisModule_StringPtrLen(string, &size);
  return {data, size};
}

// The bytes of a reply that is a string, valid as long as the reply lives; empty if there is no reply or it is not a
// string.
inline std::string_view TextOf(RedisModuleCallReply* reply) {
  size_t size = 0;
  const char* text = reply == nullptr ? nullptr : RedisModule_CallReplyStringPtr(reply, &size);
  return text == nullptr ? std::string_view{} : std::string_view{text, size};
}

// Converts to lower case independently of the locale.
constexpr char LowerCase(char c) { return static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c); }
inline std::string InLowerCase(std::string text) {
  for (char& c : text) c = LowerCase(c);
  return text;
}

// Valkey's version numbers continue after Redis' 7.2.
inline bool ServerIsBefore(int major, int minor) { return RedisModule_GetServerVersion() < (major << 16 | minor << 8); }

// The next command that the filter sees is a call by FaHA itself.
inline bool own_call = false;

// Calls RM_Call.  The filter passes this one command unchanged, but not the commands that other modules call because of
// it.
template <typename... Arg>
RedisModuleCallReply* CallServer(RedisModuleCtx* ctx, const char* command, const char* format, Arg... args) {
  own_call = true;
  RedisModuleCallReply* reply = RedisModule_Call(ctx, command, format, args...);
  own_call = false;
  return reply;
}

// Runs a native command with C strings as arguments and ignores its reply; returns true if it did not fail.
template <typename... Arg>
bool Run(RedisModuleCtx* ctx, const char* command, Arg... args) {
  static_assert((std::is_same_v<Arg, const char*> && ...), "only C strings");
  const std::string format(sizeof...(args), 'c');
  RedisModuleCallReply* reply = CallServer(ctx, command, format.c_str(), args...);
  const bool ok = reply != nullptr && RedisModule_CallReplyType(reply) != REDISMODULE_REPLY_ERROR;
  if (reply != nullptr) RedisModule_FreeCallReply(reply);
  return ok;
}

// The value of a native config; empty if there is none.
std::string ConfigValue(RedisModuleCtx* ctx, const char* name);

}  // namespace faha::module
