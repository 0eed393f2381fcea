// Pools as a node leaves them, made by the real log on a simulated medium, and what is in them.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "log/log.h"
#include "tests/fakes/crash_media.h"

namespace faha {

inline constexpr std::uint64_t kSegment = 1ULL << 20;
inline constexpr std::size_t kDisk = format::kDataOffset + 8 * kSegment;

using Disk = std::shared_ptr<CrashDisk>;

// A node at work: everything it seals is committed by the next batch.
struct Writer {
  explicit Writer(Disk on = std::make_shared<CrashDisk>(kDisk)) : disk(std::move(on)) {
    pool = std::move(Pool::Open(std::make_unique<CrashMedia>(disk, 64), kSegment).value());
    log = std::move(Log::Open(pool.get(), {}).value());
    log->SetEpoch(Epoch{1});
  }

  void Put(DbId db, std::string_view key, std::string_view value, TimeMs expire_at = kNoExpiry) {
    Append({.kind = format::RecordKind::kPut, .db = db, .key = key, .value = value, .expire_at = expire_at});
  }
  void Delete(DbId db, std::string_view key) {
    Append({.kind = format::RecordKind::kDelete, .db = db, .key = key, .value = {}});
  }
  void Flush(std::optional<DbId> db) {
    Append({.kind = format::RecordKind::kFlush, .db = db.value_or(format::kAllDatabases), .key = {}, .value = {}});
  }
  void Swap(const std::vector<format::SwappedDb>& swapped) {
    const std::string_view value(reinterpret_cast<const char*>(swapped.data()), swapped.size() * sizeof swapped[0]);
    Append({.kind = format::RecordKind::kSwap, .key = {}, .value = value});
  }
  void Append(const Record& record) { ASSERT_TRUE(log->Append(record).ok()); }
  void Seal() {
    if (commits) log->SetCommitted(log->end().lsn);
    ASSERT_TRUE(log->Seal().ok());
    ASSERT_TRUE(log->Drain().ok());
  }
  // The rest of the hot head's segment is used up, by a key of its own.
  void FillSegment() {
    const std::uint32_t before = log->segments().size();
    for (int i = 0; log->segments().size() == before; ++i) {
      Put(9, "filler" + std::to_string(before) + "." + std::to_string(i), std::string(50'000, 'f'));
      Seal();
    }
  }
  [[nodiscard]] LogAddress At(Lsn lsn) const { return log->Find(lsn)->at; }
  [[nodiscard]] std::byte& ByteOf(Lsn lsn, std::uint64_t offset) const { return disk->written[At(lsn).value + offset]; }

  Disk disk;
  bool commits = true;
  std::unique_ptr<Pool> pool;
  std::unique_ptr<Log> log;
};

struct Stored {
  std::string value;
  TimeMs expire_at = kNoExpiry;
  auto operator<=>(const Stored&) const = default;
};
using Keys = std::map<std::pair<DbId, std::string>, Stored>;

// What a Redis would hold that is given the commands in `text`, which must be what Extract writes.
inline Keys Load(std::string_view text) {
  Keys keys;
  const auto number = [&](char mark) {
    EXPECT_EQ(text.substr(0, 1), std::string(1, mark));
    const auto end = text.find("\r\n");
    const auto value = std::stoull(std::string(text.substr(1, end - 1)));
    text.remove_prefix(end + 2);
    return value;
  };
  DbId db = 0;
  while (!text.empty() && !testing::Test::HasFailure()) {
    std::vector<std::string> words(number('*'));
    for (std::string& word : words) {
      const auto size = number('$');
      word = text.substr(0, size);
      EXPECT_EQ(text.substr(size, 2), "\r\n");
      text.remove_prefix(size + 2);
    }
    if (words.size() == 2 && words[0] == "SELECT") {
      db = static_cast<DbId>(std::stoul(words[1]));
      continue;
    }
    const bool expires = words.size() == 5 && words[3] == "PXAT";
    EXPECT_TRUE(words[0] == "SET" && (words.size() == 3 || expires)) << words[0];
    const auto [at, fresh] = keys.insert({{db, words[1]}, {words[2], expires ? std::stoll(words[4]) : kNoExpiry}});
    EXPECT_TRUE(fresh) << "twice: " << at->first.second;
  }
  return keys;
}

}  // namespace faha
