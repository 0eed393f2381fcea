// What is measured: our keyspace on a log, Redis' dict, and Abseil's hash table.  Thread: that of main.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "bench/index/keys.h"
#include "bench/index/redis_dict.h"
#include "log/log.h"
#include "log/pool.h"
#include "store/engine.h"

namespace faha::bench {

// The engine on a log in anonymous memory, which stands in for persistent memory.  Values are numbers.
class LogKeyspace {
 public:
  // With room for so many records.
  explicit LogKeyspace(std::uint64_t records, std::size_t value_bytes = sizeof(std::uint64_t));
  void Put(std::string_view key, std::string_view value);
  void Put(std::string_view key, std::uint64_t value) {
    Put(key, std::string_view(reinterpret_cast<const char*>(&value), sizeof value));
  }
  // What a commit does with a batch that has its size, or with any.
  void SealIfFull();
  void Seal();
  [[nodiscard]] Engine& engine() { return *engine_; }

 private:
  std::unique_ptr<Pool> pool_;
  std::unique_ptr<Log> log_;
  std::unique_ptr<Engine> engine_;
};

// Owns a table.
class RedisDict {
 public:
  explicit RedisDict(dict* table) : table_(table) {}
  ~RedisDict() { dictRelease(table_); }
  RedisDict(const RedisDict&) = delete;
  RedisDict& operator=(const RedisDict&) = delete;

  [[nodiscard]] dict* table() const { return table_; }
  // The server's cron does so in the course of time.
  void FinishRehashing() {
    while (dictRehash(table_, 1000) != 0) continue;
  }

 private:
  dict* table_;
};

using AbslMap = absl::flat_hash_map<std::string, std::uint64_t>;

}  // namespace faha::bench
