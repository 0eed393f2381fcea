// Commands that give keys another name or another database: RENAME, RENAMENX, COPY, MOVE.  Semantics, replies and
// errors are those of Redis 7.0.  A command that needs several records is one unit, and makes sure of the room for all
// before it writes the first.
#include <limits>

#include "module/commands.h"
#include "module/views.h"

namespace faha::module::move {
namespace {

constexpr int kGeneric = REDISMODULE_NOTIFY_GENERIC;

// Selects another database as long as this object lives.
class Selected {
 public:
  Selected(RedisModuleCtx* ctx, int db) : ctx_(ctx), before_(RedisModule_GetSelectedDb(ctx)) {
    exists_ = RedisModule_SelectDb(ctx, db) == REDISMODULE_OK;
  }
  ~Selected() { RedisModule_SelectDb(ctx_, before_); }
  Selected(const Selected&) = delete;
  Selected& operator=(const Selected&) = delete;
  [[nodiscard]] bool exists() const { return exists_; }

 private:
  RedisModuleCtx* ctx_;
  int before_;
  bool exists_ = false;
};

// The same call with the selected database as its own.
Call Here(const Call& call) { return {call.ctx(), call.raw(), call.size(), call.name()}; }

// The database that argument `i` names, or the error.
std::optional<int> ParseDb(const Call& call, int i, std::optional<Reply>& error) {
  const auto number = ParseInteger(call.arg(i));
  if (!number) {
    error = Call::NotAnInteger();
  } else if (*number < std::numeric_limits<int>::min() || *number > std::numeric_limits<int>::max()) {
    error = Reply::Error("ERR value is out of range, value must between -2147483648 and 2147483647");
  } else if (!Selected(call.ctx(), static_cast<int>(*number)).exists()) {
    error = Reply::Error("ERR DB index is out of range");
  }
  return error ? std::nullopt : std::optional(static_cast<int>(*number));
}

// Is there room for `value` under the key at argument `to`, and for the delete of the key at argument `from`?
Status MayReplace(Call& call, int from, int to, std::string_view value) {
  if (Status status = call.MayWrite(to, value.size()); !status.ok()) return status;
  return call.store().CheckWrite(call.arg(from).size() + call.arg(to).size() + value.size(), 2);
}

Reply NoSuchKey() { return Reply::Error("ERR no such key"); }
Reply SameObject() { return Reply::Error("ERR source and destination objects are the same"); }

Reply RenameWith(Call& call, bool only_new) {
  const Reply done = only_new ? Reply::Integer(1) : Reply::Ok();
  const auto entry = call.FindAny(1);
  if (!entry) return NoSuchKey();
  if (call.arg(1) == call.arg(2)) return only_new ? Reply::Integer(0) : done;
  const std::string value(entry->value);
  const Entry moved{value, entry->expire_at, entry->type, entry->large};
  if (call.FindAny(2) && only_new) return Reply::Integer(0);
  Status status = MayReplace(call, 1, 2, value);
  if (status.ok()) status = call.store().Put(call.db(), call.arg(2), moved);
  if (status.ok()) status = call.store().Delete(call.db(), call.arg(1));
  if (!status.ok()) return Reply::Error(status);
  call.New(2);
  call.Changed(1, kGeneric, "rename_from");
  call.Changed(2, kGeneric, "rename_to");
  return done;
}

struct CopyOptions {
  int db = 0;
  bool replace = false;
};

std::optional<Reply> ParseCopyOptions(const Call& call, CopyOptions& options) {
  for (int i = 3; i < call.size(); ++i) {
    std::optional<Reply> error;
    if (call.Is(i, "replace")) {
      options.replace = true;
    } else if (call.Is(i, "db") && i + 1 < call.size()) {
      const auto db = ParseDb(call, ++i, error);
      if (!db) return error;
      options.db = *db;
    } else {
      return Call::SyntaxError();
    }
  }
  return std::nullopt;
}

}  // namespace

Reply Rename(Call& call) { return RenameWith(call, false); }
Reply RenameNx(Call& call) { return RenameWith(call, true); }

Reply Copy(Call& call) {
  CopyOptions options{.db = static_cast<int>(call.db())};
  if (auto error = ParseCopyOptions(call, options)) return *error;
  if (options.db == static_cast<int>(call.db()) && call.arg(1) == call.arg(2)) return SameObject();
  const auto entry = call.ReadAny(1);
  if (!entry) return Reply::Integer(0);
  const std::string value(entry->value);
  const Entry source{value, entry->expire_at, entry->type, entry->large};
  const Selected selected(call.ctx(), options.db);
  Call there = Here(call);
  if (there.FindAny(2) && !options.replace) return Reply::Integer(0);
  std::string name;
  const auto copy = Settled(there, 2, source, true, name);
  if (!copy.ok()) return Reply::Error(copy.status());
  return After(there.Put(2, copy.value(), kGeneric, "copy_to", true), Reply::Integer(1));
}

Reply Move(Call& call) {
  std::optional<Reply> error;
  const auto db = ParseDb(call, 2, error);
  if (!db) return *error;
  if (*db == static_cast<int>(call.db())) return SameObject();
  const auto entry = call.FindAny(1);
  if (!entry) return Reply::Integer(0);
  const std::string value(entry->value);
  const Entry moved{value, entry->expire_at, entry->type, entry->large};
  const auto target = static_cast<DbId>(*db);
  {
    const Selected selected(call.ctx(), *db);
    if (Here(call).FindAny(1)) return Reply::Integer(0);
  }
  Status status = MayReplace(call, 1, 1, value);
  if (status.ok()) status = call.store().Put(target, call.arg(1), moved);
  if (status.ok()) status = call.store().Delete(call.db(), call.arg(1));
  if (!status.ok()) return Reply::Error(status);
  {
    const Selected selected(call.ctx(), *db);
    Here(call).New(1);
  }
  call.Changed(1, kGeneric, "move_from");
  const Selected selected(call.ctx(), *db);
  Here(call).Changed(1, kGeneric, "move_to");
  return Reply::Integer(1);
}

}  // namespace faha::module::move
