// Look-ups per second, one structure beside the other.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "bench/index/commands.h"
#include "bench/index/keys.h"
#include "bench/index/measure.h"
#include "bench/index/redis_dict.h"
#include "bench/index/structures.h"
#include "bench/index/zipf.h"

namespace faha::bench {
namespace {

constexpr std::size_t kAhead = 16;  // keys known at once

// The keys that are looked up, in the form that each structure takes, and what they add up to.
class Sequence {
 public:
  // Of `keys` keys that are there, or of as many that are not; a zipf exponent of 0 is uniform.
  Sequence(std::uint64_t keys, std::uint64_t lookups, bool present, double exponent) : strings_(lookups) {
    std::mt19937_64 random(lookups + static_cast<std::uint64_t>(exponent * 100));
    std::uniform_int_distribution<std::uint64_t> uniform(0, keys - 1);
    Zipf zipf(keys, exponent);
    const Scatter scatter(keys);
    for (auto& string : strings_) {
      const std::uint64_t number = exponent == 0 ? uniform(random) : scatter(zipf(random));
      RedisMakeSds(string.data(), TextOf(present ? number : keys + number).data(), kKeyBytes);
      if (present) sum_ += number + 1;
    }
  }
  [[nodiscard]] std::size_t size() const { return strings_.size(); }
  [[nodiscard]] const char* Sds(std::size_t at) const { return strings_[at].data() + kSdsHeader; }
  [[nodiscard]] std::string_view View(std::size_t at) const { return {Sds(at), kKeyBytes}; }
  [[nodiscard]] std::uint64_t hits() const { return sum_ == 0 ? 0 : size(); }
  // Of the values that are found, each one higher.
  [[nodiscard]] std::uint64_t sum() const { return sum_; }

 private:
  static constexpr std::size_t kSdsHeader = kSdsExtra - 1;  // and a zero behind the string
  std::vector<std::array<char, kKeyBytes + kSdsExtra>> strings_;
  std::uint64_t sum_ = 0;
};

// How look-ups follow each other.
enum class Pace {
  kOverlapping,  // the processor begins the next ones while one waits for memory
  kWaiting,      // the next one begins when one has its result, as commands of a server do
};

// What is compared: each runs a sequence and returns the sum.
struct Contestant {
  const char* name;
  bool adds_up;  // or counts, as it never sees the value
  std::function<std::uint64_t(const Sequence&, Pace)> run;
};

// Calls look_up(place) -> value + 1, or 0, for every `step`th place; returns the sum.
template <typename LookUp>
std::uint64_t Sum(const Sequence& keys, Pace pace, std::size_t step, LookUp look_up) {
  static volatile std::uint64_t unknown_zero = 0;
  const std::uint64_t zero = unknown_zero;
  std::uint64_t sum = 0;
  if (pace == Pace::kOverlapping) {
    for (std::size_t i = 0; i < keys.size(); i += step) sum += look_up(i);
  } else {
    for (std::size_t i = 0; i < keys.size(); i += step) {
      const std::uint64_t found = look_up(i);
      sum += found;
      i += found & zero;  // only the processor has to wait for it
    }
  }
  return sum;
}

std::uint64_t FindOurs(Engine& engine, std::string_view key) {
  const auto entry = engine.Get(0, key);
  if (!entry) return 0;
  std::uint64_t value = 0;
  std::memcpy(&value, entry->value.data(), sizeof value);
  return value + 1;
}

std::uint64_t FindOursAhead(Engine& engine, const Sequence& keys, std::size_t at) {
  std::array<std::string_view, kAhead> views;
  const auto some = std::span(views).first(std::min(kAhead, keys.size() - at));
  for (std::size_t i = 0; i < some.size(); ++i) some[i] = keys.View(at + i);
  engine.Prefetch(0, some);
  std::uint64_t sum = 0;
  for (const std::string_view key : some) sum += FindOurs(engine, key);
  return sum;
}

// The entry and the pointer in it.
std::uint64_t FindInDict(dict* table, const char* sds) {
  const dictEntry* entry = dictFind(table, sds);
  return entry != nullptr && entry->v.val != nullptr ? 1 : 0;
}

// The object as well, as a GET does.
std::uint64_t FindObjectInDict(dict* table, const char* sds) {
  const dictEntry* entry = dictFind(table, sds);
  if (entry == nullptr) return 0;
  std::uint64_t value = 0;
  std::memcpy(&value, static_cast<const char*>(entry->v.val) + kObjectHeader, sizeof value);
  return value + 1;
}

std::uint64_t FindInAbsl(const AbslMap& map, std::string_view key) {
  const auto found = map.find(absl::string_view(key.data(), key.size()));
  return found == map.end() ? 0 : found->second + 1;
}

// All of them, with the same keys.
struct Tables {
  explicit Tables(std::uint64_t keys) : ours(keys) {
    for (std::uint64_t number = 0; number < keys; ++number) {
      ours.Put(ViewOf(TextOf(number)), number);
      ours.SealIfFull();
    }
    ours.Seal();
    for (std::uint64_t number = 0; number < keys; ++number) {
      RedisDictAddObject(redis.table(), TextOf(number).data(), kKeyBytes, number);
    }
    redis.FinishRehashing();
    map.reserve(keys);
    for (std::uint64_t number = 0; number < keys; ++number) map.emplace(ViewOf(TextOf(number)), number);
    if (ours.engine().Size() != keys || dictSize(redis.table()) != keys || map.size() != keys) Die("keys are missing");
  }
  LogKeyspace ours;
  RedisDict redis{RedisDictCreateOfObjects()};
  AbslMap map;
};

std::vector<Contestant> ContestantsOf(Tables& tables) {
  Engine& engine = tables.ours.engine();
  return {{"ours", true,
           [&](const Sequence& keys, Pace pace) {
             return Sum(keys, pace, 1, [&](std::size_t at) { return FindOurs(engine, keys.View(at)); });
           }},
          {"ours x16", true,
           [&](const Sequence& keys, Pace pace) {
             return Sum(keys, pace, kAhead, [&](std::size_t at) { return FindOursAhead(engine, keys, at); });
           }},
          {"dict", false,
           [&](const Sequence& keys, Pace pace) {
             return Sum(keys, pace, 1, [&](std::size_t at) { return FindInDict(tables.redis.table(), keys.Sds(at)); });
           }},
          {"dict+val", true,
           [&](const Sequence& keys, Pace pace) {
             return Sum(keys, pace, 1,
                        [&](std::size_t at) { return FindObjectInDict(tables.redis.table(), keys.Sds(at)); });
           }},
          {"absl", true, [&](const Sequence& keys, Pace pace) {
             return Sum(keys, pace, 1, [&](std::size_t at) { return FindInAbsl(tables.map, keys.View(at)); });
           }}};
}

// Million look-ups per second.
double Measure(const Contestant& contestant, const Sequence& sequence, Pace pace) {
  const auto start = Clock::now();
  const std::uint64_t sum = contestant.run(sequence, pace);
  const double rate = static_cast<double>(sequence.size()) / Seconds(start) / 1e6;
  if (sum != (contestant.adds_up ? sequence.sum() : sequence.hits()))
    Die(fmt::format("{} finds other values than it was given", contestant.name));
  return rate;
}

// In turns, so that a machine that is busy for a while is so for all.
void Compare(const std::string& kind, const std::vector<Contestant>& contestants, const Sequence& sequence, Pace pace,
             int rounds) {
  std::vector<std::vector<double>> rates(contestants.size());
  for (int round = -1; round < rounds; ++round) {  // the first is not counted
    for (std::size_t i = 0; i < contestants.size(); ++i) {
      const double rate = Measure(contestants[i], sequence, pace);
      if (round >= 0) rates[i].push_back(rate);
    }
  }
  // Ratios of what ran in the same round.
  const auto ratio = [&](std::size_t a, std::size_t b) {
    std::vector<double> ratios(rates[a].size());
    for (std::size_t i = 0; i < ratios.size(); ++i) ratios[i] = rates[a][i] / rates[b][i];
    return Median(std::move(ratios));
  };
  fmt::print("{:<28}", kind);
  for (const auto& of_one : rates) fmt::print(" {:>8.2f}", Median(of_one));
  fmt::print(" ");
  for (std::size_t i = 2; i < rates.size(); ++i) fmt::print(" {:>8.2f}", ratio(0, i));
  fmt::print(" ");
  for (std::size_t i = 2; i < rates.size(); ++i) fmt::print(" {:>8.2f}", ratio(1, i));
  fmt::print("\n");
  std::fflush(stdout);
}

}  // namespace

void Lookup(const LookupSettings& settings) {
  RedisStart();
  PrintSetUp(fmt::format(
      "lookup: {} keys of {} bytes, values of 8; log in anonymous memory instead of persistent memory; dict (not "
      "rehashing) and absl with {}",
      settings.keys, kKeyBytes, RedisAllocator()));
  fmt::print(
      "# ours: the key compared in the log, the value read there; dict: SipHash and sds keys, the value pointer read; "
      "dict+val: the object that it points to, too\n"
      "# medians of {} interleaved rounds of {} look-ups and of the ratios within a round; all structures built "
      "first, one after the other\n",
      settings.rounds, settings.lookups);
  std::fflush(stdout);
  Tables tables(settings.keys);
  const auto contestants = ContestantsOf(tables);
  fmt::print("{:<28}", "million/s");
  for (const auto& contestant : contestants) fmt::print(" {:>8}", contestant.name);
  fmt::print("  {:>26}  {:>26}\n", "ours/ dict dict+val absl", "x16/ dict dict+val absl");
  for (const Pace pace : {Pace::kWaiting, Pace::kOverlapping}) {
    for (const bool present : {true, false}) {
      for (const double exponent : {0.0, 0.99}) {
        const Sequence sequence(settings.keys, settings.lookups, present, exponent);
        Compare(fmt::format("{}, {}, {}", present ? "hit" : "miss", exponent == 0 ? "uniform" : "zipf 0.99",
                            pace == Pace::kWaiting ? "waiting" : "overlapping"),
                contestants, sequence, pace, settings.rounds);
      }
    }
  }
}

}  // namespace faha::bench
