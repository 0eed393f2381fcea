#include "module/filter.h"

#include <algorithm>
#include <array>
#include <string>
#include <unordered_map>

#include "module/commands.h"
#include "module/commit.h"
#include "module/roles.h"
#include "module/sentinels.h"
#include "module/shutdown.h"
#include "module/state.h"
#include "module/waiters.h"
#include "module/watch.h"

namespace faha::module {
namespace {

enum class Action : std::uint8_t { kPass, kServe, kRefuse, kScript, kExec, kYield, kWatch, kPublish, kContainer };

struct Rule {
  Action action = Action::kPass;
  RedisModuleString* replacement = nullptr;  // kServe: "faha.<name>", for the life of the server
  int arity = 0;                             // kServe
  int first_key = 0;                         // kServe: the argument that is one, or 0
  const char* family = "";                   // kRefuse
};

// FNV-1a (Fowler, Noll, Vo), in line: every command's name is looked up, and most have few letters.
struct Hash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const {
    std::uint64_t hash = 0xcbf29ce484222325;
    for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
    return hash;
  }
};
using Rules = std::unordered_map<std::string, Rule, Hash, std::equal_to<>>;

struct Filter {
  Rules rules;  // by name; a subcommand by "container|sub"
  RedisModuleString* refuse = nullptr;
  RedisModuleString* replicaof = nullptr;
};
Filter& TheFilter() {
  static Filter filter;
  return filter;
}

// They name keys, or channels in a key's place, but leave the keyspace to other commands.
constexpr std::array<std::string_view, 4> kHarmless = {"spublish", "ssubscribe", "sunsubscribe", "wait"};
constexpr std::array<std::string_view, 7> kScripts = {"eval",  "evalsha",  "eval_ro", "evalsha_ro",
                                                      "fcall", "fcall_ro", "function"};
// They may run the event loop inside themselves, or end it.
constexpr std::array<std::string_view, 6> kYielding = {"debug",     "script",  "shutdown",
                                                       "replicaof", "slaveof", "failover"};
// DEBUG's subcommands that look at the native keyspace or fill it.
constexpr std::array<std::string_view, 12> kDebugRefused = {"object",   "populate", "digest",    "digest-value",
                                                            "reload",   "loadaof",  "sdslen",    "ziplist",
                                                            "listpack", "flushall", "quicklist", "htstats-key"};

constexpr std::pair<std::string_view, const char*> kFamilies[] = {
    {"@list", "lists"},     {"@hash", "hashes"},  {"@sortedset", "sorted sets"},   {"@set", "sets"},
    {"@stream", "streams"}, {"@geo", "geo sets"}, {"@hyperloglog", "HyperLogLogs"}};

template <typename Names>
bool Contains(const Names& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

std::string_view Text(RedisModuleCallReply* reply) {
  size_t size = 0;
  const char* text = reply == nullptr ? nullptr : RedisModule_CallReplyStringPtr(reply, &size);
  return text == nullptr ? std::string_view{} : std::string_view{text, size};
}

// Lower-cases `name` into `buffer`; empty if it is longer than any command.
using Buffer = std::array<char, 64>;
std::string_view Lower(std::string_view name, Buffer& buffer, std::size_t at = 0) {
  if (at + name.size() > buffer.size()) return {};
  for (std::size_t i = 0; i < name.size(); ++i) buffer[at + i] = LowerCase(name[i]);
  return {buffer.data(), at + name.size()};
}

// One entry of COMMAND's reply: name, arity, flags, first key, last key, step, ACL categories, tips, key specs,
// subcommands.
class Described {
 public:
  explicit Described(RedisModuleCallReply* entry) : entry_(entry) {}
  [[nodiscard]] std::string_view name() const { return Text(RedisModule_CallReplyArrayElement(entry_, 0)); }
  [[nodiscard]] bool HasFlag(std::string_view flag) const { return ListHas(2, flag); }
  [[nodiscard]] bool HasCategory(std::string_view category) const { return ListHas(6, category); }
  [[nodiscard]] bool TouchesKeys() const {
    RedisModuleCallReply* first = RedisModule_CallReplyArrayElement(entry_, 3);
    return (first != nullptr && RedisModule_CallReplyInteger(first) != 0) || HasFlag("movablekeys") ||
           HasCategory("@keyspace");
  }
  template <typename Visit>
  void ForEachSubcommand(Visit visit) const {
    RedisModuleCallReply* subs = RedisModule_CallReplyArrayElement(entry_, 9);
    if (subs == nullptr || RedisModule_CallReplyType(subs) != REDISMODULE_REPLY_ARRAY) return;
    for (size_t i = 0; i < RedisModule_CallReplyLength(subs); ++i) {
      visit(Described(RedisModule_CallReplyArrayElement(subs, i)));
    }
  }
  [[nodiscard]] const char* Family() const {
    for (const auto& [category, family] : kFamilies) {
      if (HasCategory(category)) return family;
    }
    return "keys of every type";
  }

 private:
  [[nodiscard]] bool ListHas(size_t index, std::string_view wanted) const {
    RedisModuleCallReply* list = RedisModule_CallReplyArrayElement(entry_, index);
    if (list == nullptr) return false;
    for (size_t i = 0; i < RedisModule_CallReplyLength(list); ++i) {
      if (Text(RedisModule_CallReplyArrayElement(list, i)) == wanted) return true;
    }
    return false;
  }
  RedisModuleCallReply* entry_;
};

Rule RuleFor(const Described& command, std::string_view name) {
  if (name == "exec") return {.action = Action::kExec};
  if (name == "watch") return {.action = Action::kWatch};
  if (name == "publish") return {.action = Action::kPublish};
  if (Contains(kScripts, name)) return {.action = Action::kScript};
  if (Contains(kYielding, name)) return {.action = Action::kYield};
  if (Contains(kHarmless, name)) return {};
  if (command.TouchesKeys()) return {.action = Action::kRefuse, .family = command.Family()};
  if (command.HasFlag("module")) return {.action = Action::kYield};
  return {};
}

void AddRules(RedisModuleCtx* ctx) {
  Rules& rules = TheFilter().rules;
  RedisModuleCallReply* table = RedisModule_Call(ctx, "COMMAND", "");
  for (size_t i = 0; table != nullptr && i < RedisModule_CallReplyLength(table); ++i) {
    const Described command(RedisModule_CallReplyArrayElement(table, i));
    const std::string name(command.name());
    if (name.starts_with("faha.") || rules.contains(name)) continue;
    Rule rule = RuleFor(command, name);
    // A container's own entry is judged by its subcommands.
    bool container = false;
    command.ForEachSubcommand([&](const Described& sub) {
      if (!sub.TouchesKeys() || sub.name().ends_with("|help")) return;
      container = true;
      rule.family = sub.Family();
      rules[std::string(sub.name())] = {.action = Action::kRefuse, .family = sub.Family()};
    });
    if (container && rule.action != Action::kScript) rule.action = Action::kContainer;
    if (rule.action != Action::kPass) rules[name] = rule;
  }
  if (table != nullptr) RedisModule_FreeCallReply(table);
  for (const std::string_view sub : kDebugRefused) {
    rules.try_emplace("debug|" + std::string(sub), Rule{.action = Action::kRefuse, .family = "keys of every type"});
  }
}

// DEBUG is for servers that allow it to everybody.
void ServeOurs(RedisModuleCtx* ctx) {
  const bool debug = ConfigValue(ctx, "enable-debug-command") == "yes";
  for (const Command& command : Commands()) {
    if (command.access == Access::kAdmin || (command.name.starts_with("debug|") && !debug)) continue;
    const std::string ours = ModuleName(command);
    TheFilter().rules[std::string(command.name)] = {
        .action = Action::kServe,
        .replacement = RedisModule_CreateString(nullptr, ours.data(), ours.size()),
        .arity = command.arity,
        .first_key = command.keys.first};
  }
}

// The command runs in a moment: until then Redis looks it up and checks rights, and memory need not be waited for.  The
// filter is not told of the database, and a wrong guess costs no more than not to guess.
void Announce(std::string_view key) { TheState().store->Announce(TheState().last_db, key); }

// With a wrong number of arguments the built-in command stays: Redis refuses it in its own words and aborts a
// transaction with it, and it never runs.
void Serve(RedisModuleCommandFilterCtx* filter, const Rule& rule) {
  const int argc = RedisModule_CommandFilterArgsCount(filter);
  if (rule.arity >= 0 ? argc != rule.arity : argc < -rule.arity) return;
  if (rule.first_key != 0 && rule.first_key < argc)
    Announce(View(RedisModule_CommandFilterArgGet(filter, rule.first_key)));
  RedisModule_RetainString(nullptr, rule.replacement);
  RedisModule_CommandFilterArgReplace(filter, 0, rule.replacement);
}

// The refused command and its arguments stay behind the new name: its answer names it.
void Refuse(RedisModuleCommandFilterCtx* filter) {
  RedisModule_RetainString(nullptr, TheFilter().refuse);
  RedisModule_CommandFilterArgInsert(filter, 0, TheFilter().refuse);
}

void PrecommitOrRefuse(RedisModuleCommandFilterCtx* filter) {
  EndUnit();
  if (!Precommit().ok()) Refuse(filter);
}

// Commands whose effect FaHA has to know of before Redis runs them.
void Foresee(RedisModuleCommandFilterCtx* filter, std::string_view name) {
  const auto is = [&](int i, std::string_view word) {
    Buffer buffer;
    return i < RedisModule_CommandFilterArgsCount(filter) &&
           Lower(View(RedisModule_CommandFilterArgGet(filter, i)), buffer) == word;
  };
  if (name == "shutdown" && is(1, "abort")) ForgetSignal();
  // To become a replica; in a transaction this is before its EXEC, which does no harm.
  if ((name == "replicaof" || name == "slaveof") && !is(1, "no")) InterruptWaiters(TheState().context);
}

// Whom REPLICAOF names is asked by FaHA before Redis replicates from there.  Redis refuses what is malformed.
void AskBeforeReplicating(RedisModuleCommandFilterCtx* filter) {
  if (RedisModule_CommandFilterArgsCount(filter) != 3) return;
  const auto primary =
      PrimaryOf(View(RedisModule_CommandFilterArgGet(filter, 1)), View(RedisModule_CommandFilterArgGet(filter, 2)));
  if (!primary || !TheRoles().AsksFirst(*primary)) return;
  RedisModule_RetainString(nullptr, TheFilter().replicaof);
  RedisModule_CommandFilterArgReplace(filter, 0, TheFilter().replicaof);
}

void RememberAll(RedisModuleCommandFilterCtx* filter) {
  const int count = RedisModule_CommandFilterArgsCount(filter);
  for (int i = 1; i < count; ++i) RememberWatched(View(RedisModule_CommandFilterArgGet(filter, i)));
}

// Sentinels publish who they are on every node that they watch.
void Overhear(RedisModuleCommandFilterCtx* filter) {
  if (RedisModule_CommandFilterArgsCount(filter) != 3) return;
  if (View(RedisModule_CommandFilterArgGet(filter, 1)) != Sentinels::kChannel) return;
  TheSentinels().OnHello(View(RedisModule_CommandFilterArgGet(filter, 2)));
}

// The rule of a container's subcommand, or of DEBUG's, which has none in COMMAND.
const Rule* RuleOfSubcommand(RedisModuleCommandFilterCtx* filter, std::string_view name, Buffer& buffer) {
  if (RedisModule_CommandFilterArgsCount(filter) < 2 || name.size() == buffer.size()) return nullptr;
  buffer[name.size()] = '|';
  const std::string_view full = Lower(View(RedisModule_CommandFilterArgGet(filter, 1)), buffer, name.size() + 1);
  const auto rule = TheFilter().rules.find(full);
  return rule == TheFilter().rules.end() ? nullptr : &rule->second;
}

void OnCommand(RedisModuleCommandFilterCtx* filter) {
  Buffer buffer;
  const std::string_view name = Lower(View(RedisModule_CommandFilterArgGet(filter, 0)), buffer);
  const auto found = TheFilter().rules.find(name);
  if (found == TheFilter().rules.end()) return;
  const Rule& rule = found->second;
  switch (rule.action) {
    case Action::kServe: Serve(filter, rule); break;
    case Action::kRefuse: Refuse(filter); break;
    case Action::kWatch: RememberAll(filter); break;
    case Action::kPublish: Overhear(filter); break;
    case Action::kExec:
      EndUnit();
      ExpireWatched();
      if (TheState().scripts_seen && !Precommit().ok()) Refuse(filter);
      break;
    case Action::kScript:
      TheState().scripts_seen = true;
      PrecommitOrRefuse(filter);
      break;
    case Action::kYield:
    case Action::kContainer: {
      const Rule* sub = RuleOfSubcommand(filter, name, buffer);
      if (sub != nullptr && sub->action == Action::kServe) {
        Serve(filter, *sub);
      } else if (sub != nullptr && sub->action == Action::kRefuse) {
        Refuse(filter);
      } else if (rule.action == Action::kYield) {
        Foresee(filter, name);
        if (name == "replicaof" || name == "slaveof") AskBeforeReplicating(filter);
        PrecommitOrRefuse(filter);
      }
      break;
    }
    case Action::kPass: break;
  }
}

void OnModuleChange(RedisModuleCtx* ctx, RedisModuleEvent, uint64_t, void*) { AddRules(ctx); }

}  // namespace

const char* FamilyOf(std::string_view name) {
  const auto rule = TheFilter().rules.find(name);
  return rule == TheFilter().rules.end() || rule->second.family[0] == '\0' ? "keys of every type" : rule->second.family;
}

bool StartFiltering(RedisModuleCtx* ctx) {
  TheFilter().refuse = RedisModule_CreateString(nullptr, "faha.refuse", sizeof "faha.refuse" - 1);
  TheFilter().replicaof = RedisModule_CreateString(nullptr, "faha.replicaof", sizeof "faha.replicaof" - 1);
  StartWatching(ctx);
  AddRules(ctx);
  ServeOurs(ctx);
  return RedisModule_RegisterCommandFilter(ctx, OnCommand, REDISMODULE_CMDFILTER_NOSELF) != nullptr &&
         RedisModule_SubscribeToServerEvent(ctx, RedisModuleEvent_ModuleChange, OnModuleChange) == REDISMODULE_OK;
}

}  // namespace faha::module
