#include "module/shown_commands.h"

#include <charconv>
#include <cstdint>
#include <map>
#include <vector>

#include "module/commands.h"
#include "module/info_text.h"
#include "module/names.h"
#include "module/pairs.h"
#include "module/scratch.h"

namespace faha::module {
namespace {

constexpr std::string_view kPrefix = "faha.";

using Names = std::map<std::string, std::string_view, std::less<>>;
const Names& ByOurs() {
  static const Names names = [] {
    Names made;
    for (const Command& command : Commands()) {
      if (command.access != Access::kAdmin) made[ModuleName(command)] = command.name;
    }
    return made;
  }();
  return names;
}

// A line's "name:values".
using Line = std::pair<std::string, std::string>;

std::string::size_type FieldAt(std::string_view values, std::string_view field) {
  const std::size_t at = values.find(std::string(field) + "=");
  return at == std::string_view::npos ? at : at + field.size() + 1;
}

// Redis rejects a call that is not well-formed under its own name of the command, before the filter changes that name.
// So these rejected calls have to be added.
void AddRejected(std::string& values, std::string_view more) {
  constexpr std::string_view kField = "rejected_calls";
  const std::size_t at = FieldAt(values, kField), from = FieldAt(more, kField);
  if (at == std::string::npos || from == std::string::npos) return;
  std::uint64_t sum = 0, added = 0;
  const char* end = std::from_chars(values.data() + at, values.data() + values.size(), sum).ptr;
  std::from_chars(more.data() + from, more.data() + more.size(), added);
  values.replace(at, static_cast<std::size_t>(end - values.data()) - at, std::to_string(sum + added));
}

void TellSection(std::string& info, std::string_view title, std::string_view prefix) {
  const InfoPlace place = InfoSection(info, title);
  if (place.size == 0) return;
  std::vector<Line> lines;
  std::map<std::string, std::size_t, std::less<>> ours;  // by the shown name
  std::string_view rest = std::string_view(info).substr(place.begin, place.size);
  while (!rest.empty()) {
    const std::string_view line = rest.substr(0, rest.find("\r\n"));
    rest.remove_prefix(std::min(rest.size(), line.size() + 2));
    const std::size_t colon = line.find(':');
    if (!line.starts_with(prefix) || colon == std::string_view::npos) continue;
    const std::string_view name = line.substr(prefix.size(), colon - prefix.size());
    const std::string_view shown = ShownName(name);
    if (shown != name) ours[std::string(shown)] = lines.size();
    lines.emplace_back(shown, line.substr(colon));
  }
  std::string text;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const auto own = ours.find(lines[i].first);
    if (own != ours.end() && own->second != i) AddRejected(lines[own->second].second, lines[i].second);
  }
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const auto own = ours.find(lines[i].first);
    if (own == ours.end() || own->second == i)
      text.append(prefix).append(lines[i].first).append(lines[i].second).append("\r\n");
  }
  info.replace(place.begin, place.size, text);
}

// A line of CLIENT LIST.
std::string Shown(std::string line) {
  constexpr std::string_view kField = " cmd=";
  const std::size_t at = line.find(kField);
  if (at == std::string::npos) return line;
  const std::size_t begin = at + kField.size();
  const std::size_t size = std::min(line.find(' ', begin), line.size()) - begin;
  const std::string name(ShownName(std::string_view(line).substr(begin, size)));
  return line.replace(begin, size, name);
}

std::string ShownLines(std::string_view text) {
  std::string shown;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    shown += Shown(std::string(line)) + "\n";
  }
  return shown;
}

Reply Verbatim(Call& call, const std::string& text) {
  RedisModule_ReplyWithVerbatimStringType(call.ctx(), text.data(), text.size(), "txt");
  return Reply::Sent();
}

// The words of one entry of SLOWLOG.
void ReplyWords(RedisModuleCtx* ctx, RedisModuleCallReply* words) {
  const size_t count = RedisModule_CallReplyLength(words);
  RedisModule_ReplyWithArray(ctx, static_cast<long>(count));
  for (size_t i = 0; i < count; ++i) {
    std::string_view word = TextOf(RedisModule_CallReplyArrayElement(words, i));
    // The name of a subcommand follows as a separate word.
    if (i == 0) word = ShownName(word).substr(0, ShownName(word).find('|'));
    RedisModule_ReplyWithStringBuffer(ctx, word.data(), word.size());
  }
}

void Text(RedisModuleCtx* ctx, std::string_view text) {
  RedisModule_ReplyWithStringBuffer(ctx, text.data(), text.size());
}

// One entry of ACL LOG.
void ReplyDenial(RedisModuleCtx* ctx, RedisModuleCallReply* entry) {
  const Pairs fields(entry);
  fields.Begin(ctx, fields.all().size());
  for (const auto& [name, value] : fields.all()) {
    RedisModule_ReplyWithCallReply(ctx, name);
    if (TextOf(name) == "object" && TextOf(fields.Find("reason")) == "command") {
      Text(ctx, ShownName(TextOf(value)));
    } else if (TextOf(name) == "client-info") {
      Text(ctx, Shown(std::string(TextOf(value))));
    } else {
      RedisModule_ReplyWithCallReply(ctx, value);
    }
  }
}

}  // namespace

std::string_view ShownName(std::string_view name) {
  if (!name.starts_with(kPrefix)) return name;
  const auto found = ByOurs().find(name);
  return found == ByOurs().end() ? name : found->second;
}

void TellCommands(std::string& info) {
  TellSection(info, "# Commandstats\r\n", "cmdstat_");
  TellSection(info, "# Latencystats\r\n", "latency_percentiles_usec_");
}

namespace server {

Reply ListClients(Call& call) {
  const NativeReply reply = RunNative(call, "client", Protocol::kResp2);
  return IsError(reply) ? Reply::Native(reply) : Verbatim(call, ShownLines(TextOf(reply.get())));
}

// CLIENT INFO itself would describe the client with which the module calls Redis.
Reply ClientInfo(Call& call) {
  const std::string id = std::to_string(RedisModule_GetClientId(call.ctx()));
  const NativeReply reply(CallServer(call.ctx(), "CLIENT", "Eccc", "LIST", "ID", id.c_str()),
                          RedisModule_FreeCallReply);
  return IsError(reply) ? Reply::Native(reply) : Verbatim(call, ShownLines(TextOf(reply.get())));
}

// SLOWLOG GET: id, time, duration, words, address, name of the client.
Reply SlowLog(Call& call) {
  constexpr size_t kWords = 3;
  const NativeReply reply = RunNative(call, "slowlog");
  if (IsError(reply) || RedisModule_CallReplyType(reply.get()) != REDISMODULE_REPLY_ARRAY) return Reply::Native(reply);
  RedisModuleCtx* ctx = call.ctx();
  const size_t entries = RedisModule_CallReplyLength(reply.get());
  RedisModule_ReplyWithArray(ctx, static_cast<long>(entries));
  for (size_t i = 0; i < entries; ++i) {
    RedisModuleCallReply* entry = RedisModule_CallReplyArrayElement(reply.get(), i);
    const size_t fields = RedisModule_CallReplyLength(entry);
    RedisModule_ReplyWithArray(ctx, static_cast<long>(fields));
    for (size_t j = 0; j < fields; ++j) {
      RedisModuleCallReply* field = RedisModule_CallReplyArrayElement(entry, j);
      j == kWords ? ReplyWords(ctx, field) : (void)RedisModule_ReplyWithCallReply(ctx, field);
    }
  }
  return Reply::Sent();
}

// ACL LOG [count | RESET]
Reply AclLog(Call& call) {
  const NativeReply reply = RunNative(call, "acl");
  if (RedisModule_CallReplyType(reply.get()) != REDISMODULE_REPLY_ARRAY) return Reply::Native(reply);
  const size_t entries = RedisModule_CallReplyLength(reply.get());
  RedisModule_ReplyWithArray(call.ctx(), static_cast<long>(entries));
  for (size_t i = 0; i < entries; ++i) ReplyDenial(call.ctx(), RedisModule_CallReplyArrayElement(reply.get(), i));
  return Reply::Sent();
}

// LATENCY HISTOGRAM [command ...]
Reply LatencyHistogram(Call& call) {
  std::vector<std::string> names;
  for (int i = 2; i < call.size(); ++i) {
    const std::string name = InLowerCase(std::string(call.arg(i)));
    for (const auto& [ours, shown] : ByOurs()) {
      if (shown == name) names.push_back(ours);
    }
    names.push_back(std::move(name));
  }
  std::vector<RedisModuleString*> args;
  for (const std::string& name : names) args.push_back(RedisModule_CreateString(call.ctx(), name.data(), name.size()));
  const NativeReply reply(
      CallServer(call.ctx(), ServersName("latency").c_str(), "0Ecv", "HISTOGRAM", args.data(), args.size()),
      RedisModule_FreeCallReply);
  for (RedisModuleString* arg : args) RedisModule_FreeString(call.ctx(), arg);
  if (IsError(reply)) return Reply::Native(reply);
  const Pairs commands(reply.get());
  // If FaHA runs a native command for a command of its own, the client has called it only once.
  std::map<std::string_view, Pair> shown;
  for (const Pair& each : commands.all()) {
    const std::string_view name = TextOf(each.first);
    if (ShownName(name) != name) shown[ShownName(name)] = each;
  }
  for (const Pair& each : commands.all()) shown.try_emplace(ShownName(TextOf(each.first)), each);
  commands.Begin(call.ctx(), shown.size());
  for (const auto& [name, each] : shown) {
    Text(call.ctx(), name);
    RedisModule_ReplyWithCallReply(call.ctx(), each.second);
  }
  return Reply::Sent();
}

// CONFIG RESETSTAT
Reply ResetStatistics(Call& call) {
  State& state = TheState();
  state.hits = state.misses = 0;
  state.expired_before = state.expired_keys;
  return Reply::Native(RunNative(call, "config"));
}

}  // namespace server
}  // namespace faha::module
