// Scores of sorted sets: how they are read from arguments and shown in replies.  Thread: main loop only.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "module/writers.h"

namespace faha::module {

// Parses a number exactly as Redis parses a score or a weight: no spaces, no NaN, nothing too large or too small.
std::optional<double> ParseScore(std::string_view text);

// As Redis prints a score.
std::string ScoreText(double score);

// The score that a member gets in a sorted set that has `size` members then.  Redis keeps the scores of a small one as
// text or as integers, where zero has no sign.
double Kept(RedisModuleCtx* ctx, double score, std::uint64_t size);

// Members with their scores, which own their bytes, or view a collection.
using Scored = std::vector<std::pair<std::string, double>>;
using ScoredViews = std::vector<std::pair<std::string_view, double>>;

// How members are shown: alone, each followed by its score, or as pairs.
struct Shape {
  bool scores = false;
  bool pairs = false;

  // With scores, RESP3 has pairs.
  static Shape Of(RedisModuleCtx* ctx, bool scores) { return {scores, scores && SpeaksResp3(ctx)}; }

  void Begin(RedisModuleCtx* ctx, std::uint64_t members) const {
    RedisModule_ReplyWithArray(ctx, static_cast<long>(scores && !pairs ? 2 * members : members));
  }
  void Send(RedisModuleCtx* ctx, std::string_view member, double score) const {
    if (pairs) RedisModule_ReplyWithArray(ctx, 2);
    SendText(ctx, member);
    if (scores) RedisModule_ReplyWithDouble(ctx, score);
  }
  template <typename Members>
  void SendAll(RedisModuleCtx* ctx, const Members& members) const {
    Begin(ctx, members.size());
    for (const auto& [member, score] : members) Send(ctx, member, score);
  }
};

inline Reply ScoreReply(double score) {
  return Reply::By([score](RedisModuleCtx* ctx) { RedisModule_ReplyWithDouble(ctx, score); });
}

// Puts `members`, which are distinct and in their order, under the key at argument 1, and replies how many they are.
template <typename Members>
Reply StoreResult(Call& call, const Members& members, const char* event) {
  Packer packer;
  for (const auto& [member, score] : members) packer.AddScored(member, Kept(call.ctx(), score, members.size()));
  auto result = OpenPacked<SortedSet>(packer.bytes());
  const auto size = static_cast<std::int64_t>(members.size());
  return After(ReplaceKey(call, 1, std::move(result), REDISMODULE_NOTIFY_ZSET, event), Reply::Integer(size));
}

}  // namespace faha::module
