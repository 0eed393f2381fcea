#include "module/filter.h"

#include <algorithm>
#include <array>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "module/commands.h"
#include "module/functions.h"
#include "module/gate.h"
#include "module/names.h"
#include "module/replicas.h"
#include "module/rights.h"
#include "module/sentinels.h"
#include "module/shutdown.h"
#include "module/snapshot.h"
#include "module/state.h"
#include "module/transactions.h"
#include "module/watch.h"

namespace faha::module {
namespace {

enum class Action : std::uint8_t {
  kPass,
  kServe,
  kRefuse,
  kScript,
  kMulti,
  kAlone,
  kExec,
  kYield,
  kWatch,
  kServeFor,
  kSync,
  kContainer,
  kOurs
};

struct Rule {
  Action action = Action::kPass;
  RedisModuleString* replacement = nullptr;  // kServe, kServeFor: "faha.<name>", for the life of the server
  int arity = 0;                             // kServe, kServeFor
  std::string_view only_for = {};            // kServeFor: the first argument
  int first_key = 0;                         // kServe: the argument that is the first key; 0: none
  std::string line = {};                     // kRefuse, kSync, kOurs, kAlone: the error to answer with
  std::string name = {};                     // the name of the built-in command
  bool has_subcommands = false;
  bool no_multi = false;  // Redis refuses to queue it
};

// FNV-1a (Fowler, Noll, Vo), inline, because the name of every command is looked up, and most names are short.
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
  Rules rules;        // key: the name that the server has for the command
  Rules built_in;     // key: the built-in name
  Rules subcommands;  // key: "container|sub"
  // The strings that the filter puts in the place of command names; they live as long as the server.
  std::unordered_set<const RedisModuleString*> names;
  RedisModuleString* refuse = nullptr;
  RedisModuleString* refuse_replica = nullptr;  // may also answer clients that have not authenticated
};
Filter& TheFilter() {
  static Filter filter;
  return filter;
}

// These commands name keys, or channels in the place of keys, but leave the keyspace to other commands.
constexpr std::array<std::string_view, 3> kHarmless = {"spublish", "ssubscribe", "sunsubscribe"};
constexpr std::array<std::string_view, 7> kScripts = {"eval",  "evalsha",  "eval_ro", "evalsha_ro",
                                                      "fcall", "fcall_ro", "function"};
// These commands may run the event loop inside themselves, or end it.
constexpr std::array<std::string_view, 3> kYielding = {"debug", "script", "shutdown"};
// DEBUG's subcommands that look at the native keyspace or fill it.
constexpr std::array<std::string_view, 12> kDebugRefused = {"object",   "populate", "digest",    "digest-value",
                                                            "reload",   "loadaof",  "sdslen",    "ziplist",
                                                            "listpack", "flushall", "quicklist", "htstats-key"};

constexpr std::pair<std::string_view, const char*> kFamilies[] = {
    {"@list", "lists"},     {"@hash", "hashes"},  {"@sortedset", "sorted sets"},   {"@set", "sets"},
    {"@stream", "streams"}, {"@geo", "geo sets"}, {"@hyperloglog", "HyperLogLogs"}};
constexpr const char* kEveryType = "keys of every type";

// The error lines of refusals.  The end of the first one (kSeeDocs) is left out where there is no room for it.
constexpr const char* kSeeDocs = "; its docs/commands.md lists what it serves";
std::string Unserved(std::string_view name, std::string_view family) {
  return "UNSUPPORTED '" + std::string(name) + "' works on " + std::string(family) + ": FaHA does not serve it yet" +
         kSeeDocs;
}
constexpr const char* kNoNativeFailover =
    "UNSUPPORTED 'failover' is of Redis' own replication, which holds no keys here: use FAHA.FAILOVER";
constexpr const char* kNoReplica =
    "UNSUPPORTED this server holds FaHA's keys, which Redis' replication does not carry: a replica without FaHA "
    "would be emptied, and a dump (redis-cli --rdb) hold no keys; for a dump use BGSAVE; a FaHA node that reads this "
    "needs masterauth, or a user that may REPLCONF and PSYNC";
constexpr const char* kAlone = "ERR FAHA.FAILOVER and FAHA.PROMOTE wait for peers: they cannot be in a transaction";
constexpr const char* kOurName = "ERR unknown command: call it by Redis' own name";
constexpr const char* kUnclearName = "ERR unknown command: FaHA serves none whose name holds a zero byte or a bar";

template <typename Names>
bool Contains(const Names& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// Writes `name` in lower case into `buffer`; returns an empty view if it is longer than any command name.
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
  [[nodiscard]] std::string_view name() const { return TextOf(RedisModule_CallReplyArrayElement(entry_, 0)); }
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
    return kEveryType;
  }

 private:
  [[nodiscard]] bool ListHas(size_t index, std::string_view wanted) const {
    RedisModuleCallReply* list = RedisModule_CallReplyArrayElement(entry_, index);
    if (list == nullptr) return false;
    for (size_t i = 0; i < RedisModule_CallReplyLength(list); ++i) {
      if (TextOf(RedisModule_CallReplyArrayElement(list, i)) == wanted) return true;
    }
    return false;
  }
  RedisModuleCallReply* entry_;
};

Rule RuleFor(const Described& command, std::string_view name) {
  if (name == "multi") return {.action = Action::kMulti};
  if (name == "exec") return {.action = Action::kExec};
  if (name == "watch") return {.action = Action::kWatch};
  // Sentinels publish who they are on every node that they watch.  FaHA hears these messages in a command of its own,
  // which runs only after Redis has checked that the client may publish on that channel.
  if (name == "publish") return {.action = Action::kServeFor, .only_for = Sentinels::kChannel};
  if (name == "replconf") return {.action = Action::kServeFor, .only_for = "listening-port"};
  if (name == "sync") return {.action = Action::kSync, .line = kNoReplica};
  // After an error that begins with this word, a replica waits for a second before it tries again; after any other
  // error it does not wait at all.
  if (name == "psync") return {.action = Action::kSync, .line = std::string("NOMASTERLINK ") + kNoReplica};
  if (name == "failover") return {.action = Action::kRefuse, .line = kNoNativeFailover};
  if (Contains(kScripts, name)) return {.action = Action::kScript};
  if (Contains(kYielding, name)) return {.action = Action::kYield};
  if (Contains(kHarmless, name)) return {};
  if (command.TouchesKeys()) return {.action = Action::kRefuse, .line = Unserved(name, command.Family())};
  if (command.HasFlag("module")) return {.action = Action::kYield};
  return {};
}

// FaHA's names for Redis' commands may be used only by the filter: a client that called one of them could do what is
// forbidden to it under Redis' own name.
Rule RuleForOurs(std::string_view name) {
  // These commands wait, which no command in a transaction can do.
  if (name == "faha.failover" || name == "faha.promote") return {.action = Action::kAlone, .line = kAlone};
  const auto& commands = Commands();
  const bool own = std::any_of(commands.begin(), commands.end(), [&](const Command& command) {
    return command.access == Access::kAdmin && !command.name.starts_with("refuse") && ModuleName(command) == name;
  });
  return {.action = own ? Action::kPass : Action::kOurs, .line = kOurName};
}

// Adds rules for the commands that the server has got since the last call, by their built-in names, and takes away the
// rules of those that it has lost with another module.
void AddRules(RedisModuleCtx* ctx) {
  Rules& rules = TheFilter().built_in;
  Rules& subcommands = TheFilter().subcommands;
  std::unordered_set<std::string> present;
  RedisModuleCallReply* table = CallServer(ctx, "COMMAND", "");
  for (size_t i = 0; table != nullptr && i < RedisModule_CallReplyLength(table); ++i) {
    const Described command(RedisModule_CallReplyArrayElement(table, i));
    const std::string name(command.name());
    present.insert(name);
    if (rules.contains(name)) continue;
    Rule rule = name.starts_with("faha.") ? RuleForOurs(name) : RuleFor(command, name);
    rule.name = name;
    rule.no_multi = command.HasFlag("no_multi");
    // A container command is judged by its subcommands, not by its own entry.
    bool container = false;
    rule.has_subcommands = name == "debug";
    command.ForEachSubcommand([&](const Described& sub) {
      rule.has_subcommands = true;
      if (!sub.TouchesKeys() || sub.name().ends_with("|help")) return;
      container = true;
      subcommands[std::string(sub.name())] = {.action = Action::kRefuse, .line = Unserved(sub.name(), sub.Family())};
    });
    if (container && rule.action != Action::kScript) rule.action = Action::kContainer;
    rules[name] = rule;
  }
  if (table != nullptr) RedisModule_FreeCallReply(table);
  if (!present.empty()) {
    const auto is_lost = [&present](const auto& rule) { return !present.contains(rule.second.name); };
    std::erase_if(rules, is_lost);
    std::erase_if(TheFilter().rules, is_lost);
  }
  for (const std::string_view sub : kDebugRefused) {
    const std::string name = "debug|" + std::string(sub);
    subcommands.try_emplace(name, Rule{.action = Action::kRefuse, .line = Unserved(name, kEveryType)});
  }
}

RedisModuleString* MakeName(const std::string& name) {
  RedisModuleString* string = RedisModule_CreateString(nullptr, name.data(), name.size());
  TheFilter().names.insert(string);
  return string;
}

// FaHA's DEBUG subcommands are served only on servers that allow DEBUG to everybody.
void ServeOurs(RedisModuleCtx* ctx) {
  Rules& rules = TheFilter().built_in;
  const bool debug = ConfigValue(ctx, "enable-debug-command") == "yes";
  for (const Command& command : Commands()) {
    if (command.access == Access::kAdmin || (command.name.starts_with("debug|") && !debug)) continue;
    const std::string ours = ModuleName(command), name(command.name);
    const std::size_t bar = name.find('|');
    if (bar == std::string::npos && !rules.contains(name)) continue;  // a command that only a later server has
    Rule& rule = bar == std::string::npos ? rules[name] : TheFilter().subcommands[name];
    rule.name = name;
    if (rule.action != Action::kServeFor) rule.action = Action::kServe;
    rule.replacement = MakeName(ours);
    rule.arity = command.arity;
    rule.first_key = command.keys.first_key();
    if (bar == std::string::npos) continue;
    Rule& container = rules[name.substr(0, bar)];
    if (container.action == Action::kPass) container.action = Action::kContainer;
  }
}

// The server's command table names commands by their built-in names; rename-command may have given them other names, or
// may have given these names to other commands.
void NameRules(RedisModuleCtx* ctx) {
  for (const auto& [name, rule] : TheFilter().built_in) {
    if (TheFilter().rules.contains(name)) continue;
    const std::string runs = BuiltInName(ctx, name);
    if (runs.empty()) continue;
    if (runs != name) RememberAlias(runs, name);
    TheFilter().rules[name] = TheFilter().built_in[runs];
  }
}

// Prefetches the first key of a command that will run in a moment.  Until then Redis looks the command up and checks
// rights, so nobody need wait for the memory.  The filter is not told the database, and a wrong guess costs no more
// than no guess.
void PrefetchFirst(std::string_view key) { TheState().store->PrefetchFirst(TheState().last_db, key); }

// If the number of arguments is wrong, or the command must not be queued, the built-in command stays in place: Redis
// refuses it in its own words, aborts a transaction because of it, and never runs it.
void Serve(RedisModuleCommandFilterCtx* filter, const Rule& rule) {
  const int argc = RedisModule_CommandFilterArgsCount(filter);
  if (rule.arity >= 0 ? argc != rule.arity : argc < -rule.arity) return;
  if (rule.no_multi && IsQueued(filter)) return;
  if (rule.first_key != 0 && rule.first_key < argc)
    PrefetchFirst(View(RedisModule_CommandFilterArgGet(filter, rule.first_key)));
  RedisModule_RetainString(nullptr, rule.replacement);
  RedisModule_CommandFilterArgReplace(filter, 0, rule.replacement);
}

RedisModuleString* Made(std::string_view text) { return RedisModule_CreateString(nullptr, text.data(), text.size()); }

void DropArguments(RedisModuleCommandFilterCtx* filter) {
  for (int i = RedisModule_CommandFilterArgsCount(filter); i > 1; --i)
    RedisModule_CommandFilterArgDelete(filter, i - 1);
}

// A command that is to be queued is replaced by a name that the server does not know, because only an unknown command
// aborts a transaction.  The server's error shows 128 characters of that name.  A command that is not queued is
// answered with `line` by FAHA.REFUSE; the original command stays behind the line as arguments, for SLOWLOG.
void Refuse(RedisModuleCommandFilterCtx* filter, std::string_view line,
            RedisModuleString* answerer = TheFilter().refuse) {
  if (IsQueued(filter)) {
    DropArguments(filter);
    RedisModule_CommandFilterArgReplace(filter, 0, Made(line.substr(0, line.find(kSeeDocs))));
    return;
  }
  RedisModule_RetainString(nullptr, answerer);
  RedisModule_CommandFilterArgInsert(filter, 0, answerer);
  RedisModule_CommandFilterArgInsert(filter, 1, Made(line));
}

// Refuses a command that the server would not know either.  Its arguments are dropped, so that no log shows secrets
// that they may hold.
void RefuseUnknown(RedisModuleCommandFilterCtx* filter, std::string_view line) {
  DropArguments(filter);
  Refuse(filter, line);
}

void PrecommitOrRefuse(RedisModuleCommandFilterCtx* filter) {
  if (AScriptRuns()) return;  // the command is refused, or needs no commit of its own
  EndUnit();
  if (const Status status = TheState().gate.Precommit(); !status.ok()) Refuse(filter, status.ToString());
}

bool IsArgument(RedisModuleCommandFilterCtx* filter, int i, std::string_view word) {
  Buffer buffer;
  return i < RedisModule_CommandFilterArgsCount(filter) &&
         Lower(View(RedisModule_CommandFilterArgGet(filter, i)), buffer) == word;
}

// Functions are data: a primary tells and runs them only when it may answer reads.
bool ReadsFunctions(RedisModuleCommandFilterCtx* filter, std::string_view name) {
  if (name == "function") return IsArgument(filter, 1, "list") || IsArgument(filter, 1, "dump");
  return name == "fcall" || name == "fcall_ro";
}
Status MayReadFunctions() {
  Store& store = *TheState().store;
  if (AScriptRuns() || store.Serving() || store.Info().role != Role::kPrimary) return Status::Ok();
  return store.CheckRead();
}

// Handles commands whose effect FaHA has to know of before Redis runs them.
void Foresee(RedisModuleCommandFilterCtx* filter, std::string_view name) {
  if (name == "shutdown") {
    if (IsArgument(filter, 1, "abort")) ForgetSignal();
    bool saves = false;
    for (int i = 1; i < RedisModule_CommandFilterArgsCount(filter); ++i) saves = saves || IsArgument(filter, i, "save");
    ShutdownIsAsked(saves);
  }
}

void RememberAll(RedisModuleCommandFilterCtx* filter) {
  const int count = RedisModule_CommandFilterArgsCount(filter);
  for (int i = 1; i < count; ++i) RememberWatched(View(RedisModule_CommandFilterArgGet(filter, i)));
}

void ServeFor(RedisModuleCommandFilterCtx* filter, const Rule& rule) {
  if (RedisModule_CommandFilterArgsCount(filter) < 2) return;
  if (View(RedisModule_CommandFilterArgGet(filter, 1)) == rule.only_for) Serve(filter, rule);
}

// The rule of a container's subcommand, or of a subcommand of DEBUG, which COMMAND does not list.
const Rule* RuleOfSubcommand(RedisModuleCommandFilterCtx* filter, std::string_view container) {
  Buffer buffer;
  if (RedisModule_CommandFilterArgsCount(filter) < 2 || container.size() >= buffer.size()) return nullptr;
  std::copy(container.begin(), container.end(), buffer.begin());
  buffer[container.size()] = '|';
  const std::string_view full = Lower(View(RedisModule_CommandFilterArgGet(filter, 1)), buffer, container.size() + 1);
  const auto rule = TheFilter().subcommands.find(full);
  return rule == TheFilter().subcommands.end() ? nullptr : &rule->second;
}

// If a name has a zero byte, the server may take the part before the zero byte for the name.
bool HasZero(std::string_view name) { return name.find('\0') != std::string_view::npos; }

// The server cannot be asked which command it runs for such a name: if the name has a bar, the server looks for a
// subcommand.
bool IsUnclear(std::string_view name) { return HasZero(name) || name.find('|') != std::string_view::npos; }

void ActOnContainer(RedisModuleCommandFilterCtx* filter, const Rule& rule) {
  const Rule* sub = RuleOfSubcommand(filter, rule.name);
  if (sub != nullptr && sub->action == Action::kServe) return Serve(filter, *sub);
  if (sub != nullptr && sub->action == Action::kRefuse) return Refuse(filter, sub->line);
  const bool named = RedisModule_CommandFilterArgsCount(filter) > 1;
  if (rule.has_subcommands && named && HasZero(View(RedisModule_CommandFilterArgGet(filter, 1))))
    return RefuseUnknown(filter, kUnclearName);
  if (rule.action != Action::kYield) return;
  Foresee(filter, rule.name);
  PrecommitOrRefuse(filter);
}

void Act(RedisModuleCommandFilterCtx* filter, const Rule& rule) {
  switch (rule.action) {
    case Action::kPass: break;
    case Action::kServe: Serve(filter, rule); break;
    case Action::kRefuse: Refuse(filter, rule.line); break;
    case Action::kMulti: MultiIsSeen(); break;
    case Action::kAlone:
      if (IsQueued(filter)) Refuse(filter, rule.line);
      break;
    case Action::kOurs:
      // A command that had to wait, for example because of CLIENT PAUSE, comes a second time in the form that the
      // filter gave it.
      if (!TheFilter().names.contains(RedisModule_CommandFilterArgGet(filter, 0))) RefuseUnknown(filter, rule.line);
      break;
    case Action::kWatch: RememberAll(filter); break;
    case Action::kServeFor: ServeFor(filter, rule); break;
    case Action::kSync:
      // This check comes before the replica's authentication and rights are checked: after NOAUTH or NOPERM the replica
      // would try again without a pause.
      if (!MaySync()) Refuse(filter, rule.line, TheFilter().refuse_replica);
      break;
    case Action::kExec:
      if (AScriptRuns()) break;
      EndUnit();
      ExpireWatched();
      // If this fails, the transaction's commands fail as well, or its client is dropped.
      (void)TheState().gate.PrecommitTransaction();
      break;
    case Action::kScript:
      if (const Rule* sub = rule.has_subcommands ? RuleOfSubcommand(filter, rule.name) : nullptr)
        return Serve(filter, *sub);
      TheState().gate.ScriptIsSeen();
      // Gives the server the functions of the log before any can be called or listed, also just after a start.
      if (rule.name.starts_with('f')) AlignFunctions(TheState().context);
      if (ReadsFunctions(filter, rule.name)) {
        if (const Status status = MayReadFunctions(); !status.ok()) return Refuse(filter, status.ToString());
      }
      PrecommitOrRefuse(filter);
      break;
    case Action::kYield:
    case Action::kContainer: ActOnContainer(filter, rule); break;
  }
}

// A name without a rule is either a new name of a command that has a rule, or the server does not know the name either.
const Rule* Learn(std::string_view name) {
  RedisModuleCtx* ctx = TheState().context;
  const auto rule = TheFilter().built_in.find(BuiltInName(ctx, name));
  if (rule == TheFilter().built_in.end()) return nullptr;
  const std::string alias = InLowerCase(std::string(name));
  RememberAlias(rule->first, alias);
  GrantRights(ctx);
  return &(TheFilter().rules[alias] = rule->second);
}

void OnCommand(RedisModuleCommandFilterCtx* filter) {
  if (std::exchange(own_call, false)) return;
  if (!RightsAreGranted()) GrantRights(TheState().context);
  Buffer buffer;
  const std::string_view name = View(RedisModule_CommandFilterArgGet(filter, 0));
  const auto found = TheFilter().rules.find(Lower(name, buffer));
  if (found != TheFilter().rules.end()) return Act(filter, found->second);
  if (IsUnclear(name)) return RefuseUnknown(filter, kUnclearName);
  if (const Rule* rule = Learn(name)) Act(filter, *rule);
}

void OnModuleChange(RedisModuleCtx* ctx, RedisModuleEvent, uint64_t, void*) {
  ForgetLookups();
  AddRules(ctx);
  NameRules(ctx);
}

}  // namespace

bool StartFiltering(RedisModuleCtx* ctx) {
  TheFilter().refuse = MakeName("faha.refuse");
  TheFilter().refuse_replica = MakeName("faha.refuse-replica");
  AddRules(ctx);
  ServeOurs(ctx);
  NameRules(ctx);
  return StartWatching(ctx) && RedisModule_RegisterCommandFilter(ctx, OnCommand, 0) != nullptr &&
         RedisModule_SubscribeToServerEvent(ctx, RedisModuleEvent_ModuleChange, OnModuleChange) == REDISMODULE_OK;
}

}  // namespace faha::module
