// INFO, as Redis answers it, but for the section on the keyspace, which Redis believes to be empty.
#include <algorithm>
#include <string>
#include <vector>

#include "module/commands.h"
#include "module/scratch.h"

namespace faha::module::server {
namespace {

// How many keys of each database have an expiry.  Only where several databases have keys is there anything to count.
std::vector<std::uint64_t> Expiring(const Store& store, const std::vector<std::uint64_t>& keys) {
  std::vector<std::uint64_t> counts(keys.size());
  const auto used = std::find_if(keys.begin(), keys.end(), [](std::uint64_t count) { return count > 0; });
  if (used == keys.end() || store.Expiring() == 0) return counts;
  if (std::all_of(used + 1, keys.end(), [](std::uint64_t count) { return count == 0; })) {
    counts[static_cast<std::size_t>(used - keys.begin())] = store.Expiring();
    return counts;
  }
  std::uint64_t cursor = 0;
  do {
    cursor = store.ScanExpiring(cursor, [&](DbId db, std::string_view, TimeMs) {
      if (db < counts.size()) ++counts[db];
    });
  } while (cursor != 0);
  return counts;
}

std::string Keyspace(const Call& call) {
  std::vector<std::uint64_t> keys(TheState().databases);
  for (std::size_t db = 0; db < keys.size(); ++db) keys[db] = call.store().Size(static_cast<DbId>(db));
  const auto expiring = Expiring(call.store(), keys);
  std::string lines;
  for (std::size_t db = 0; db < keys.size(); ++db) {
    if (keys[db] == 0) continue;
    lines += "db" + std::to_string(db) + ":keys=" + std::to_string(keys[db]) +
             ",expires=" + std::to_string(expiring[db]) + ",avg_ttl=0\r\n";
  }
  return lines;
}

}  // namespace

Reply Info(Call& call) {
  constexpr std::string_view kTitle = "# Keyspace\r\n";
  const NativeReply reply = RunNative(call, "info", Protocol::kResp2);
  size_t size = 0;
  const char* native = RedisModule_CallReplyStringPtr(reply.get(), &size);
  if (IsError(reply) || native == nullptr) return Reply::Native(reply);
  std::string text(native, size);
  if (const std::size_t at = text.find(kTitle); at != std::string::npos)
    text.insert(at + kTitle.size(), Keyspace(call));
  RedisModule_ReplyWithVerbatimStringType(call.ctx(), text.data(), text.size(), "txt");
  return Reply::Sent();
}

}  // namespace faha::module::server
