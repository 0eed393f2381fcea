// Fast detection: a backup whose primary is gone has Redis Sentinel fail over at once, instead of waiting until
// Sentinel finds out.  A false alarm does no harm: a primary that lives hands over.  Thread: main loop only.
//
// Who the Sentinels are is overheard from what they publish on every node; only those count that are connected to this
// one under their own ids, for anybody may publish.  All backups ask them in the same order, and a second order to the
// same Sentinel is none.  They say it every two seconds, so a node that was started anew goes by what it had overheard
// before.
//
// A primary that no Sentinel has ordered - by FAHA.FAILOVER, or where nobody was there to order anything - has Sentinel
// fail over as well, if it tells clients of another member: Sentinel would take half a minute to find out.  And so does
// one that is to stop, so that clients are told of the next one before.
//
// Sentinel sees its failover succeed in the new primary's INFO, and asks again only a second after the last answer.  So
// a backup that misses its primary, or campaigns because it did, answers Sentinel's INFO with an error for a while:
// Sentinel, which has no answer, goes on asking, and finds the new primary as soon as it is one.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "faha/types.h"
#include "module/redis_api.h"
#include "module/sentinel_order.h"

namespace faha::module {

class Sentinels {
 public:
  static constexpr std::string_view kChannel = "__sentinel__:hello";

  // Somebody published this on the channel.
  void OnHello(std::string_view message);
  // The store was opened: those that it remembers.
  void Recall();
  void Tick(RedisModuleCtx* ctx);
  // This node is to stop: while it leads, Sentinel is to fail over.
  void Leave(bool leaves) { leaves_ = leaves; }
  // Is the client of `ctx` a Sentinel that should ask for INFO again?
  [[nodiscard]] bool Withholds(RedisModuleCtx* ctx) const;
  // Is the client of `ctx` one?
  [[nodiscard]] static bool Asks(RedisModuleCtx* ctx);
  // Is any Sentinel connected?
  [[nodiscard]] static bool Watched(RedisModuleCtx* ctx);

 private:
  using Time = std::chrono::steady_clock::time_point;
  struct Sentinel {
    Endpoint address;
    std::string name;     // of the primary, to it
    std::string primary;  // where it tells clients that the primary is
    Time heard;
  };

  // Why Sentinel should fail over, for the log; empty: it should not.
  std::string Reason(Time now);
  // What a Sentinel tells clients of, if that is a member which does not lead; empty: none does.
  [[nodiscard]] std::string Mistaken(Time now) const;
  // Those that are connected, in the order of their ids.
  [[nodiscard]] std::vector<std::string> Connected(RedisModuleCtx* ctx, Time now) const;
  void Remember(RedisModuleCtx* ctx, Time now);
  void Ask(RedisModuleCtx* ctx, Time now, const std::string& reason);
  void Judge(SentinelOrder::Outcome outcome, Time now);

  std::map<std::string, Sentinel, std::less<>> known_;  // by the part of the run id that connections are named after
  std::unique_ptr<SentinelOrder> order_;
  std::size_t turn_ = 0;                // whom to ask
  std::optional<Time> accepted_since_;  // by whom is asked now
  Time next_ask_, withhold_until_, missed_at_, next_note_;
  bool changed_ = false;  // somebody is known whom the store need not remember
  std::optional<Time> mistaken_since_;
  bool leaves_ = false;
  std::string said_;  // the last trouble that the log was told
};

Sentinels& TheSentinels();

}  // namespace faha::module
