// Replies that are written straight from a collection.  Thread: main loop only.
#pragma once

#include <memory>
#include <string_view>
#include <utility>

#include "module/views.h"

namespace faha::module {

inline void SendText(RedisModuleCtx* ctx, std::string_view text) {
  RedisModule_ReplyWithStringBuffer(ctx, text.data(), text.size());
}

inline Reply NullArray() {
  return Reply::By([](RedisModuleCtx* ctx) { RedisModule_ReplyWithNullArray(ctx); });
}

inline bool SpeaksResp3(RedisModuleCtx* ctx) {
  return (RedisModule_GetContextFlags(ctx) & REDISMODULE_CTX_FLAGS_RESP3) != 0;
}

// The reply of a command that only reads: write(ctx, collection) writes it, and may send views of the collection.
template <typename Kind, typename Write>
Reply Holding(Opened<Kind> opened, Write write) {
  auto held = std::make_shared<const Opened<Kind>>(std::move(opened));
  return Reply::By([held = std::move(held), write = std::move(write)](RedisModuleCtx* ctx) { write(ctx, **held); });
}

}  // namespace faha::module
