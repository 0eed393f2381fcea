#include "module/sentinels.h"

#include <algorithm>
#include <array>
#include <vector>

#include "module/call.h"
#include "module/client_list.h"
#include "module/state.h"

namespace faha::module {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// Sentinel orders SLAVEOF NO ONE in its third tick after it was asked, and its ticks are 50 to 100 ms long.
constexpr milliseconds kHold{400};
constexpr milliseconds kAskAgain{1000}, kAskNext{200};
// They say hello every two seconds.
constexpr milliseconds kForgetAfter{30'000};
constexpr std::size_t kMaxKnown = 64;
constexpr std::size_t kRunId = 40, kMaxName = 200;

// A Sentinel's connection for commands is called "sentinel-<8 of its run id>-cmd".
constexpr std::string_view kPrefix = "sentinel-", kSuffix = "-cmd";
bool IsSentinel(std::string_view client) { return client.starts_with(kPrefix) && client.ends_with(kSuffix); }
std::string ClientOf(std::string_view run_id) {
  return std::string(kPrefix) + std::string(run_id.substr(0, 8)) + std::string(kSuffix);
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
  if (known_.size() >= kMaxKnown && known_.find(run_id) == known_.end()) {
    std::erase_if(known_, [&](const auto& each) { return now - each.second.heard > kForgetAfter; });
    if (known_.size() >= kMaxKnown) return;
  }
  known_[std::string(run_id)] = {{std::string(host), static_cast<std::uint16_t>(number)}, std::string(name), now};
}

void Sentinels::Tick(RedisModuleCtx* ctx) {
  const Time now = steady_clock::now();
  const bool alarm = TheState().options.sentinel_failover && TheState().store->MissesPrimary();
  if (!alarm) {
    order_.reset();
    said_.clear();
    turn_ = 0;
    next_ask_ = now;
  } else if (!order_ && now >= next_ask_) {
    Ask(ctx, now);
  }
  alarmed_ = alarm;
  if (order_) Judge(order_->Step(), now);
  Release(now);
}

void Sentinels::Ask(RedisModuleCtx* ctx, Time now) {
  std::vector<std::string> connected;
  ForEachClient(ctx, [&](const ListedClient& client) {
    const std::string_view name = client.Field("name");
    if (IsSentinel(name)) connected.emplace_back(name);
  });
  std::vector<const Sentinel*> candidates;
  for (const auto& [run_id, sentinel] : known_) {
    const bool here = std::find(connected.begin(), connected.end(), ClientOf(run_id)) != connected.end();
    if (here && now - sentinel.heard < kForgetAfter) candidates.push_back(&sentinel);
  }
  next_ask_ = now + kAskNext;
  if (candidates.empty()) return;
  const Sentinel& chosen = *candidates[turn_ % candidates.size()];
  if (said_.empty()) {
    Log(LogLevel::kNotice, "the primary is gone: asking the Sentinel at " + chosen.address.ToString() + " to fail " +
                               chosen.name + " over");
  }
  order_ = std::make_unique<SentinelOrder>(chosen.address, chosen.name, TheState().options.sentinel_password);
  hold_until_ = now + kHold;
}

void Sentinels::Judge(SentinelOrder::Outcome outcome, Time now) {
  if (outcome == SentinelOrder::Outcome::kPending) return;
  const bool accepted = outcome == SentinelOrder::Outcome::kAccepted;
  const bool silent = outcome == SentinelOrder::Outcome::kUnreachable;
  const std::string said = "the Sentinel at " + order_->sentinel().ToString() +
                           (accepted ? " fails over"
                            : silent ? " does not answer: Sentinel's own detection will do"
                                     : " refuses to fail over: " + order_->answer().substr(1));
  if (said != said_) Log(accepted ? LogLevel::kNotice : LogLevel::kWarning, said);
  said_ = said;
  order_.reset();
  next_ask_ = now + (accepted ? kAskAgain : kAskNext);
  if (!accepted) ++turn_;
}

bool Sentinels::Hold(RedisModuleCtx* ctx, RedisModuleCmdFunc answer) {
  const int flags = RedisModule_GetContextFlags(ctx);
  constexpr int kMayNot = REDISMODULE_CTX_FLAGS_MULTI | REDISMODULE_CTX_FLAGS_LUA | REDISMODULE_CTX_FLAGS_DENY_BLOCKING;
  if (!alarmed_ || (flags & kMayNot) != 0 || steady_clock::now() >= hold_until_) return false;
  RedisModuleString* name = RedisModule_GetClientNameById(ctx, RedisModule_GetClientId(ctx));
  if (name == nullptr) return false;
  const bool sentinel = IsSentinel(View(name));
  RedisModule_FreeString(ctx, name);
  if (!sentinel) return false;
  held_.push_back({RedisModule_BlockClient(ctx, answer, nullptr, nullptr, 0), hold_until_});
  return true;
}

void Sentinels::Release(Time now) {
  while (!held_.empty() && (!alarmed_ || now >= held_.front().until)) {
    RedisModule_UnblockClient(held_.front().client, nullptr);
    held_.pop_front();
  }
}

}  // namespace faha::module
