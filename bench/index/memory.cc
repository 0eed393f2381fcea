// What a key costs in DRAM while a table grows to twice its size.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <functional>

#include "bench/index/commands.h"
#include "bench/index/keys.h"
#include "bench/index/measure.h"
#include "bench/index/redis_dict.h"
#include "bench/index/structures.h"
#include "keyspace/indexes.h"

namespace faha::bench {
namespace {

constexpr std::uint64_t kSamples = 2000;

// Knows the keys without a log: the key of number n is at (n + 1) * kAddressUnit.
class NumberedKeys final : public KeySource {
 public:
  static LogAddress AddressOf(std::uint64_t number) { return LogAddress{(number + 1) * Place::kUnit}; }
  [[nodiscard]] Key KeyAt(Place place) const override {
    const LogAddress at = place.log_address();
    text_ = TextOf(at.value / Place::kUnit - 1);
    return {0, ViewOf(text_)};
  }

 private:
  mutable KeyText text_{};
};

// Bytes per key, of many samples.
class PerKey {
 public:
  void Add(std::uint64_t bytes, std::uint64_t keys) {
    const double per_key = static_cast<double>(bytes) / static_cast<double>(keys);
    sum_ += per_key;
    most_ = std::max(most_, per_key);
    ++samples_;
  }
  [[nodiscard]] double Average() const { return sum_ / static_cast<double>(samples_); }
  [[nodiscard]] double Most() const { return most_; }

 private:
  double sum_ = 0, most_ = 0;
  std::uint64_t samples_ = 0;
};

// Calls put(number) for every key and sample(keys so far) often on the way from half of them to all.
void Grow(std::uint64_t keys, const std::function<void(std::uint64_t)>& put,
          const std::function<void(std::uint64_t)>& sample) {
  const std::uint64_t step = std::max<std::uint64_t>(1, keys / 2 / kSamples);
  for (std::uint64_t number = 0; number < keys; ++number) {
    put(number);
    if (const std::uint64_t count = number + 1; count > keys / 2 && count % step == 0) sample(count);
  }
}

void Print(const char* what, const PerKey& bytes, double resident) {
  fmt::print("{:<52} {:>8.2f} {:>8.2f} {:>10}\n", what, bytes.Average(), bytes.Most(),
             resident == 0 ? "" : fmt::format("{:.2f}", resident));
  std::fflush(stdout);
}

}  // namespace

void Memory(std::uint64_t keys) {
  RedisStart();
  PrintSetUp(
      fmt::format("memory: {} keys of {} bytes; what the tables cost from {} keys on, sampled {} times; values and log "
                  "are not in it",
                  keys, kKeyBytes, keys / 2, kSamples));
  fmt::print(
      "# dict: what {} says it gave to table, entries and keys; the table is rehashed by one bucket an insert, and "
      "by no cron\n# bytes per key{:>47} {:>8} {:>10}\n",
      RedisAllocator(), "average", "most", "resident*");
  const auto per_key = [&](std::uint64_t since) {
    return static_cast<double>(ResidentBytes() - since) / static_cast<double>(keys);
  };
  PerKey ours, dict, dict_at_once;
  {
    const std::uint64_t before = ResidentBytes();
    const NumberedKeys source;
    Indexes index(source);
    Grow(
        keys,
        [&](std::uint64_t number) { (void)index.Upsert(0, ViewOf(TextOf(number)), NumberedKeys::AddressOf(number)); },
        [&](std::uint64_t count) { ours.Add(index.MemoryBytes(), count); });
    if (index.Size() != keys) Die("our index does not hold all keys");
    Print("our index, cold keys", ours, per_key(before));
  }
  const std::uint64_t before = ResidentBytes(), used_before = RedisUsedMemory();
  const RedisDict redis(RedisDictCreate());
  Grow(
      keys, [&](std::uint64_t number) { RedisDictAdd(redis.table(), TextOf(number).data(), kKeyBytes, number); },
      [&](std::uint64_t count) {
        const std::uint64_t bytes = RedisUsedMemory() - used_before;
        dict.Add(bytes, count);
        dict_at_once.Add(bytes - RedisDictOldTable(redis.table()), count);
      });
  if (dictSize(redis.table()) != keys) Die("Redis' dict does not hold all keys");
  Print("Redis' dict", dict, per_key(before));
  Print("Redis' dict, if it were rehashed at once", dict_at_once, 0);
  fmt::print("dict / ours: {:.2f}; if rehashed at once {:.2f}\n", dict.Average() / ours.Average(),
             dict_at_once.Average() / ours.Average());
  fmt::print("* at the end, by the kernel\n");
}

}  // namespace faha::bench
