// What Redis tells about a value apart from its content: OBJECT, and DEBUG's OBJECT, DIGEST and DIGEST-VALUE.  FaHA
// stores only bytes, and answers as a server would in which the value has just been SET or, of a collection, restored.
#include <arpa/inet.h>
#include <openssl/evp.h>

#include <array>
#include <initializer_list>
#include <type_traits>

#include "faha/collections.h"
#include "module/commands.h"
#include "module/scores.h"
#include "module/scratch.h"

namespace faha::module::object {
namespace {

constexpr std::size_t kEmbeddedBytes = 44;

std::string EncodingOf(std::string_view value) {
  if (ParseInteger(value)) return "int";
  return value.size() <= kEmbeddedBytes ? "embstr" : "raw";
}

std::uint64_t Threshold(Call& call, const std::string& name) {
  return static_cast<std::uint64_t>(ParseInteger(ConfigValue(call.ctx(), name.c_str())).value_or(0));
}

// Is the collection so small that Redis packs it, by its settings `name`-entries and `name`-value?
template <typename Kind>
bool FitsListpack(Call& call, const Kind& collection, const std::string& name) {
  if (collection.Size() > Threshold(call, name + "-entries")) return false;
  const std::uint64_t most = Threshold(call, name + "-value");
  bool fits = true;
  const auto check = [&](const auto& part) {
    if constexpr (std::is_same_v<decltype(part), const std::string_view&>) fits = fits && part.size() <= most;
  };
  ForEachElement(collection, [&](auto... parts) { (check(parts), ...); });
  return fits;
}

bool FitsIntset(Call& call, const Set& set) {
  if (set.Size() > Threshold(call, "set-max-intset-entries")) return false;
  bool integers = true;
  ForEachElement(set, [&](std::string_view member) { integers = integers && ParseInteger(member); });
  return integers;
}

// As Redis would have it had the collection just been restored.  Nothing: only the server itself can tell.
std::optional<std::string> EncodingOf(Call& call, const Collection& collection) {
  const bool later = !ServerIsBefore(7, 2);
  const auto choose = [](bool first, const char* one, const char* other) { return first ? one : other; };
  switch (collection.type()) {
    case ValueType::kHash:
      return choose(FitsListpack(call, static_cast<const Hash&>(collection), "hash-max-listpack"), "listpack",
                    "hashtable");
    case ValueType::kSortedSet:
      return choose(FitsListpack(call, static_cast<const SortedSet&>(collection), "zset-max-listpack"), "listpack",
                    "skiplist");
    case ValueType::kSet: {
      const auto& set = static_cast<const Set&>(collection);
      if (FitsIntset(call, set)) return "intset";
      return choose(later && FitsListpack(call, set, "set-max-listpack"), "listpack", "hashtable");
    }
    case ValueType::kList: return later ? std::nullopt : std::optional<std::string>("quicklist");
    case ValueType::kString: break;
  }
  return std::nullopt;
}

bool FrequencyIsTracked(const Call& call) { return ConfigValue(call.ctx(), "maxmemory-policy").ends_with("-lfu"); }

constexpr const char* kAdjust =
    " not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to "
    "adjust.";

// Redis' digest of a data set: SHA-1s, chained where order matters and xor'ed where it does not.
using Digest = std::array<unsigned char, 20>;

Digest Sha1(const void* data, std::size_t size) {
  Digest result{};
  unsigned written = 0;
  EVP_Digest(data, size, result.data(), &written, EVP_sha1(), nullptr);
  return result;
}

void Xor(Digest& digest, const Digest& other) {
  for (std::size_t i = 0; i < digest.size(); ++i) digest[i] ^= other[i];
}

void Mix(Digest& digest, std::string_view data) {
  Xor(digest, Sha1(data.data(), data.size()));
  digest = Sha1(digest.data(), digest.size());
}

void Mix(Digest& digest, std::uint32_t number) {
  const std::uint32_t big_endian = htonl(number);
  Mix(digest, std::string_view(reinterpret_cast<const char*>(&big_endian), sizeof big_endian));
}

// One element of two parts, whose order among the others does not matter: a field and its value, or a member and its
// score.
void MixElement(Digest& digest, std::initializer_list<std::string_view> parts) {
  Digest one{};
  for (const std::string_view part : parts) Mix(one, part);
  Xor(digest, Sha1(one.data(), one.size()));
}

// The number by which Redis knows the type.
std::uint32_t NumberOf(ValueType type) {
  switch (type) {
    case ValueType::kString: return 0;
    case ValueType::kList: return 1;
    case ValueType::kSet: return 2;
    case ValueType::kSortedSet: return 3;
    case ValueType::kHash: return 4;
  }
  return 0;
}

template <typename Kind, typename Mix>
void MixElements(Keyspace& keyspace, const Entry& entry, Mix mix) {
  if (const auto collection = OpenCollection<Kind>(keyspace, entry)) ForEachElement(*collection, mix);
}

void MixValue(Digest& digest, Keyspace& keyspace, const Entry& entry) {
  switch (entry.type) {
    case ValueType::kString: return Mix(digest, entry.value);
    case ValueType::kList:
      return MixElements<List>(keyspace, entry, [&](std::uint64_t, std::string_view element) { Mix(digest, element); });
    case ValueType::kSet:
      return MixElements<Set>(keyspace, entry,
                              [&](std::string_view member) { Xor(digest, Sha1(member.data(), member.size())); });
    case ValueType::kHash:
      return MixElements<Hash>(keyspace, entry, [&](std::string_view field, std::string_view value) {
        MixElement(digest, {field, value});
      });
    case ValueType::kSortedSet:
      return MixElements<SortedSet>(keyspace, entry, [&](std::string_view member, double score) {
        MixElement(digest, {member, ScoreText(score)});
      });
  }
}

void MixEntry(Digest& digest, Keyspace& keyspace, const Entry& entry) {
  constexpr std::string_view kExpires = "!!expire!!";
  Mix(digest, NumberOf(entry.type));
  MixValue(digest, keyspace, entry);
  if (entry.expire_at != kNoExpiry) Xor(digest, Sha1(kExpires.data(), kExpires.size()));
}

void MixDatabase(Digest& digest, Store& store, DbId db) {
  if (store.Size(db) == 0) return;
  Mix(digest, static_cast<std::uint32_t>(db));
  std::uint64_t cursor = 0;
  std::vector<std::string_view> keys;
  do {
    keys.clear();
    cursor = store.Scan(db, cursor, [&keys](std::string_view key, TimeMs, ValueType) { keys.push_back(key); });
    for (const std::string_view key : keys) {
      const auto entry = store.Get(db, key);
      if (!entry) continue;
      Digest one{};
      Mix(one, key);
      MixEntry(one, store, *entry);
      Xor(digest, Sha1(one.data(), one.size()));
    }
  } while (cursor != 0);
}

std::string Hex(const Digest& digest) {
  std::string text;
  for (const unsigned char byte : digest) {
    text += "0123456789abcdef"[byte >> 4];
    text += "0123456789abcdef"[byte & 15];
  }
  return text;
}

}  // namespace

Reply Encoding(Call& call) {
  const auto entry = call.LookAny(2);
  if (!entry) return Reply::Null();
  if (entry->type == ValueType::kString) return Reply::Text(EncodingOf(entry->value));
  if (const auto collection = OpenAny(call.store(), *entry)) {
    if (auto encoding = EncodingOf(call, *collection)) return Reply::Text(*std::move(encoding));
  }
  const Scratch scratch(call, {2});
  return Reply::Native(RunNative(call, "object", scratch.args()));
}

Reply RefCount(Call& call) { return call.LookAny(2) ? Reply::Integer(1) : Reply::Null(); }

Reply IdleTime(Call& call) {
  if (!call.LookAny(2)) return Reply::Null();
  if (!FrequencyIsTracked(call)) return Reply::Integer(0);
  return Reply::Error(std::string("ERR An LFU maxmemory policy is selected, idle time") + kAdjust);
}

Reply Frequency(Call& call) {
  if (!call.LookAny(2)) return Reply::Null();
  if (FrequencyIsTracked(call)) return Reply::Integer(0);
  return Reply::Error(std::string("ERR An LFU maxmemory policy is not selected, access frequency") + kAdjust);
}

Reply DebugObject(Call& call) {
  const auto entry = call.FindAny(2);
  if (!entry) return Reply::Error("ERR no such key");
  const bool is_string = entry->type == ValueType::kString;
  const std::string encoding = is_string ? EncodingOf(entry->value) : std::string();
  const Scratch scratch(call, {2});
  const NativeReply reply = RunNative(call, "debug", scratch.args(), Protocol::kResp2);
  std::string line(TextOf(reply.get()));
  if (IsError(reply) || line.empty()) return Reply::Native(reply);
  if (!is_string) return Reply::Simple(std::move(line));
  // Redis never regards a lent value as an integer, so the encoding is replaced.
  constexpr std::string_view kField = " encoding:";
  const std::size_t at = line.find(kField) + kField.size();
  line.replace(at, line.find(' ', at) - at, encoding);
  return Reply::Simple(std::move(line));
}

Reply DebugDigest(Call& call) {
  Digest digest{};
  for (DbId db = 0; db < TheState().databases; ++db) MixDatabase(digest, call.store(), db);
  return Reply::Simple(Hex(digest));
}

Reply DebugDigestValue(Call& call) {
  std::vector<std::string> digests;
  for (int i = 2; i < call.size(); ++i) {
    Digest digest{};
    if (const auto entry = call.FindAny(i)) MixEntry(digest, call.store(), *entry);
    digests.push_back(Hex(digest));
  }
  return Reply::By([digests = std::move(digests)](RedisModuleCtx* ctx) {
    RedisModule_ReplyWithArray(ctx, static_cast<long>(digests.size()));
    for (const std::string& digest : digests) RedisModule_ReplyWithSimpleString(ctx, digest.c_str());
  });
}

}  // namespace faha::module::object
