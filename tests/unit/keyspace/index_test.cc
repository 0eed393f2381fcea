// The index against a std::map, with honest hashes and with very bad ones.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <map>
#include <random>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/checksum.h"
#include "keyspace/indexes.h"
#include "tests/fakes/counting_memory.h"

namespace faha {
namespace {

// A log of keys: every record has its own address, and none is ever forgotten.
class FakeLog final : public KeySource {
 public:
  LogAddress Append(DbId db, std::string_view key) {
    records_.emplace_back(db, key);
    return LogAddress{records_.size() * Place::kUnit + kBase};
  }
  [[nodiscard]] Key KeyAt(Place place) const override {
    const LogAddress at = place.log_address();
    ++reads_;
    const auto& [db, key] = records_.at((at.value - kBase) / Place::kUnit - 1);
    return {db, key};
  }
  [[nodiscard]] std::uint64_t reads() const { return reads_; }

 private:
  static constexpr std::uint64_t kBase = (std::uint64_t{1} << 47) + (2 << 20);  // high bits are used as well
  std::vector<std::pair<DbId, std::string>> records_;
  mutable std::uint64_t reads_ = 0;
};

struct HashCase {
  const char* name;
  KeyHash::Function hash;
  std::uint64_t keys;  // bad hashes make long chains: fewer keys then
};

std::uint64_t Honest(DbId db, std::string_view key) { return KeyHash(1)(db, key); }

const HashCase kHashes[] = {
    {"honest", &Honest, 30000},
    {"one", [](DbId, std::string_view) { return std::uint64_t{0}; }, 150},
    {"all_ones", [](DbId, std::string_view) { return ~std::uint64_t{0}; }, 150},
    {"three", [](DbId db, std::string_view key) { return Honest(db, key) % 3; }, 300},
    // Many keys per bucket and fingerprint: the low bits collide, and so do those behind them.
    {"low_12", [](DbId db, std::string_view key) { return Honest(db, key) & 0xFFF; }, 10000},
    // Few buckets, telling fingerprints.
    {"few_buckets", [](DbId db, std::string_view key) { return Honest(db, key) << 5; }, 6000},
    // Buckets that fill evenly, fingerprints that all agree.
    {"same_fingerprints", [](DbId db, std::string_view key) { return Honest(db, key) & 0xF0000000000007FF; }, 10000},
    {"sequential", [](DbId db, std::string_view key) { return std::stoul(std::string(key)) * 16 + db; }, 30000},
};

class IndexModel : public testing::TestWithParam<HashCase> {
 protected:
  using Model = std::map<std::pair<DbId, std::string>, LogAddress>;

  void Upsert(DbId db, const std::string& key) {
    const LogAddress at = log_.Append(db, key);
    const auto [place, fresh] = model_.try_emplace({db, key}, at);
    EXPECT_EQ(index_.Upsert(db, key, at), fresh ? Place{} : Place::Cold(place->second));
    place->second = at;
  }
  void Erase(DbId db, const std::string& key) {
    const auto found = model_.find({db, key});
    EXPECT_EQ(index_.Erase(db, key), found == model_.end() ? Place{} : Place::Cold(found->second));
    if (found != model_.end()) model_.erase(found);
  }
  void Find(DbId db, const std::string& key) {
    const auto found = model_.find({db, key});
    EXPECT_EQ(index_.Find(db, key), found == model_.end() ? Place{} : Place::Cold(found->second));
  }
  void EraseDb(DbId db) {
    const auto from = model_.lower_bound({db, ""});
    const auto to = std::find_if(from, model_.end(), [db](const auto& entry) { return entry.first.first != db; });
    if (from == to) return;
    std::set<LogAddress> erased, expected;
    const std::uint64_t reads = log_.reads();
    Index* retired = index_.Retire(db);
    EXPECT_EQ(index_.Size(db), 0U);
    EXPECT_EQ(retired->Size(), std::distance(from, to));
    while (retired->TakeDown([&](Place place) { EXPECT_TRUE(erased.insert(place.log_address()).second); })) continue;
    index_.Discard(retired);
    EXPECT_EQ(log_.reads(), reads) << "a key was read";
    for (auto at = from; at != to; ++at) expected.insert(at->second);
    EXPECT_EQ(erased, expected);
    model_.erase(from, to);
  }

  void CheckAll() {
    index_.CheckInvariants();
    std::map<DbId, std::uint64_t> sizes;
    std::set<LogAddress> addresses;
    for (const auto& [key, at] : model_) {
      ASSERT_EQ(index_.Find(key.first, key.second), Place::Cold(at));
      ++sizes[key.first];
      addresses.insert(at);
    }
    EXPECT_EQ(index_.Size(), model_.size());
    for (const DbId db : kDbs) EXPECT_EQ(index_.Size(db), sizes[db]);
    index_.ForEach([&addresses](Place place) { EXPECT_EQ(addresses.erase(place.log_address()), 1U); });
    EXPECT_TRUE(addresses.empty());
  }

  static constexpr DbId kDbs[] = {0, 1, 15, 16, std::numeric_limits<DbId>::max()};
  FakeLog log_;
  Indexes index_{log_, std::pmr::get_default_resource(), KeyHash(0, GetParam().hash)};
  Model model_;
};

TEST_P(IndexModel, AgreesThroughGrowthAndShrink) {
  const std::uint64_t seed = 42;
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  const std::uint64_t keys = GetParam().keys;
  // Up, down to nearly nothing, up again and flat: percent of writes among the changes.
  for (const unsigned writes : {90U, 3U, 80U, 50U}) {
    const std::uint64_t range = writes == 50 ? keys / 4 : keys;
    for (std::uint64_t i = 0; i < 2 * keys; ++i) {
      const DbId db = kDbs[random() % 3 == 0 ? random() % std::size(kDbs) : 0];
      const std::string key = std::to_string(random() % range);
      if (random() % 4 == 0) {
        Find(db, key);
      } else if (random() % 100 < writes) {
        Upsert(db, key);
      } else {
        // Mostly of keys that are there.
        const auto near = model_.lower_bound({db, key});
        near == model_.end() ? Erase(db, key) : Erase(near->first.first, std::string(near->first.second));
      }
      if (i % (keys / 3) == 0) CheckAll();
    }
    CheckAll();
  }
  EraseDb(15);
  EraseDb(7);
  CheckAll();
  EraseDb(0);
  CheckAll();
  while (!model_.empty()) Erase(model_.begin()->first.first, std::string(model_.begin()->first.second));
  CheckAll();
}

// The table grows to its full size and shrinks to nothing while scans are under way, from everywhere and at their own
// pace: what was there all the time is told, and nothing that never was.
TEST_P(IndexModel, AScanMissesNothingThatStays) {
  std::mt19937_64 random(7);
  const std::uint64_t keys = GetParam().keys / 4;
  std::set<LogAddress> stay;
  for (std::uint64_t i = 0; i < 20; ++i) {
    const std::string key = std::to_string(1'000'000 + i);
    Upsert(0, key);
    stay.insert(model_.at({0, key}));
  }
  struct Walk {
    std::uint64_t cursor = 0;
    std::set<LogAddress> missing;
  };
  std::vector<Walk> walks(30, {0, stay});
  std::uint64_t finished = 0;
  const auto step = [&](Walk& walk) {
    walk.cursor = index_.ScanAll(walk.cursor, [&](Place place) { walk.missing.erase(place.log_address()); });
    if (walk.cursor != 0) return;
    EXPECT_TRUE(walk.missing.empty()) << walk.missing.size() << " keys were missed";
    walk.missing = stay;
    ++finished;
  };
  for (const bool grows : {true, false, true, false}) {
    for (std::uint64_t i = 0; i < keys; ++i) {
      grows ? Upsert(0, std::to_string(i)) : Erase(0, std::to_string(i));
      if (random() % 2 == 0) step(walks[random() % walks.size()]);
    }
  }
  // And each to its end.
  for (Walk& walk : walks) {
    do {
      step(walk);
    } while (walk.cursor != 0);
  }
  EXPECT_GE(finished, walks.size());
}

TEST_P(IndexModel, AScanOfWhatDoesNotChangeTellsEachKeyOnce) {
  for (std::uint64_t i = 0; i < GetParam().keys / 4; ++i) Upsert(kDbs[i % std::size(kDbs)], std::to_string(i));
  std::set<LogAddress> told;
  std::uint64_t cursor = 0;
  do {
    cursor = index_.ScanAll(cursor, [&](Place place) { EXPECT_TRUE(told.insert(place.log_address()).second); });
  } while (cursor != 0);
  EXPECT_EQ(told.size(), model_.size());
}

TEST(Index, ASampleIsAnyKeyWithTheSameChance) {
  FakeLog log;
  Indexes index(log);
  std::map<LogAddress, int> seen;
  for (int i = 0; i < 500; ++i) {
    const LogAddress at = log.Append(0, std::to_string(i));
    index.Upsert(0, std::to_string(i), at);
    seen[at] = 0;
  }
  std::mt19937_64 random(3);
  constexpr int kEach = 200;
  for (std::size_t i = 0; i < kEach * seen.size();) {
    const LogAddress at = index.Sample(0, random()).log_address();
    if (at.IsNone()) continue;
    ++seen.at(at);
    ++i;
  }
  // Chi-square with 499 degrees of freedom: 499 on average, and over 650 once in a million.
  double chi = 0;
  for (const auto& [at, count] : seen) chi += (count - kEach) * (count - kEach) / double{kEach};
  EXPECT_LT(chi, 650) << "some keys are found more often than others";
}

TEST_P(IndexModel, ClearsAndFillsAgain) {
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 140; ++i) Upsert(1, std::to_string(i));
    CheckAll();
    index_.Clear();
    model_.clear();
    CheckAll();
  }
  for (int i = 0; i < 140; ++i) Upsert(16, std::to_string(i));
  EraseDb(16);
  CheckAll();
}

INSTANTIATE_TEST_SUITE_P(Hashes, IndexModel, testing::ValuesIn(kHashes),
                         [](const auto& param) { return std::string(param.param.name); });

// Every database has a key or two, as a client can see to; their indexes are small, and those of what was there are
// gone.
TEST(Index, ManySmallDatabasesCostLittle) {
  constexpr std::uint64_t kDatabases = 60000;
  FakeLog log;
  CountingMemory memory;
  Indexes index(log, &memory);
  for (std::uint64_t db = 0; db < kDatabases; ++db) {
    index.Upsert(static_cast<DbId>(db), "key", log.Append(static_cast<DbId>(db), "key"));
  }
  EXPECT_LT(index.MemoryBytes(), kDatabases * 600);
  EXPECT_LT(memory.bytes(), kDatabases * 300);
  std::uint64_t told = 0, cursor = 0;
  do {
    cursor = index.ScanAll(cursor, [&](Place) { ++told; });
  } while (cursor != 0);
  EXPECT_EQ(told, kDatabases);
  for (std::uint64_t db = 0; db < kDatabases; ++db) index.Erase(static_cast<DbId>(db), "key");
  EXPECT_EQ(memory.bytes(), 0U);
}

// Databases are filled and flushed while a scan of all of them is under way: what stays is told.
TEST(Index, AScanOfAllDatabasesMissesNothingThatStays) {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    std::mt19937_64 random(seed);
    FakeLog log;
    Indexes index(log);
    std::set<LogAddress> stay;
    constexpr DbId kStays = 1000;
    for (DbId i = 0; i < 200; ++i) {
      const auto db = static_cast<DbId>(kStays + random() % 7);
      const std::string key = std::to_string(i);
      const LogAddress at = log.Append(db, key);
      index.Upsert(db, key, at);
      stay.insert(at);
    }
    std::uint64_t cursor = 0;
    do {
      cursor = index.ScanAll(cursor, [&](Place place) { stay.erase(place.log_address()); });
      const auto db = static_cast<DbId>(random() % 2 == 0 ? random() % kStays : kStays + 7 + random() % 50);
      if (index.Size(db) != 0) {
        index.Discard(index.Retire(db));
      } else {
        index.Upsert(db, "key", log.Append(db, "key"));
      }
    } while (cursor != 0);
    EXPECT_TRUE(stay.empty()) << "seed " << seed << ": " << stay.size() << " keys were missed";
    // Any number is a cursor, and each comes to an end.
    for (int i = 0; i < 20; ++i) {
      cursor = random();
      std::uint64_t parts = 0;
      for (; cursor != 0 && parts < 10'000; ++parts) cursor = index.ScanAll(cursor, [](Place) {});
      EXPECT_EQ(cursor, 0U) << "seed " << seed;
    }
  }
}

TEST(Index, TellsEqualKeysOfTwoDatabasesApart) {
  FakeLog log;
  Indexes index(log, std::pmr::get_default_resource(),
                KeyHash(0, [](DbId, std::string_view) { return std::uint64_t{5}; }));
  const LogAddress zero = log.Append(0, "key"), one = log.Append(1, "key");
  index.Upsert(0, "key", zero);
  EXPECT_TRUE(index.Find(1, "key").IsNone());
  index.Upsert(1, "key", one);
  EXPECT_EQ(index.Find(0, "key"), Place::Cold(zero));
  EXPECT_EQ(index.Find(1, "key"), Place::Cold(one));
  EXPECT_EQ(index.Erase(0, "key"), Place::Cold(zero));
  EXPECT_TRUE(index.Find(0, "key").IsNone());
  EXPECT_EQ(index.Find(1, "key"), Place::Cold(one));
}

TEST(Index, TakesEmptyAndBinaryKeys) {
  FakeLog log;
  Indexes index(log);
  const std::string binary("a\0b\xff", 4);
  for (const std::string& key : {std::string(), binary, binary.substr(0, 1), std::string(100000, 'x')}) {
    const LogAddress at = log.Append(0, key);
    EXPECT_TRUE(index.Upsert(0, key, at).IsNone());
    EXPECT_EQ(index.Find(0, key), Place::Cold(at));
  }
  EXPECT_EQ(index.Size(), 4U);
}

TEST(Index, RefusesWhatIsNoAddress) {
  FakeLog log;
  Indexes index(log);
  for (const std::uint64_t at : {std::uint64_t{0}, std::uint64_t{12}, Place::kLimit}) {
    EXPECT_DEATH(index.Upsert(0, "key", LogAddress{at}), "an address fits a slot");
  }
  index.Upsert(0, "key", LogAddress{Place::kLimit - Place::kUnit});
}

TEST(Index, ReadsFewKeysToGrowAndNoneToShrink) {
  constexpr std::uint64_t kKeys = 200000;
  FakeLog log;
  Indexes index(log);
  std::vector<std::string> keys;
  for (std::uint64_t i = 0; i < kKeys; ++i) keys.push_back("key:" + std::to_string(i));
  for (const std::string& key : keys) index.Upsert(0, key, log.Append(0, key));
  // One doubling in four reads its keys; a fingerprint rarely lies.
  EXPECT_LT(log.reads(), kKeys / 2);
  std::uint64_t reads = log.reads();
  for (const std::string& key : keys) EXPECT_FALSE(index.Find(0, key).IsNone());
  EXPECT_LT(log.reads() - reads, kKeys + kKeys / 100);
  reads = log.reads();
  for (std::uint64_t i = 0; i < kKeys; ++i) EXPECT_TRUE(index.Find(1, keys[i]).IsNone());
  EXPECT_LT(log.reads() - reads, kKeys / 100);
  reads = log.reads();
  for (const std::string& key : keys) index.Erase(0, key);
  EXPECT_LT(log.reads() - reads, kKeys + kKeys / 100);
}

// --- Keys that somebody has chosen.

std::uint64_t Unseeded(DbId, std::string_view key) { return Checksum(std::as_bytes(std::span(key))); }

// XXH3 multiplies the first 8 bytes of such a key, xored with a part of its published secret, by what the next 8 give:
// where the former is 0 the latter do not matter.
std::vector<std::string> KeysThatCollideWithoutASeed(std::uint64_t count, std::size_t bytes) {
  const std::string secret = "\xb8\xfe\x6c\x39\x23\xa4\x4b\xbe";
  std::vector<std::string> keys;
  for (std::uint64_t i = 0; i < count; ++i) {
    std::string key = secret + std::string(bytes - secret.size(), 'x');
    std::memcpy(key.data() + secret.size(), &i, sizeof i);
    keys.push_back(std::move(key));
  }
  return keys;
}

// How often a key is looked at while `keys` are added and looked up.
std::uint64_t Looks(const std::vector<std::string>& keys, const KeyHash& hash) {
  FakeLog log;
  Indexes index(log, std::pmr::get_default_resource(), hash);
  for (const std::string& key : keys) index.Upsert(0, key, log.Append(0, key));
  for (const std::string& key : keys) EXPECT_FALSE(index.Find(0, key).IsNone());
  return log.reads();
}

TEST(KeyHash, KeysThatCollideWithoutASeedCostWhatOthersCost) {
  constexpr std::uint64_t kKeys = 20000, kControl = 500;
  std::vector<std::string> ordinary;
  for (std::uint64_t i = 0; i < kKeys; ++i) ordinary.push_back("key:" + std::to_string(i));
  const std::uint64_t others = Looks(ordinary, KeyHash(KeyHash::RandomSeed()));
  for (const std::size_t bytes : {32, 100, 200}) {
    const auto control = KeysThatCollideWithoutASeed(kControl, bytes);
    EXPECT_GE(Looks(control, KeyHash(0, &Unseeded)), kControl * (kControl - 1) / 2) << "they do not collide";
    const auto keys = KeysThatCollideWithoutASeed(kKeys, bytes);
    EXPECT_LT(Looks(keys, KeyHash(KeyHash::RandomSeed())), others + others / 20) << bytes;
    EXPECT_LT(Looks(keys, KeyHash(0)), others + others / 20) << "nor under a seed of 0";
  }
}

TEST(KeyHash, DependsOnSeedDatabaseAndKeyAndOnNothingElse) {
  EXPECT_EQ(KeyHash(1)(0, "key"), KeyHash(1)(0, "key"));
  EXPECT_NE(KeyHash(1)(0, "key"), KeyHash(2)(0, "key"));
  EXPECT_NE(KeyHash(1)(0, "key"), KeyHash(1)(1, "key"));
  EXPECT_NE(KeyHash(1)(0, "key"), KeyHash(1)(0, "kex"));
  EXPECT_NE(KeyHash::RandomSeed(), KeyHash::RandomSeed());
  // Checkpoints hold what these led to.
  EXPECT_EQ(KeyHash(1)(0, "key"), 7862204770440762347U);
  EXPECT_EQ(KeyHash(1)(3, std::string(1000, 'k')), 13041828347732026546U);
}

TEST(Index, UsesLittleMemoryAndGivesItBack) {
  constexpr std::uint64_t kKeys = 500000;
  FakeLog log;
  Indexes index(log);
  const std::size_t empty = index.MemoryBytes();
  for (std::uint64_t i = 0; i < kKeys; ++i) index.Upsert(0, std::to_string(i), log.Append(0, std::to_string(i)));
  EXPECT_LT(index.MemoryBytes() - empty, 18 * kKeys);
  for (std::uint64_t i = 0; i < kKeys; ++i) index.Erase(0, std::to_string(i));
  EXPECT_LE(index.MemoryBytes(), empty + 2 * sizeof(void*));
  index.CheckInvariants();
}

}  // namespace
}  // namespace faha
