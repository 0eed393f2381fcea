// One execution of one command: its arguments, its view of the keyspace, and its reply.  Thread: main loop only.
// A handler reads and writes through a Call and returns a Reply; the gate (gate.h) checks the node's role,
// commits where the turn's commit would come too late, and sends the reply.
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
  // Views as those of Bulk.
  static Reply Array(Texts items) { return Reply(Kind::kArray, std::move(items)); }
  static Reply Integers(Numbers numbers) { return Reply(Kind::kIntegers, std::move(numbers)); }
  // As Redis' own command replied.
  static Reply Native(std::shared_ptr<RedisModuleCallReply> native) { return Reply(Kind::kNative, std::move(native)); }
  // Writes itself, once it may leave: in a command that writes it may name nothing that the store holds.
  static Reply By(Writer writer) { return Reply(Kind::kWriter, std::move(writer)); }
  // The handler has replied by itself, or blocked the client: not for a command of data.
  static Reply Sent() { return Reply(Kind::kSent); }

  [[nodiscard]] Kind kind() const { return kind_; }
  // Copies what it only views: something is about to be written.
  void Own();
  int SendTo(RedisModuleCtx* ctx) const;

 private:
  using Body = std::variant<std::monostate, std::int64_t, std::string_view, std::string, Texts, OwnedTexts, Numbers,
                            std::shared_ptr<RedisModuleCallReply>, Writer>;
  explicit Reply(Kind kind, Body body = {}) : kind_(kind), body_(std::move(body)) {}

  Kind kind_;
  Body body_;
};

class Call {
 public:
  // In the selected database.
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
  // Case does not matter.
  [[nodiscard]] bool Is(int i, std::string_view option) const;
  [[nodiscard]] DbId db() const { return db_; }
  [[nodiscard]] Store& store() const { return *TheState().store; }

  // In a loop over the keys at the arguments 1, 1 + step, ...: called for each, fetches ahead the next few now and
  // then.
  void FetchAhead(int i, int step = 1) const;

  // The same for one key, which the filter has announced.
  void FetchFirst(int i) const {
    if (i >= argc_) return;
    const std::string_view key = arg(i);
    store().Prefetch(db_, std::span(&key, 1));
  }

  // The entry of the key at argument `i`; nothing if it has expired, which `expired` tells.  Writes nothing.
  std::optional<Entry> Peek(int i, bool& expired);
  // The same; where this node may write, one that has expired goes.
  std::optional<Entry> Find(int i);

  // The same for a command that reads, by which it counts as a hit or a miss.
  std::optional<Entry> Look(int i);
  static void CountLookup(bool hit) { ++(hit ? TheState().hits : TheState().misses); }

  // The same, and subscribers may hear of a key that is not there.
  std::optional<Entry> Read(int i);

  // May a record for argument `key` with a value of `value_bytes` be written?  Before anything is changed.
  Status MayWrite(int key, std::uint64_t value_bytes);
  // `anew`: Redis deletes the key first if it is there.
  Status Put(int key, std::string_view value, TimeMs expire_at, int event_class, const char* event, bool anew = false);
  // Makes room for it as well, also in a full pool.
  Status Delete(int key, const char* event = "del");
  // The same for which room was made: see Store::CheckErase.
  Status Erase(int key, const char* event = "del");
  // The key at argument `key` was to be read, and is not there.
  void Missed(int key) { Notify(key, REDISMODULE_NOTIFY_KEY_MISS, "keymiss"); }
  // It is there now and was not.
  void New(int key) { Notify(key, REDISMODULE_NOTIFY_NEW, "new"); }
  void Notify(int key, int event_class, const char* event) {
    RedisModule_NotifyKeyspaceEvent(ctx_, event_class, event, argv_[key]);
  }
  // Tells WATCH, client-side caches and subscribers that the key at argument `key` has changed.
  void Changed(int key, int event_class, const char* event);

  // May a value of `bytes` be, by Redis' own limit (proto-max-bulk-len)?  Nothing, or its error.
  [[nodiscard]] std::optional<Reply> TooLong(std::uint64_t bytes) const;

  [[nodiscard]] Reply WrongArity() const;
  static Reply SyntaxError() { return Reply::Error("ERR syntax error"); }
  static Reply NotAnInteger() { return Reply::Error("ERR value is not an integer or out of range"); }
  [[nodiscard]] Reply BadExpireTime() const;

 private:
  RedisModuleCtx* ctx_;
  RedisModuleString** argv_;
  int argc_;
  std::string_view name_;
  DbId db_;
};

// The reply of the many commands that end with one write.
inline Reply After(const Status& status, Reply reply) { return status.ok() ? std::move(reply) : Reply::Error(status); }

// An integer exactly as Redis reads one: no spaces, no plus, no leading zeros.
std::optional<std::int64_t> ParseInteger(std::string_view text);

}  // namespace faha::module
