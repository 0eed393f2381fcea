// What clients do, from one seed.
#pragma once

#include <cstdint>
#include <iterator>
#include <memory>
#include <random>
#include <string>

#include "tests/crash/model.h"
#include "tests/fakes/forger.h"

namespace faha::crash {

struct HistoryOptions {
  int steps = 40;                   // of which most are units
  std::uint64_t segments = 5;       // of the pool, each of the smallest size
  std::uint64_t keys = 30;          // names in each database
  std::uint64_t small_value = 200;  // bytes, at most
  std::uint64_t large_value = 300'000;
  int large_percent = 10;            // of the puts
  std::uint64_t planned_one_in = 2;  // of the restarts, with a checkpoint of the index
  std::uint64_t grows_one_in = 0;    // of the restarts, with a pool of one more segment; 0: none
  int forged_percent = 0;            // of the puts, with values that look like batches
  bool elements = true;              // half of the changes are of large collections
  bool pool_never_full = false;      // space is given back: a write that is refused is a violation
};

inline constexpr DbId kDatabases = 3;

class History {
 public:
  // `first_version`: what no other history of the same store counts up to.
  History(std::uint64_t seed, const HistoryOptions& options, std::uint64_t first_version = 0)
      : random_(seed), options_(options), versions_(first_version) {}

  // What values that look like batches are made with.
  void Guess(const ClusterId& cluster, const NodeId& node) { forger_ = Forger(Forger::Guesses(cluster, node)); }

  // True once in `n`.
  bool OneIn(std::uint64_t n) { return random_() % n == 0; }

  Unit NextUnit() {
    Unit unit;
    if (OneIn(25)) {  // the index grows
      for (std::uint64_t i = 0; i < 200; ++i) unit.push_back(Put("g" + std::to_string(random_() % 1000), 8));
    } else if (OneIn(4)) {
      for (std::uint64_t i = random_() % 8 + 2; i > 0; --i) unit.push_back(NextChange());
    } else {
      unit.push_back(NextChange());
    }
    return unit;
  }

 private:
  Change NextChange() {
    if (options_.elements && OneIn(2)) return NextOfCollections();
    switch (random_() % 16) {
      case 0:
      case 1:
      case 2:
      case 3: return {.kind = Change::kDelete, .db = Db(), .key = Key(), .value = nullptr};
      case 4:
        if (OneIn(2))
          return {.kind = OneIn(3) ? Change::kFlushAll : Change::kFlush, .db = Db(), .key = {}, .value = {}};
        [[fallthrough]];
      case 5:
        if (OneIn(2)) return {.kind = Change::kSwap, .db = Db(), .key = {}, .value = nullptr, .other = Db()};
        [[fallthrough]];
      default: return Put(Key(), Percent(options_.large_percent) ? options_.large_value : options_.small_value);
    }
  }
  Change NextOfCollections() {
    constexpr ValueType kTypes[] = {ValueType::kHash, ValueType::kSet, ValueType::kSortedSet, ValueType::kList};
    constexpr std::uint64_t kNames = 4;  // so few that keys have several elements, and change their types
    const auto name = [this] { return "c" + std::to_string(random_() % kNames); };
    if (OneIn(8))
      return {.kind = Change::kRename, .db = Db(), .key = name(), .value = nullptr, .other = Db(), .other_key = name()};
    Change change = Put(name(), Percent(options_.large_percent) ? options_.large_value : options_.small_value);
    change.kind = OneIn(3) ? Change::kErase : Change::kElement;
    change.expire_at = kNoExpiry;
    change.number = random_() % 12;
    // A name has mostly the same type.
    change.type = kTypes[(change.key.back() - '0' + (OneIn(10) ? random_() : 0)) % std::size(kTypes)];
    return change;
  }
  Change Put(std::string key, std::uint64_t most_bytes) {
    Change put{.kind = Change::kPut, .db = Db(), .key = std::move(key), .value = nullptr};
    // Every value is another one: an old version is never taken for the new.
    std::string text = OneIn(20) ? "" : std::to_string(++versions_) + ".";
    if (!text.empty()) text.resize(text.size() + random_() % (most_bytes + 1), static_cast<char>('a' + versions_ % 26));
    if (OneIn(4)) put.expire_at = static_cast<TimeMs>(random_() % 1'000'000'000'000) + 1;
    if (options_.forged_percent != 0 && !text.empty() && Percent(options_.forged_percent)) {
      const std::size_t bytes = text.size();
      text.resize(text.find('.') + 1);
      text = forger_.Value(std::move(text), put.key, put.expire_at != kNoExpiry, bytes, random_);
    }
    put.value = std::make_shared<const std::string>(std::move(text));
    return put;
  }
  bool Percent(int percent) { return static_cast<int>(random_() % 100) < percent; }
  DbId Db() { return static_cast<DbId>(random_() % kDatabases); }
  std::string Key() { return OneIn(40) ? "" : "key" + std::to_string(random_() % options_.keys); }

  std::mt19937_64 random_;
  HistoryOptions options_;
  std::uint64_t versions_;
  Forger forger_{{LogKey{}}};
};

}  // namespace faha::crash
