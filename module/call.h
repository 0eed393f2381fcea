// One execution of one command: its arguments, its view of the keyspace, and its reply.  Thread: main loop only.
// A handler reads and writes through a Call and returns a Reply.  The gate (gate.h) checks the node's role, commits
// inside the command if the commit at the end of the turn would be too late, and sends the reply.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "faha/store.h"
#include "module/state.h"

namespace faha::module {

class Reply {
 public:
  enum class Kind {
    kOk,
    kNull,
    kInteger,
    kView,
    kText,
    kError,
    kSimple,
    kArray,
    kOwned,
    kIntegers,
    kNative,
    kWriter,
    kSent
  };

  using Texts = std::vector<std::optional<std::string_view>>;
  using Numbers = std::vector<std::optional<std::int64_t>>;
  using OwnedTexts = std::vector<std::optional<std::string>>;
  using Writer = std::function<void(RedisModuleCtx*)>;

  static Reply Ok() { return Reply(Kind::kOk); }
  static Reply Null() { return Reply(Kind::kNull); }
  static Reply Integer(std::int64_t value) { return Reply(Kind::kInteger, value); }
  // `view` must stay valid until the reply is sent: nothing may be written after it was read.
  static Reply Bulk(std::string_view view) { return Reply(Kind::kView, view); }
  static Reply Text(std::string text) { return Reply(Kind::kText, std::move(text)); }
  static Reply Simple(std::string text) { return Reply(Kind::kSimple, std::move(text)); }
  // `text` starts with its code: "ERR ...".
  static Reply Error(std::string text) { return Reply(Kind::kError, std::move(text)); }
  static Reply Error(const Status& status) { return Error(status.ToString()); }
  // The views must stay valid as those of Bulk must.
  static Reply Array(Texts items) { return Reply(Kind::kArray, std::move(items)); }
  static Reply Integers(Numbers numbers) { return Reply(Kind::kIntegers, std::move(numbers)); }
  // The reply of Redis' own command, passed on as it is.
  static Reply Native(std::shared_ptr<RedisModuleCallReply> native) { return Reply(Kind::kNative, std::move(native)); }
  // `writer` writes the reply once it may leave.  In a command that writes, it must not refer to anything that the
  // store holds.
  static Reply By(Writer writer) { return Reply(Kind::kWriter, std::move(writer)); }
  // The handler has replied by itself, or has blocked the client.  Not allowed for a data command.
  static Reply Sent() { return Reply(Kind::kSent); }

  [[nodiscard]] Kind kind() const { return kind_; }
  // Copies the bytes that this reply only views, because a write is about to follow.
  void Own();
  int SendTo(RedisModuleCtx* ctx) const;

 private:
  using Body = std::variant<std::monostate, std::int64_t, std::string_view, std::string, Texts, OwnedTexts, Numbers,
                            std::shared_ptr<RedisModuleCallReply>, Writer>;
  explicit Reply(Kind kind, Body body = {}) : kind_(kind), body_(std::move(body)) {}

  Kind kind_;
  Body body_;
};

// To be called when the module is loaded.  Redis copies a simple string and searches it for line ends each time it is
// sent; a reply that Redis itself made is only sent.  There is none if SELECT was renamed.
void MakeReplies(RedisModuleCtx* ctx);

class Call {
 public:
  // Works in the selected database.
  Call(RedisModuleCtx* ctx, RedisModuleString** argv, int argc, std::string_view name)
      : Call(ctx, argv, argc, name, static_cast<DbId>(RedisModule_GetSelectedDb(ctx))) {}
  Call(RedisModuleCtx* ctx, RedisModuleString** argv, int argc, std::string_view name, DbId db)
      : ctx_(ctx), argv_(argv), argc_(argc), name_(name), db_(db) {}

  [[nodiscard]] RedisModuleCtx* ctx() const { return ctx_; }
  [[nodiscard]] std::string_view name() const { return name_; }  // as Redis calls it: "set"
  [[nodiscard]] int size() const { return argc_; }
  [[nodiscard]] std::string_view arg(int i) const { return View(argv_[i]); }
  [[nodiscard]] RedisModuleString* raw(int i) const { return argv_[i]; }
  [[nodiscard]] RedisModuleString** raw() const { return argv_; }
  // Compares without regard to case.
  [[nodiscard]] bool Is(int i, std::string_view option) const;
  [[nodiscard]] DbId db() const { return db_; }
  [[nodiscard]] Store& store() const { return *TheState().store; }

  // For a loop over the keys at the arguments 1, 1 + step, ...: call it for each key.  Now and then it prefetches the
  // next few keys.
  void FetchAhead(int i, int step = 1) const;

  // Prefetches one key, which the filter has announced.
  void FetchFirst(int i) const {
    if (i >= argc_) return;
    const std::string_view key = arg(i);
    store().Prefetch(db_, std::span(&key, 1));
  }

  // The entry of the key at argument `i`, of any type.  Returns nothing if there is none or it has expired; `expired`
  // tells which.  Writes nothing.
  std::optional<Entry> Peek(int i, bool& expired);
  // As Peek; where this node may write, an expired key is deleted as well.
  std::optional<Entry> FindAny(int i);

  // As FindAny, for a command that reads: counts a hit or a miss.
  std::optional<Entry> LookAny(int i);
  static void CountLookup(bool hit) { ++(hit ? TheState().hits : TheState().misses); }

  // As LookAny; a missing key is also reported to subscribers (keymiss).
  std::optional<Entry> ReadAny(int i);

  // As FindAny and ReadAny, of a key that must be of `type` if it is there.  If it is of another type, nothing is
  // returned, and the call is refused with WrongType().
  std::optional<Entry> Find(int i, ValueType type = ValueType::kString) { return OfType(FindAny(i), type); }
  std::optional<Entry> Read(int i, ValueType type = ValueType::kString) { return OfType(ReadAny(i), type); }
  // From now on the call writes nothing, and its reply is this error, whatever the handler returns.  The first error
  // counts.
  void Refuse(Status status) {
    if (refused_.ok()) refused_ = std::move(status);
  }
  [[nodiscard]] const Status& refused() const { return refused_; }
  // In Redis' words.
  static Status WrongType() { return {Code::kWrongType, "Operation against a key holding the wrong kind of value"}; }

  // May a record for the key at argument `key` with a value of `value_bytes` be written?  Call it before anything is
  // changed.
  Status MayWrite(int key, std::uint64_t value_bytes);
  // `anew`: Redis deletes the key first if it is there.
  Status Put(int key, const Entry& entry, int event_class, const char* event, bool anew = false);
  // Also makes room for the delete, even in a full pool.
  Status Delete(int key, const char* event = "del");
  // As Delete, where room was made before: see Store::CheckErase.
  Status Erase(int key, const char* event = "del");
  // A command wanted to read the key at argument `key`, and there is no such key.
  void Missed(int key) { Notify(key, REDISMODULE_NOTIFY_KEY_MISS, "keymiss"); }
  // The key at argument `key` did not exist before, and exists now.
  void New(int key) { Notify(key, REDISMODULE_NOTIFY_NEW, "new"); }
  void Notify(int key, int event_class, const char* event) {
    RedisModule_NotifyKeyspaceEvent(ctx_, event_class, event, argv_[key]);
  }
  // Tells WATCH, client-side caches, subscribers and those who wait for the key at argument `key` that it has changed.
  void Changed(int key, int event_class, const char* event);

  // Does Redis' own limit (proto-max-bulk-len) allow a value of `bytes`?  Returns nothing if so, otherwise the error
  // reply.
  [[nodiscard]] std::optional<Reply> TooLong(std::uint64_t bytes) const;

  [[nodiscard]] Reply WrongArity() const;
  static Reply SyntaxError() { return Reply::Error("ERR syntax error"); }
  static Reply NotAnInteger() { return Reply::Error("ERR value is not an integer or out of range"); }
  [[nodiscard]] Reply BadExpireTime() const;

 private:
  std::optional<Entry> OfType(std::optional<Entry> entry, ValueType type);

  RedisModuleCtx* ctx_;
  RedisModuleString** argv_;
  int argc_;
  std::string_view name_;
  DbId db_;
  Status refused_;
};

// For Redis, which asks for the keys of this command: those whose number is the argument `number`, and which follow it.
void FindCountedKeys(const Call& call, int number, int flags);

// The reply of the many commands that end with one write: `reply` if the write succeeded, otherwise its error.
inline Reply After(const Status& status, Reply reply) { return status.ok() ? std::move(reply) : Reply::Error(status); }

// Are the two equal, but for the case of letters?
bool EqualsIgnoringCase(std::string_view a, std::string_view b);

// Parses an integer exactly as Redis does: no spaces, no plus sign, no leading zeros.
std::optional<std::int64_t> ParseInteger(std::string_view text);
// Parses a floating-point number as Redis' INCRBYFLOAT does, and prints one as it does.
std::optional<long double> ParseFloat(std::string_view text);
std::string TextOfFloat(long double value);

}  // namespace faha::module
