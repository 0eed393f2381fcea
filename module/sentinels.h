// Fast detection: a backup whose primary is gone has Redis Sentinel fail over at once, instead of waiting until
// Sentinel finds out.  A false alarm does no harm: a primary that lives hands over.  Thread: main loop only.
//
// Who the Sentinels are is overheard from what they publish on every node; only those count that are connected to this
// one under their own ids, for anybody may publish.  All backups ask them in the same order, and a second order to the
// same Sentinel is none.
//
// Sentinel sees its failover succeed in the new primary's INFO, of which it has at most one a second answered.  So a
// backup that has lost its primary answers Sentinel's INFO late: while one is unanswered Sentinel goes on asking, and
// the question that follows its SLAVEOF NO ONE is answered at once.
#pragma once

#include <chrono>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "faha/types.h"
#include "module/redis_api.h"
#include "module/sentinel_order.h"

namespace faha::module {

class Sentinels {
 public:
  static constexpr std::string_view kChannel = "__sentinel__:hello";

  // Somebody published this on the channel.
  void OnHello(std::string_view message);
  void Tick(RedisModuleCtx* ctx);
  // Blocks the client of `ctx` if it is a Sentinel that should wait for its answer, which `answer` gives later.
  bool Hold(RedisModuleCtx* ctx, RedisModuleCmdFunc answer);

 private:
  using Time = std::chrono::steady_clock::time_point;
  struct Sentinel {
    Endpoint address;
    std::string name;  // of the primary, to it
    Time heard;
  };
  struct Held {
    RedisModuleBlockedClient* client;
    Time until;
  };

  void Ask(RedisModuleCtx* ctx, Time now);
  void Judge(SentinelOrder::Outcome outcome, Time now);
  void Release(Time now);

  std::map<std::string, Sentinel, std::less<>> known_;  // by run id
  bool alarmed_ = false;
  std::unique_ptr<SentinelOrder> order_;
  std::size_t turn_ = 0;  // whom to ask
  Time next_ask_, hold_until_;
  std::deque<Held> held_;
  std::string said_;  // the last trouble that the log was told
};

Sentinels& TheSentinels();

}  // namespace faha::module
