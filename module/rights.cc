#include "module/rights.h"

#include <cstdlib>
#include <map>
#include <memory>

#include "module/commands.h"
#include "module/names.h"
#include "module/scratch.h"
#include "module/state.h"

namespace faha::module {
namespace {

// A command that has the categories of FaHA's own commands.  It is one of the commands that CheckNames() asks for.
constexpr std::string_view kOfAdmin = "replicaof";

std::vector<std::string_view> Words(std::string_view text) {
  std::vector<std::string_view> words;
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find(' '));
    text.remove_prefix(std::min(text.size(), word.size() + 1));
    if (!word.empty()) words.push_back(word);
  }
  return words;
}

// The words of a call of the command `name`: for "object|freq" they are "object", "freq" and an arbitrary word for each
// of its arguments.  Redis 8 refuses to judge a call that has too few or too many words.
class AnyCall {
 public:
  AnyCall(RedisModuleCtx* ctx, std::string_view name) : ctx_(ctx) {
    const std::size_t bar = name.find('|');
    const std::string_view whole = name.substr(0, bar);
    known_ = BuiltInName(ctx, ServersName(whole)) == whole;
    if (!known_) return;
    std::string servers = ServersName(whole);
    Add(servers);
    if (bar != std::string_view::npos) {
      Add(std::string(name.substr(bar + 1)));
      servers += name.substr(bar);
    }
    const auto count = static_cast<std::size_t>(std::abs(Lookup(ctx, servers).arity));
    while (words_.size() < count) Add(kAnyWord);
  }
  ~AnyCall() {
    for (RedisModuleString* word : words_) RedisModule_FreeString(ctx_, word);
  }
  AnyCall(const AnyCall&) = delete;
  AnyCall& operator=(const AnyCall&) = delete;
  // Does the server have the command?
  [[nodiscard]] bool known() const { return known_; }
  [[nodiscard]] std::vector<RedisModuleString*>& words() { return words_; }

 private:
  // A word that no rule such as "+get|a" allows.
  static constexpr const char* kAnyWord = "\x01";
  void Add(const std::string& word) { words_.push_back(RedisModule_CreateString(ctx_, word.data(), word.size())); }
  RedisModuleCtx* ctx_;
  std::vector<RedisModuleString*> words_;
  bool known_ = false;
};

// A user that nobody else knows, with one set of rules for commands and with all keys.  It serves only to ask which
// commands the rules allow.
class Probe {
 public:
  explicit Probe(RedisModuleCtx* ctx) : ctx_(ctx), user_(RedisModule_CreateModuleUser("")) {
    for (const char* rule : {"allkeys", "allchannels"}) RedisModule_SetModuleUserACL(user_, rule);
  }
  ~Probe() { RedisModule_FreeModuleUser(user_); }
  Probe(const Probe&) = delete;
  Probe& operator=(const Probe&) = delete;

  // One that Redis does not know is passed over: that is how it came to be among the user's rules.
  void Add(const std::string& rule) { (void)RedisModule_SetModuleUserACL(user_, rule.c_str()); }
  // Does the server have this command, and may the user run it?
  [[nodiscard]] bool May(std::string_view command) {
    AnyCall call(ctx_, command);
    return call.known() && RedisModule_ACLCheckCommandPermissions(
                               user_, call.words().data(), static_cast<int>(call.words().size())) == REDISMODULE_OK;
  }

 private:
  RedisModuleCtx* ctx_;
  RedisModuleUser* user_;
};

// The FaHA command that a rule such as "+faha.get" names; nothing if it names none.
const Command* NamedBy(std::string_view rule) {
  if (rule.size() < 2 || (rule[0] != '+' && rule[0] != '-')) return nullptr;
  for (const Command& command : Commands()) {
    if (ModuleName(command) == rule.substr(1)) return &command;
  }
  return nullptr;
}

// Rules such as "+get|a" allow a command only with that first argument.  Returns the same rules for FaHA's command
// `ours`.
std::string FirstArguments(std::string_view rules, std::string_view name, const std::string& ours) {
  std::string allowed;
  for (const std::string_view word : Words(rules)) {
    const bool names = word.starts_with('+') && word.substr(1).starts_with(name);
    if (names && word.substr(1 + name.size()).starts_with('|'))
      allowed += " +" + ours + std::string(word.substr(1 + name.size()));
  }
  return allowed;
}

// The rules that have to be added to `rules`, a user's rules for commands, so that the user has the same rights for
// FaHA's commands as for the built-in ones.
std::string Compare(RedisModuleCtx* ctx, std::string_view rules) {
  Probe as_is(ctx), for_built_in(ctx);
  std::map<const Command*, std::unique_ptr<Probe>> for_own;
  for (const Command& command : Commands()) {
    if (command.access == Access::kAdmin) for_own[&command] = std::make_unique<Probe>(ctx);
  }
  for (const std::string_view word : Words(rules)) {
    const std::string rule(word);
    const Command* named = NamedBy(word);
    const bool own = named != nullptr && named->access == Access::kAdmin;
    as_is.Add(rule);
    if (!own) for_built_in.Add(named == nullptr ? rule : rule[0] + std::string(named->name));
    for (const auto& [command, probe] : for_own) {
      if (named == command) {
        probe->Add(rule[0] + std::string(kOfAdmin));
      } else if (named == nullptr && word.substr(1) != kOfAdmin) {
        probe->Add(rule);
      }
    }
  }
  std::string missing;
  for (const Command& command : Commands()) {
    const std::string ours = ModuleName(command);
    // Everybody may run the commands that refuse, so that a client whose command is refused is told so.
    const bool may = command.name.starts_with("refuse") ? true
                     : command.access == Access::kAdmin ? for_own[&command]->May(kOfAdmin)
                                                        : for_built_in.May(command.name);
    if (may != as_is.May(ours)) missing += (may ? " +" : " -") + ours;
    missing += FirstArguments(rules, command.name, ours);
  }
  return missing;
}

// The results of Compare(), remembered because Compare() takes a millisecond and many users have the same rules.
std::map<std::string, std::string, std::less<>> compared;
constexpr std::size_t kMaxCompared = 1000;

const std::string& Missing(RedisModuleCtx* ctx, std::string_view rules) {
  if (const auto found = compared.find(rules); found != compared.end()) return found->second;
  if (compared.size() >= kMaxCompared) compared.clear();
  return compared.emplace(rules, Compare(ctx, rules)).first->second;
}

// The rules of a user, or of one of its selectors.
struct Rules {
  std::string commands, keys, channels;
  [[nodiscard]] std::string Selector(const std::string& more) const {
    return "(resetchannels " + Keys() + " " + channels + " " + commands + more + ")";
  }

 private:
  // Redis shows a pattern for all keys, to read and to write, in the same form as the rule that stands for all patterns
  // ("~*"), and accepts no other pattern beside that rule.
  [[nodiscard]] std::string Keys() const {
    const auto patterns = Words(keys);
    std::string all;
    for (const std::string_view pattern : patterns)
      all += (all.empty() ? "" : " ") + std::string(pattern == "~*" && patterns.size() > 1 ? "%RW~*" : pattern);
    return all;
  }
};
struct User {
  Rules root;
  std::vector<Rules> selectors;
};

// The value of the field `name` in a list "commands", its value, "keys", ...
RedisModuleCallReply* Field(RedisModuleCallReply* fields, std::string_view name) {
  for (size_t i = 0; i + 1 < RedisModule_CallReplyLength(fields); i += 2) {
    if (TextOf(RedisModule_CallReplyArrayElement(fields, i)) == name)
      return RedisModule_CallReplyArrayElement(fields, i + 1);
  }
  return nullptr;
}

Rules RulesIn(RedisModuleCallReply* fields) {
  const auto text = [&](std::string_view name) { return std::string(TextOf(Field(fields, name))); };
  return {text("commands"), text("keys"), text("channels")};
}

std::optional<User> Read(RedisModuleCtx* ctx, const std::string& name) {
  const NativeReply reply(CallServer(ctx, "ACL", "cb", "GETUSER", name.data(), name.size()), RedisModule_FreeCallReply);
  if (reply == nullptr || RedisModule_CallReplyType(reply.get()) != REDISMODULE_REPLY_ARRAY) return std::nullopt;
  User user{.root = RulesIn(reply.get()), .selectors = {}};
  RedisModuleCallReply* selectors = Field(reply.get(), "selectors");
  for (size_t i = 0; selectors != nullptr && i < RedisModule_CallReplyLength(selectors); ++i)
    user.selectors.push_back(RulesIn(RedisModule_CallReplyArrayElement(selectors, i)));
  return user;
}

std::vector<std::string> AllUsers(RedisModuleCtx* ctx) {
  std::vector<std::string> names;
  const NativeReply reply(CallServer(ctx, "ACL", "c", "USERS"), RedisModule_FreeCallReply);
  for (size_t i = 0; reply != nullptr && i < RedisModule_CallReplyLength(reply.get()); ++i)
    names.emplace_back(TextOf(RedisModule_CallReplyArrayElement(reply.get(), i)));
  return names;
}

// The users to whom rules were added, with their rules as they were before.
std::map<std::string, User> changed;
bool granted = false;

void Apply(RedisModuleCtx* ctx, const std::string& name, const std::vector<std::string>& rules) {
  RedisModuleString* text = RedisModule_CreateString(ctx, name.data(), name.size());
  if (RedisModuleUser* user = RedisModule_GetModuleUserFromUserName(text)) {
    for (const std::string& rule : rules) {
      if (RedisModule_SetModuleUserACL(user, rule.c_str()) != REDISMODULE_OK)
        Log(LogLevel::kWarning, "BADCONFIG the server refuses the ACL rule " + rule + " for the user " + name);
    }
    RedisModule_FreeModuleUser(user);
  }
  RedisModule_FreeString(ctx, text);
}

// Adds the missing rules to the rules of the user `name`, which are `own`.
void Add(RedisModuleCtx* ctx, const std::string& name, const User& own) {
  std::vector<std::string> rules;
  for (const std::string_view word : Words(Missing(ctx, own.root.commands))) rules.emplace_back(word);
  bool differ = false;
  std::vector<std::string> selectors{"clearselectors"};
  for (const Rules& selector : own.selectors) {
    const std::string& more = Missing(ctx, selector.commands);
    differ = differ || !more.empty();
    selectors.push_back(selector.Selector(more));
  }
  if (differ) rules.insert(rules.end(), selectors.begin(), selectors.end());
  if (rules.empty()) return;
  changed[name] = own;
  Apply(ctx, name, rules);
}

void TakeBack(RedisModuleCtx* ctx, const std::string& name, const User& own) {
  std::vector<std::string> rules;
  // The first word takes away, or gives, all commands.
  for (const std::string_view word : Words(own.root.commands)) rules.emplace_back(word);
  if (!own.selectors.empty()) rules.emplace_back("clearselectors");
  for (const Rules& selector : own.selectors) rules.push_back(selector.Selector(""));
  Apply(ctx, name, rules);
}

void Grant(RedisModuleCtx* ctx, const std::string& name) {
  if (const auto own = Read(ctx, name)) Add(ctx, name, *own);
}

void Withdraw(RedisModuleCtx* ctx, const std::string& name) {
  if (const auto user = changed.extract(name); !user.empty()) TakeBack(ctx, name, user.mapped());
}

}  // namespace

bool RightsAreGranted() { return granted; }

void GrantRights(RedisModuleCtx* ctx) {
  granted = true;
  compared.clear();
  for (const auto& [name, own] : std::exchange(changed, {})) TakeBack(ctx, name, own);
  for (const std::string& name : AllUsers(ctx)) Grant(ctx, name);
}

OwnRules::OwnRules(RedisModuleCtx* ctx) : ctx_(ctx) {
  for (const auto& [name, own] : changed) TakeBack(ctx_, name, own);
}

OwnRules::~OwnRules() {
  for (const auto& [name, own] : changed) Add(ctx_, name, own);
}

// --- The commands that show, save or change rules.

namespace rights {
namespace {

Reply Natively(const Call& call) {
  return Reply::Native(RunNative(call, call.name().substr(0, call.name().find('|'))));
}

}  // namespace

Reply Show(Call& call) {
  const OwnRules own(call.ctx());
  return Natively(call);
}

Reply Load(Call& call) {
  for (const auto& [name, own] : std::exchange(changed, {})) TakeBack(call.ctx(), name, own);
  Reply reply = Natively(call);
  GrantRights(call.ctx());
  return reply;
}

Reply SetUser(Call& call) {
  // The arguments behind the name may contain a password, so SLOWLOG must not show them.
  for (int i = 2; i < call.size(); ++i) RedisModule_RedactClientCommandArgument(call.ctx(), i);
  const std::string name(call.arg(2));
  Withdraw(call.ctx(), name);
  Reply reply = Natively(call);
  Grant(call.ctx(), name);
  return reply;
}

// A user that is created again under the same name must inherit nothing from the deleted one.
Reply DelUser(Call& call) {
  for (int i = 2; i < call.size(); ++i) Withdraw(call.ctx(), std::string(call.arg(i)));
  Reply reply = Natively(call);
  for (int i = 2; i < call.size(); ++i) Grant(call.ctx(), std::string(call.arg(i)));
  return reply;
}

}  // namespace rights
}  // namespace faha::module
