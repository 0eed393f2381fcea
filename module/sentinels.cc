#include "module/sentinels.h"

#include <algorithm>
#include <array>
#include <vector>

#include "module/call.h"
#include "module/client_list.h"
#include "module/roles.h"
#include "module/state.h"

namespace faha::module {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// How long INFO is withheld, counted from the first order.  Sentinel's own order follows within half a second, and what
// Sentinel knew of this node stays valid for five seconds.
constexpr milliseconds kWithhold{1500};
constexpr milliseconds kAskAgain{1000}, kAskNext{200};
// A Sentinel that was stopped for a while (TILT) accepts orders and does nothing for half a minute.  A healthy failover
// becomes visible sooner than this.
constexpr milliseconds kNothingHappens{2500};
// Sentinels publish a hello every two seconds.
constexpr milliseconds kForgetAfter{30'000};
// A hello counts for kFresh after it was heard.  A Sentinel counts as mistaken only after kMistakenFor, which is longer
// than a change of roles takes.
constexpr milliseconds kFresh{5000}, kMistakenFor{500};
constexpr std::size_t kMaxKnown = 64;
constexpr std::size_t kRunId = 40, kShortId = 8, kMaxName = 200;
// A backup that misses its primary and is told to lead has got its promises within this time.
constexpr milliseconds kCampaign{300};
// A Sentinel that says something else each time must not cause a write each time.
constexpr milliseconds kNotePeriod{10'000};

std::string_view Advice(std::string_view answer) {
  const bool password = answer.starts_with("-NOAUTH") || answer.starts_with("-WRONGPASS");
  return password ? " (set faha.sentinel-password)" : "";
}

std::string ClientOf(std::string_view short_id) { return "sentinel-" + std::string(short_id) + "-cmd"; }

// Returns the text before the next `end`, and removes that text and `end` from `text`.
std::string_view TakeField(std::string_view& text, char end) {
  const std::size_t at = std::min(text.find(end), text.size());
  const std::string_view field = text.substr(0, at);
  text.remove_prefix(std::min(text.size(), at + 1));
  return field;
}

}  // namespace

Sentinels& TheSentinels() {
  static Sentinels sentinels;
  return sentinels;
}

// "ip,port,run id,epoch,name,primary's ip,its port,epoch"
void Sentinels::OnHello(std::string_view message) {
  std::array<std::string_view, 8> fields;
  for (std::size_t i = 0; i < fields.size(); ++i) {
    const std::size_t end = i + 1 == fields.size() ? message.size() : message.find(',');
    if (end == std::string_view::npos) return;
    fields[i] = message.substr(0, end);
    message.remove_prefix(std::min(message.size(), end + 1));
  }
  const auto [host, port, run_id, epoch, name, primary_host, primary_port, config_epoch] = fields;
  const auto number = ParseInteger(port).value_or(0);
  if (number <= 0 || number > 65535 || run_id.size() != kRunId || name.empty() || name.size() > kMaxName) return;
  const Time now = steady_clock::now();
  const std::string_view id = run_id.substr(0, kShortId);
  if (known_.size() >= kMaxKnown && known_.find(id) == known_.end()) {
    std::erase_if(known_, [&](const auto& each) { return now - each.second.heard > kForgetAfter; });
    if (known_.size() >= kMaxKnown) return;
  }
  Sentinel& sentinel = known_[std::string(id)];
  std::string primary = std::string(primary_host) + ":" + std::string(primary_port);
  if (!sentinel.primary.empty() && sentinel.primary != primary) TheRoles().SentinelTells();
  const Endpoint address{std::string(host), static_cast<std::uint16_t>(number)};
  changed_ = changed_ || sentinel.address != address || sentinel.name != name;
  sentinel = {address, std::string(name), std::move(primary), now};
}

// The text has one line for each Sentinel: id, port, host and name.  The name comes last, because nothing says which
// characters it may contain.
void Sentinels::Recall() {
  std::string_view note = TheState().store->Remembered();
  while (!note.empty()) {
    std::string_view line = TakeField(note, '\n');
    const std::string_view id = TakeField(line, ' ');
    const auto port = ParseInteger(TakeField(line, ' ')).value_or(0);
    const std::string_view host = TakeField(line, ' ');
    if (id.size() != kShortId || port <= 0 || port > 65535 || host.empty() || line.empty()) return;
    known_[std::string(id)] = {
        {std::string(host), static_cast<std::uint16_t>(port)}, std::string(line), "", steady_clock::now()};
  }
}

void Sentinels::Remember(RedisModuleCtx* ctx, Time now) {
  if (!changed_ || now < next_note_) return;
  next_note_ = now + kNotePeriod;
  changed_ = false;
  std::string note;
  for (const std::string& id : Connected(ctx, now)) {
    const Sentinel& sentinel = known_.find(id)->second;
    const std::string line =
        id + " " + std::to_string(sentinel.address.port) + " " + sentinel.address.host + " " + sentinel.name + "\n";
    const bool fits = note.size() + line.size() <= Store::kMaxNote;
    if (fits && sentinel.name.find('\n') == std::string::npos) note += line;
  }
  if (note.empty() || note == TheState().store->Remembered()) return;
  if (const Status status = TheState().store->Remember(note); !status.ok()) Log(LogLevel::kWarning, status.ToString());
}

void Sentinels::Tick(RedisModuleCtx* ctx) {
  const Time now = steady_clock::now();
  if (TheState().store->MissesPrimary()) missed_at_ = now;
  if (now - missed_at_ > kCampaign) withhold_until_ = now + kWithhold;
  Remember(ctx, now);
  const std::string reason = TheState().options.sentinel_failover ? Reason(now) : "";
  if (reason.empty() && order_ && TheState().store->Info().epoch > asked_in_) {
    // Another node was elected while the order was under way.  The order is brought to its end, because nobody else may
    // tell Sentinel that the primary has changed.
    return Judge(order_->Step(), now);
  }
  if (reason.empty()) {
    order_.reset();
    accepted_since_.reset();
    said_.clear();
    turn_ = 0;
    next_ask_ = now;
    return;
  }
  if (!order_ && now >= next_ask_) Ask(ctx, now, reason);
  if (order_) Judge(order_->Step(), now);
}

std::string Sentinels::Reason(Time now) {
  if (TheState().store->MissesPrimary()) return "the primary is gone";
  if (!TheState().store->Serving()) {
    mistaken_since_.reset();
    return "";
  }
  if (leaves_) return "this primary is to stop";
  const std::string named = TheRoles().ToldToLead() ? "" : Mistaken(now);
  if (named.empty()) {
    mistaken_since_.reset();
    return "";
  }
  if (!mistaken_since_) mistaken_since_ = now;
  return now - *mistaken_since_ < kMistakenFor ? "" : "this node leads, but Sentinel tells clients of " + named;
}

// A Sentinel that names an address of no member may know this node by another name, so it does not count as mistaken.
std::string Sentinels::Mistaken(Time now) const {
  if (known_.empty()) return "";
  const StoreInfo info = TheState().store->Info();
  for (const auto& [id, sentinel] : known_) {
    if (now - sentinel.heard > kFresh) continue;
    for (const Member& member : info.members) {
      if (member.id != info.node && member.Redis().ToString() == sentinel.primary) return sentinel.primary;
    }
  }
  return "";
}

std::vector<std::string> Sentinels::Connected(RedisModuleCtx* ctx, Time now) const {
  std::vector<std::string> clients;
  ForEachClient(ctx, [&](const ListedClient& client) {
    if (client.IsSentinel()) clients.emplace_back(client.Field("name"));
  });
  std::vector<std::string> connected;
  for (const auto& [id, sentinel] : known_) {
    const bool here = std::find(clients.begin(), clients.end(), ClientOf(id)) != clients.end();
    if (here && now - sentinel.heard < kForgetAfter) connected.push_back(id);
  }
  return connected;
}

void Sentinels::Ask(RedisModuleCtx* ctx, Time now, const std::string& reason) {
  const auto candidates = Connected(ctx, now);
  next_ask_ = now + kAskNext;
  if (candidates.empty()) return;
  const Sentinel& chosen = known_.find(candidates[turn_ % candidates.size()])->second;
  if (said_.empty()) {
    Log(LogLevel::kNotice,
        reason + ": asking the Sentinel at " + chosen.address.ToString() + " to fail " + chosen.name + " over");
  }
  asked_in_ = TheState().store->Info().epoch;
  order_ = std::make_unique<SentinelOrder>(chosen.address, chosen.name, TheState().options.sentinel_password);
}

void Sentinels::Judge(SentinelOrder::Outcome outcome, Time now) {
  if (outcome == SentinelOrder::Outcome::kPending) return;
  const bool accepted = outcome == SentinelOrder::Outcome::kAccepted;
  const bool silent = outcome == SentinelOrder::Outcome::kUnreachable;
  const std::string said =
      "the Sentinel at " + order_->sentinel().ToString() +
      (accepted ? " fails over"
       : silent ? " does not answer: Sentinel's own detection will do"
                : " refuses to fail over: " + order_->answer().substr(1) + std::string(Advice(order_->answer())));
  if (said != said_) Log(accepted ? LogLevel::kNotice : LogLevel::kWarning, said);
  said_ = said;
  order_.reset();
  next_ask_ = now + (accepted ? kAskAgain : kAskNext);
  if (accepted && !accepted_since_) accepted_since_ = now;
  if (accepted && now - *accepted_since_ < kNothingHappens) return;
  ++turn_;
  accepted_since_.reset();
}

bool Sentinels::Withholds(RedisModuleCtx* ctx) const {
  const Time now = steady_clock::now();
  if (now >= withhold_until_ || now - missed_at_ > kCampaign || !TheState().options.sentinel_failover) return false;
  return !TheState().store->Serving() && Asks(ctx);
}

bool Sentinels::Asks(RedisModuleCtx* ctx) {
  RedisModuleString* name = RedisModule_GetClientNameById(ctx, RedisModule_GetClientId(ctx));
  if (name == nullptr) return false;
  const bool sentinel = ListedClient::NamesSentinel(View(name));
  RedisModule_FreeString(ctx, name);
  return sentinel;
}

bool Sentinels::Watched(RedisModuleCtx* ctx) {
  bool found = false;
  ForEachClient(ctx, [&](const ListedClient& client) { found = found || client.IsSentinel(); });
  return found;
}

}  // namespace faha::module
