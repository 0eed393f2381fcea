// Expiry: the options by which commands name a time, and the end of a key whose time has come.  Thread: main loop only.
#pragma once

#include <optional>

#include "module/call.h"

namespace faha::module {

// Of SET and GETEX: at most one of them, and its argument.
struct Deadline {
  enum class Unit { kNone, kEx, kPx, kExAt, kPxAt } unit = Unit::kNone;
  int arg = 0;

  [[nodiscard]] bool given() const { return unit != Unit::kNone; }
  [[nodiscard]] bool absolute() const { return unit == Unit::kExAt || unit == Unit::kPxAt; }
};

// Is argument `i` one of EX, PX, EXAT, PXAT with a value behind it, and the only kind so far?  Then takes both, and
// leaves `i` at the value.
bool TakeDeadline(const Call& call, int& i, Deadline& deadline);

// The time a deadline names.  On a bad one nothing, and the error is in `error`.
std::optional<TimeMs> TimeOf(const Call& call, const Deadline& deadline, std::optional<Reply>& error);

// Deletes a key whose time has come, and tells who watches.  False: not now, for the log has no room, or clients are
// paused and nothing may be written.
bool RemoveExpired(RedisModuleCtx* ctx, DbId db, RedisModuleString* key);
// The same where no client has named it; `db`, which must be one that the server is configured to have, is selected.
bool RemoveExpired(RedisModuleCtx* ctx, DbId db, std::string_view key);

}  // namespace faha::module
