// What the hot tier gains where reading persistent memory takes longer than reading DRAM.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "bench/index/commands.h"
#include "bench/index/keys.h"
#include "bench/index/measure.h"
#include "bench/index/structures.h"
#include "bench/index/zipf.h"

namespace faha::bench {
namespace {

constexpr double kLine = 64, kAlign = 8;

// How many lines `bytes` touch on average, wherever among the multiples of 8 they begin.
double LinesOf(double bytes) { return (bytes + kLine - kAlign) / kLine; }

class Workload {
 public:
  Workload(const HotSettings& settings, std::uint64_t operations)
      : settings_(settings),
        keyspace_(settings.keys + operations, settings.value_bytes),
        value_(settings.value_bytes, 'v'),
        record_bytes_(static_cast<double>(format::RecordBytes(kKeyBytes, settings.value_bytes, false))),
        zipf_(settings.keys, settings.exponent),
        scatter_(settings.keys) {
    for (std::uint64_t number = 0; number < settings.keys; ++number) Put(number);
    keyspace_.Seal();
    charging_ = true;
  }

  struct Result {
    double rate;  // million operations per second
    double hit_ratio;
  };
  // So many operations, of which `reads` percent are GETs and the others SETs of keys that exist.
  Result Run(std::uint64_t operations, unsigned reads, std::uint64_t hot_bytes) {
    Engine& engine = keyspace_.engine();
    engine.SetHotBytes(hot_bytes);
    while (engine.Tend()) continue;
    // As long again to warm up.
    Operate(operations, reads);
    const HotStats before = engine.hot().stats();
    const auto start = Clock::now();
    Operate(operations, reads);
    const double rate = static_cast<double>(operations) / Seconds(start) / 1e6;
    const HotStats& after = engine.hot().stats();
    const auto hits = static_cast<double>(after.hits - before.hits);
    return {rate, hits / (hits + static_cast<double>(after.misses - before.misses))};
  }

 private:
  void Operate(std::uint64_t operations, unsigned reads) {
    for (std::uint64_t i = 0; i < operations; ++i) {
      const std::uint64_t number = scatter_(zipf_(random_));
      random_() % 100 < reads ? Get(number) : Put(number);
      keyspace_.SealIfFull();
    }
  }
  void Get(std::uint64_t number) {
    const std::uint64_t misses = keyspace_.engine().hot().stats().misses;
    const auto entry = keyspace_.engine().Get(0, ViewOf(TextOf(number)));
    if (!entry || entry->value != value_) Die("a key does not have its value");
    keyspace_.engine().SettleHot();
    if (keyspace_.engine().hot().stats().misses != misses) Charge(LinesOf(record_bytes_));
  }
  // Where the key is cold its old record is read: the head, with the key.
  void Put(std::uint64_t number) {
    const std::uint64_t refreshes = keyspace_.engine().hot().stats().refreshes;
    keyspace_.Put(ViewOf(TextOf(number)), value_);
    keyspace_.engine().SettleHot();
    if (keyspace_.engine().hot().stats().refreshes == refreshes)
      Charge(LinesOf(sizeof(format::RecordHeader) + double{kKeyBytes}));
  }
  void Charge(double lines) const {
    if (!charging_ || settings_.line_ns == 0) return;
    const auto end = Clock::now() + std::chrono::nanoseconds(static_cast<std::int64_t>(lines * settings_.line_ns));
    while (Clock::now() < end) continue;
  }

  const HotSettings& settings_;
  LogKeyspace keyspace_;
  const std::string value_;
  const double record_bytes_;
  Zipf zipf_;
  Scatter scatter_;
  std::mt19937_64 random_{1};
  bool charging_ = false;
};

}  // namespace

void Hot(const HotSettings& settings) {
  const auto data =
      static_cast<double>(settings.keys) *
      static_cast<double>(HotBlock::BytesFor(format::RecordBytes(kKeyBytes, settings.value_bytes, false)));
  const auto hot_bytes = static_cast<std::uint64_t>(data * settings.hot_share);
  PrintSetUp(
      fmt::format("hot: the engine, one thread; {} keys of {} bytes, values of {}; zipf {}; hot tier of {:.0f} MiB, "
                  "{:.0f} % of the data",
                  settings.keys, kKeyBytes, settings.value_bytes, settings.exponent,
                  static_cast<double>(hot_bytes) / (1 << 20), settings.hot_share * 100));
  fmt::print(
      "# emulated: persistent memory is DRAM, and {} ns are charged for each line of a record that is read there, by "
      "waiting, on top of DRAM's own time\n"
      "# medians of {} interleaved rounds of {} operations, after as many to warm up\n",
      settings.line_ns, settings.rounds, settings.operations);
  fmt::print("{:<16} {:>10} {:>10} {:>8} {:>10}\n", "reads/writes", "off M/s", "on M/s", "on/off", "hit ratio");
  constexpr std::array kReads = {95U, 50U};
  const auto rounds = static_cast<std::uint64_t>(settings.rounds);
  Workload workload(settings, rounds * kReads.size() * 4 * settings.operations);
  for (const unsigned reads : kReads) {
    std::vector<double> off, on, ratios, hits;
    for (int round = 0; round < settings.rounds; ++round) {
      off.push_back(workload.Run(settings.operations, reads, 0).rate);
      const auto [rate, hit_ratio] = workload.Run(settings.operations, reads, hot_bytes);
      on.push_back(rate);
      hits.push_back(hit_ratio);
      ratios.push_back(on.back() / off.back());
    }
    fmt::print("{:<16} {:>10.3f} {:>10.3f} {:>8.2f} {:>10.3f}\n", fmt::format("{}/{}", reads, 100 - reads), Median(off),
               Median(on), Median(ratios), Median(hits));
    std::fflush(stdout);
  }
}

}  // namespace faha::bench
