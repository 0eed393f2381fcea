#include "module/call.h"

#include <strings.h>

#include <array>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <span>

#include "module/blocking.h"
#include "module/expiry.h"

namespace faha::module {

std::string ConfigValue(RedisModuleCtx* ctx, const char* name) {
  RedisModuleCallReply* reply = CallServer(ctx, "CONFIG", "cc", "GET", name);
  if (reply == nullptr) return {};
  std::string value;
  if (RedisModule_CallReplyType(reply) == REDISMODULE_REPLY_ARRAY && RedisModule_CallReplyLength(reply) == 2) {
    value = TextOf(RedisModule_CallReplyArrayElement(reply, 1));
  }
  RedisModule_FreeCallReply(reply);
  return value;
}

void Reply::Own() {
  if (kind_ == Kind::kView) *this = Text(std::string(std::get<std::string_view>(body_)));
  if (kind_ != Kind::kArray) return;
  const Texts& views = std::get<Texts>(body_);
  *this = Reply(Kind::kOwned, OwnedTexts(views.begin(), views.end()));
}

namespace {

RedisModuleCallReply* ok_reply = nullptr;

int SendOk(RedisModuleCtx* ctx) {
  return ok_reply != nullptr ? RedisModule_ReplyWithCallReply(ctx, ok_reply)
                             : RedisModule_ReplyWithSimpleString(ctx, "OK");
}

}  // namespace

void MakeReplies(RedisModuleCtx* ctx) { ok_reply = CallServer(ctx, "SELECT", "c", "0"); }

int Reply::SendTo(RedisModuleCtx* ctx) const {
  const auto send_array = [ctx](const auto& items, auto send) {
    RedisModule_ReplyWithArray(ctx, static_cast<long>(items.size()));
    for (const auto& item : items) item ? send(*item) : RedisModule_ReplyWithNull(ctx);
    return REDISMODULE_OK;
  };
  const auto send_bulk = [ctx](std::string_view text) {
    return RedisModule_ReplyWithStringBuffer(ctx, text.data(), text.size());
  };
  const auto send_integer = [ctx](std::int64_t value) { return RedisModule_ReplyWithLongLong(ctx, value); };
  switch (kind_) {
    case Kind::kOk: return SendOk(ctx);
    case Kind::kNull: return RedisModule_ReplyWithNull(ctx);
    case Kind::kInteger: return send_integer(std::get<std::int64_t>(body_));
    case Kind::kView: return send_bulk(std::get<std::string_view>(body_));
    case Kind::kText: return send_bulk(std::get<std::string>(body_));
    case Kind::kSimple: return RedisModule_ReplyWithSimpleString(ctx, std::get<std::string>(body_).c_str());
    case Kind::kError: return RedisModule_ReplyWithError(ctx, std::get<std::string>(body_).c_str());
    case Kind::kArray: return send_array(std::get<Texts>(body_), send_bulk);
    case Kind::kOwned: return send_array(std::get<OwnedTexts>(body_), send_bulk);
    case Kind::kWriter: std::get<Writer>(body_)(ctx); break;
    case Kind::kIntegers: return send_array(std::get<Numbers>(body_), send_integer);
    case Kind::kNative:
      return RedisModule_ReplyWithCallReply(ctx, std::get<std::shared_ptr<RedisModuleCallReply>>(body_).get());
    case Kind::kSent: break;
  }
  return REDISMODULE_OK;
}

bool EqualsIgnoringCase(std::string_view a, std::string_view b) {
  return a.size() == b.size() && strncasecmp(a.data(), b.data(), a.size()) == 0;
}

bool Call::Is(int i, std::string_view option) const { return EqualsIgnoringCase(arg(i), option); }

void Call::FetchAhead(int i, int step) const {
  std::array<std::string_view, Store::kPrefetchKeys> keys;
  if (argc_ <= 1 + step || static_cast<std::size_t>((i - 1) / step) % keys.size() != 0) return;
  std::size_t count = 0;
  for (; i < argc_ && count < keys.size(); i += step) keys[count++] = arg(i);
  store().Prefetch(db_, std::span(keys).first(count));
}

std::optional<Entry> Call::Peek(int i, bool& expired) {
  auto entry = store().Get(db_, arg(i));
  if (!entry || entry->expire_at == kNoExpiry || UnitTime() <= entry->expire_at) return entry;
  expired = true;
  return std::nullopt;
}

std::optional<Entry> Call::FindAny(int i) {
  bool expired = false;
  auto entry = Peek(i, expired);
  // The key is gone for everybody who asks.  The record of its delete matters less than an answer, so a full pool does
  // not matter.
  if (expired) (void)RemoveExpired(ctx_, db_, argv_[i]);
  return entry;
}

std::optional<Entry> Call::LookAny(int i) {
  auto entry = FindAny(i);
  CountLookup(entry.has_value());
  return entry;
}

std::optional<Entry> Call::ReadAny(int i) {
  auto entry = LookAny(i);
  if (!entry) Missed(i);
  return entry;
}

std::optional<Entry> Call::OfType(std::optional<Entry> entry, ValueType type) {
  if (!entry || entry->type == type) return entry;
  Refuse(WrongType());
  return std::nullopt;
}

Status Call::MayWrite(int key, std::uint64_t value_bytes) {
  if (!refused_.ok()) return refused_;
  const std::uint64_t bytes = arg(key).size() + value_bytes;
  if (bytes > store().MaxRecordBytes()) {
    return {Code::kTooLarge, "key and value are " + std::to_string(bytes) + " bytes, the limit is " +
                                 std::to_string(store().MaxRecordBytes()) + ": faha.segment-bytes of the pool sets it"};
  }
  return store().CheckWrite(bytes, 1);
}

Status Call::Put(int key, const Entry& entry, int event_class, const char* event, bool anew) {
  Status status = MayWrite(key, entry.value.size());
  if (!status.ok()) return status;
  bool expired = false;
  const bool is_new =
      (RedisModule_GetNotifyKeyspaceEvents() & REDISMODULE_NOTIFY_NEW) != 0 && (anew || !Peek(key, expired));
  status = store().Put(db_, arg(key), entry);
  if (!status.ok()) return status;
  if (is_new) New(key);
  Changed(key, event_class, event);
  return status;
}

Status Call::Delete(int key, const char* event) {
  if (!refused_.ok()) return refused_;
  Status status = store().CheckErase(arg(key).size(), 1);
  return status.ok() ? Erase(key, event) : status;
}

Status Call::Erase(int key, const char* event) {
  Status status = store().Delete(db_, arg(key));
  if (status.ok()) Changed(key, REDISMODULE_NOTIFY_GENERIC, event);
  return status;
}

void Call::Changed(int key, int event_class, const char* event) {
  RedisModule_SignalModifiedKey(ctx_, argv_[key]);
  MayServe(db_, arg(key));
  Notify(key, event_class, event);
}

std::optional<Reply> Call::TooLong(std::uint64_t bytes) const {
  constexpr std::uint64_t kLeastLimit = std::uint64_t{1}
                                        << 20;  // Redis accepts no lower limit; reading the setting costs a look-up
  if (bytes <= kLeastLimit) return std::nullopt;
  const auto limit = ParseInteger(ConfigValue(ctx_, "proto-max-bulk-len")).value_or(512 * 1024 * 1024);
  if (bytes <= static_cast<std::uint64_t>(limit)) return std::nullopt;
  return Reply::Error("ERR string exceeds maximum allowed size (proto-max-bulk-len)");
}

// Redis reads the number of keys with the C library here, which passes over what follows it.
void FindCountedKeys(const Call& call, int number, int flags) {
  const long keys = std::strtol(std::string(call.arg(number)).c_str(), nullptr, 10);
  if (keys < 1 || keys > call.size() - number - 1) return;
  for (int key = number + 1; key < keys + number + 1; ++key) RedisModule_KeyAtPosWithFlags(call.ctx(), key, flags);
}

Reply Call::WrongArity() const {
  return Reply::Error("ERR wrong number of arguments for '" + std::string(name_) + "' command");
}

Reply Call::BadExpireTime() const {
  return Reply::Error("ERR invalid expire time in '" + std::string(name_) + "' command");
}

std::optional<long double> ParseFloat(std::string_view text) {
  RedisModuleString* copy = RedisModule_CreateString(nullptr, text.data(), text.size());
  long double value = 0;
  const bool parsed = RedisModule_StringToLongDouble(copy, &value) == REDISMODULE_OK && !std::isnan(value);
  RedisModule_FreeString(nullptr, copy);
  return parsed ? std::optional(value) : std::nullopt;
}

std::string TextOfFloat(long double value) {
  RedisModuleString* text = RedisModule_CreateStringFromLongDouble(nullptr, value, 1);
  std::string result(View(text));
  RedisModule_FreeString(nullptr, text);
  return result;
}

std::optional<std::int64_t> ParseInteger(std::string_view text) {
  if (text.empty() || text == "-0") return std::nullopt;
  const std::string_view digits = text.substr(text.front() == '-' ? 1 : 0);
  if (digits.empty() || (digits.front() == '0' && digits.size() > 1)) return std::nullopt;
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace faha::module
