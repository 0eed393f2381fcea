// A reply of Redis' own commands that consists of names and values.  Thread: main loop only.
#pragma once

#include <string_view>
#include <utility>
#include <vector>

#include "module/redis_api.h"
#include "module/state.h"

namespace faha::module {

// The elements of a map, or of the array that replaces a map before RESP3, in the same form.
using Pair = std::pair<RedisModuleCallReply*, RedisModuleCallReply*>;
class Pairs {
 public:
  // The caller keeps `reply`, which must live as long as this object is used.
  explicit Pairs(RedisModuleCallReply* reply) : is_map_(RedisModule_CallReplyType(reply) == REDISMODULE_REPLY_MAP) {
    const size_t elements = RedisModule_CallReplyLength(reply);
    for (size_t i = 0; i < (is_map_ ? elements : elements / 2); ++i) {
      Pair pair{};
      if (is_map_) {
        RedisModule_CallReplyMapElement(reply, i, &pair.first, &pair.second);
      } else {
        pair = {RedisModule_CallReplyArrayElement(reply, 2 * i), RedisModule_CallReplyArrayElement(reply, 2 * i + 1)};
      }
      pairs_.push_back(pair);
    }
  }
  [[nodiscard]] const std::vector<Pair>& all() const { return pairs_; }
  // Null if there is no such name.
  [[nodiscard]] RedisModuleCallReply* Find(std::string_view name) const {
    for (const Pair& pair : pairs_) {
      if (TextOf(pair.first) == name) return pair.second;
    }
    return nullptr;
  }
  void Begin(RedisModuleCtx* ctx, std::size_t count) const {
    is_map_ ? RedisModule_ReplyWithMap(ctx, static_cast<long>(count))
            : RedisModule_ReplyWithArray(ctx, static_cast<long>(2 * count));
  }

 private:
  bool is_map_;
  std::vector<Pair> pairs_;
};

}  // namespace faha::module
