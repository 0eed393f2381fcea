// Fast detection: a backup whose primary is gone makes Redis Sentinel fail over at once, instead of waiting until
// Sentinel detects the failure.  A false alarm does no harm, because a primary that lives hands over.  Thread: main
// loop only.
//
// FaHA learns which Sentinels exist from the messages that they publish on every node.  Only Sentinels that are also
// connected to this node under their own ids count, because anybody may publish.  All backups ask the Sentinels in the
// same order, and a second order to the same Sentinel has no effect.  Sentinels publish every two seconds, so a node
// that was restarted first uses the Sentinels that it knew before.
//
// A primary that no Sentinel has ordered - by FAHA.FAILOVER, or because nobody was there to give an order - also makes
// Sentinel fail over, if Sentinel tells clients of another member: by itself Sentinel would find out only after half a
// minute.  A primary that is to stop does the same, so that clients are told of the next primary before it stops.
//
// Sentinel sees that its failover has succeeded in the new primary's INFO, and asks for INFO again only a second after
// the last answer.  So a backup that misses its primary, or campaigns because of that, answers Sentinel's INFO with an
// error for a while.  Sentinel, which then has no answer, keeps asking, and finds the new primary as soon as there is
// one.
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

  // Somebody has published this message on the channel.
  void OnHello(std::string_view message);
  // The store was opened: takes over the Sentinels that it remembers.
  void Recall();
  void Tick(RedisModuleCtx* ctx);
  // Tells whether this node is to stop: a node that is to stop while it leads makes Sentinel fail over.
  void Leave(bool leaves) { leaves_ = leaves; }
  // Is the client of `ctx` a Sentinel whose INFO shall be answered with an error, so that it asks again?
  [[nodiscard]] bool Withholds(RedisModuleCtx* ctx) const;
  // Is the client of `ctx` a Sentinel?
  [[nodiscard]] static bool Asks(RedisModuleCtx* ctx);
  // Is any Sentinel connected?
  [[nodiscard]] static bool Watched(RedisModuleCtx* ctx);

 private:
  using Time = std::chrono::steady_clock::time_point;
  struct Sentinel {
    Endpoint address;
    std::string name;     // the name that it has for the primary
    std::string primary;  // the address of the primary that it tells clients
    Time heard;
  };

  // Why Sentinel should fail over, for the log; empty if it should not.
  std::string Reason(Time now);
  // The address that a Sentinel tells clients, if it is of a member that does not lead; empty if no Sentinel does so.
  [[nodiscard]] std::string Mistaken(Time now) const;
  // The ids of the known Sentinels that are connected, in the order of the ids.
  [[nodiscard]] std::vector<std::string> Connected(RedisModuleCtx* ctx, Time now) const;
  void Remember(RedisModuleCtx* ctx, Time now);
  void Ask(RedisModuleCtx* ctx, Time now, const std::string& reason);
  void Judge(SentinelOrder::Outcome outcome, Time now);

  std::map<std::string, Sentinel, std::less<>> known_;  // key: the part of the run id that connections use
  std::unique_ptr<SentinelOrder> order_;
  Epoch asked_in_;                      // this node's epoch when the order was begun
  std::size_t turn_ = 0;                // which Sentinel to ask
  std::optional<Time> accepted_since_;  // when the one that is asked now first accepted
  Time next_ask_, withhold_until_, missed_at_, next_note_;
  bool changed_ = false;  // the store may not remember a known Sentinel yet
  std::optional<Time> mistaken_since_;
  bool leaves_ = false;
  std::string said_;  // the last message that was logged about an order
};

Sentinels& TheSentinels();

}  // namespace faha::module
