// Expiry: the options by which commands name a time, and the deletion of an expired key.  Thread: main loop only.
#pragma once

#include <optional>

#include "module/call.h"

namespace faha::module {

// The expiry option of SET and GETEX: which of the four it is, if any, and its argument.
struct Deadline {
  enum class Unit { kNone, kEx, kPx, kExAt, kPxAt } unit = Unit::kNone;
  int arg = 0;

  [[nodiscard]] bool given() const { return unit != Unit::kNone; }
  [[nodiscard]] bool absolute() const { return unit == Unit::kExAt || unit == Unit::kPxAt; }
};

// Is argument `i` one of EX, PX, EXAT, PXAT, with a value after it, and the first of these options?  Then consumes both
// arguments and leaves `i` at the value.
bool TakeDeadline(const Call& call, int& i, Deadline& deadline);

// The time that a deadline names.  If the deadline is bad, returns nothing and puts the error in `error`.
std::optional<TimeMs> TimeOf(const Call& call, const Deadline& deadline, std::optional<Reply>& error);

// Deletes an expired key, and tells those who watch it.  False: it cannot be deleted now, because the log has no room,
// or because clients are paused and nothing may be written.
bool RemoveExpired(RedisModuleCtx* ctx, DbId db, RedisModuleString* key);
// The same for a key that no client has named.  It selects `db`, which must be one of the databases that the server is
// configured to have.
bool RemoveExpired(RedisModuleCtx* ctx, DbId db, std::string_view key);

}  // namespace faha::module
