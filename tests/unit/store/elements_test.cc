// Large collections against a model: elements that are put and erased, keys that are renamed, moved, flushed and
// overwritten, among cleaning, rollback, restarts and checkpoints.  A backup follows all the time, and what it holds is
// compared with what a restart finds and with the model.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "store/cleaner.h"
#include "store/engine.h"
#include "tests/fakes/crash_media.h"
#include "tests/fakes/engine_node.h"

namespace faha {
namespace {

constexpr std::uint64_t kSegment = EngineNode::kSegment;
constexpr std::uint64_t kSegments = 20;

std::string ScoreBytes(double score) { return {reinterpret_cast<const char*>(&score), sizeof score}; }

// What a key has: a string, or a large collection.
struct Value {
  ValueType type = ValueType::kString;
  std::string text = {};  // of a string
  bool packed = false;    // the text is a hash, for all that anybody knows
  CollectionId id = {};
  std::map<std::string, std::string> elements = {};  // by subkey
  TimeMs expire_at = kNoExpiry;
  bool operator==(const Value&) const = default;
};
using Key = std::pair<DbId, std::string>;
using Model = std::map<Key, Value>;

class Subject {
 public:
  explicit Subject(std::uint64_t seed) : random_(seed), one_db_(seed % 3 == 1), apart_(seed % 3 == 2) { Open(); }

  void Step() {
    switch (random_() % 28) {
      case 0:
      case 1:
      case 2: return Begin();
      case 3:
      case 4:
      case 5:
      case 6:
      case 7:
      case 8:
      case 9: return PutSome();
      case 10:
      case 11:
      case 12: return EraseSome();
      case 13: return Delete();
      case 14: return PutString();
      case 15:
      case 16: return Rename();
      case 17: return Expire();
      case 18:
        if (random_() % 3 == 0) return Flush(random_() % 4 == 0 && !apart_ ? std::nullopt : std::optional(AnyDb()));
        return Fill();
      case 19: return apart_ ? Flush(AnyDb()) : Swap();
      case 20:
      case 21:
      case 22: return Clean();
      case 23: return Commit();
      case 24: return random_() % 2 == 0 ? Commit() : CommitSome();
      case 25: return RollBack();
      case 26: return random_() % 2 == 0 ? Reopen() : Load();
      default: return CheckOne();
    }
  }

  void CheckAll() {
    Commit();
    backup_->ApplyTo(log_->end().lsn);
    Engine again(log_.get());
    again.Replay(log_->end().lsn);
    for (Engine* engine : {engine_.get(), backup_.get(), &again}) {
      Check(*engine, model_);
      engine->CheckInvariants();
      engine->SettleUsage();
      std::uint64_t live = 0, collections = 0, elements = 0, packed = 0;
      for (const auto& [key, value] : model_) {
        const bool expires = value.expire_at != kNoExpiry, large = value.type != ValueType::kString;
        live += format::RecordBytes(key.second.size(), large ? format::kCollectionIdBytes : value.text.size(), expires);
        collections += large ? 1 : 0;
        elements += value.elements.size();
        packed += value.packed ? 1 : 0;
        for (const auto& [subkey, element] : value.elements)
          live += format::RecordBytes(format::kCollectionIdBytes + subkey.size(), element.size(), false);
      }
      ASSERT_EQ(engine->usage().live_bytes(), live);
      ASSERT_EQ(engine->usage().packed(), packed);
      ASSERT_EQ(engine->LargeCollections(), collections);
      ASSERT_EQ(engine->collection_totals().elements, elements);
      ASSERT_EQ(engine->collection_totals().bytes() == 0, collections == 0);
    }
  }
  [[nodiscard]] std::uint64_t cleaned() const { return cleaned_ + cleaner_->stats().segments; }
  [[nodiscard]] std::uint64_t rolled_back() const { return rolled_back_; }

 private:
  // --- Steps.
  // In some runs nearly all is in one database.  In others the collections have a database of their own, and what is
  // flushed is another one: replay may know keys of that one alone when it meets the flush.
  DbId AnyDb() {
    if (apart_) return 0;
    return one_db_ && random_() % 8 != 0 ? DbId{0} : static_cast<DbId>(random_() % 3);
  }
  DbId AnyDbOfCollections() { return apart_ ? DbId{1} : AnyDb(); }
  std::string AnyName() { return "key " + std::to_string(random_() % 8); }
  Value* AnyLarge(Key& key) {
    std::vector<Key> keys;
    for (const auto& [name, value] : model_) {
      if (value.type != ValueType::kString) keys.push_back(name);
    }
    if (keys.empty()) return nullptr;
    key = keys[random_() % keys.size()];
    return &model_.at(key);
  }
  std::string AnySubkey(ValueType type) {
    const std::uint64_t number = random_() % 60;
    return type == ValueType::kList ? LabelBytes((1ULL << 63) + number) : "element " + std::to_string(number);
  }
  std::string AnyElement(ValueType type) {
    if (type == ValueType::kSet) return {};
    if (type == ValueType::kSortedSet) return ScoreBytes(static_cast<double>(random_() % 5) - 2);
    return std::string(random_() % 4 == 0 ? (apart_ ? 20'000 : 4000) : 30, static_cast<char>('a' + random_() % 26));
  }

  void PutKey(const Key& key, const Value& value) {
    const auto id = BytesOf(value.id);
    const bool large = value.type != ValueType::kString;
    const std::string_view bytes = large ? std::string_view(id.data(), id.size()) : value.text;
    ASSERT_TRUE(
        engine_
            ->Put(key.first, key.second, {bytes, value.expire_at, value.packed ? ValueType::kHash : value.type, large})
            .ok());
  }
  void PutElement(Value& value) {
    const std::string subkey = AnySubkey(value.type), element = AnyElement(value.type);
    ASSERT_TRUE(engine_->PutElement(value.id, value.type, subkey, element).ok());
    value.elements[subkey] = element;
  }

  void Begin() {
    if (!HasRoom(apart_ ? 1'000'000 : 200'000)) return;
    Value value{.type = static_cast<ValueType>(1 + random_() % 4), .id = engine_->NewCollection()};
    for (std::uint64_t i = 0, count = 1 + random_() % 40; i < count; ++i) PutElement(value);
    const Key key{AnyDbOfCollections(), AnyName()};
    PutKey(key, value);
    model_[key] = value;
    EndUnit();
  }
  void PutSome() {
    Key key;
    Value* value = AnyLarge(key);
    if (value == nullptr || !HasRoom(50'000)) return;
    for (std::uint64_t i = 0, count = 1 + random_() % 10; i < count; ++i) PutElement(*value);
    EndUnit();
  }
  void EraseSome() {
    Key key;
    Value* value = AnyLarge(key);
    if (value == nullptr || !HasRoom(50'000)) return;
    for (std::uint64_t i = 0, count = 1 + random_() % 20; i < count; ++i) {
      const std::string subkey = AnySubkey(value->type);
      ASSERT_TRUE(engine_->EraseElement(value->id, subkey).ok());
      value->elements.erase(subkey);
    }
    if (value->elements.empty()) {
      ASSERT_TRUE(engine_->Delete(key.first, key.second).ok());
      model_.erase(key);
    }
    EndUnit();
  }
  void Delete() {
    if (!HasRoom(1000)) return;
    const Key key{AnyDb(), AnyName()};
    ASSERT_TRUE(engine_->Delete(key.first, key.second).ok());
    model_.erase(key);
    EndUnit();
  }
  void PutString() {
    if (!HasRoom(10'000)) return;
    const Key key{AnyDb(), AnyName()};
    const Value value{.text = std::string(random_() % 3000, 's'), .packed = random_() % 2 == 0};
    PutKey(key, value);
    model_[key] = value;
    EndUnit();
  }
  // To another name, and sometimes to another database.
  void Rename() {
    Key from;
    if (AnyLarge(from) == nullptr || !HasRoom(1000)) return;
    const Key to{random_() % 2 == 0 ? from.first : AnyDbOfCollections(), AnyName()};
    if (to == from) return;
    const Value value = model_.at(from);
    PutKey(to, value);
    ASSERT_TRUE(engine_->Delete(from.first, from.second).ok());
    model_.erase(from);
    model_[to] = value;
    EndUnit();
  }
  void Expire() {
    Key key;
    Value* value = AnyLarge(key);
    if (value == nullptr || !HasRoom(1000)) return;
    value->expire_at = random_() % 3 == 0 ? kNoExpiry : static_cast<TimeMs>(1 + random_() % 1000);
    PutKey(key, *value);
    EndUnit();
  }
  // So many keys that a flush does not erase them one by one.
  void Fill() {
    if (!HasRoom(1'000'000)) return;
    const DbId db = AnyDb();
    for (int i = 0; i < 600; ++i) {
      const Key key{db, "filler " + std::to_string(i)};
      const Value value{.text = std::string(apart_ ? 1000 : 1, 'f')};
      PutKey(key, value);
      model_[key] = value;
    }
    EndUnit();
  }
  void Flush(std::optional<DbId> db) {
    if (!HasRoom(1000)) return;
    ASSERT_TRUE(engine_->Flush(db).ok());
    std::erase_if(model_, [db](const auto& entry) { return !db || entry.first.first == *db; });
    EndUnit();
  }
  void Swap() {
    if (!HasRoom(1000)) return;
    const DbId a = AnyDb(), b = AnyDb();
    ASSERT_TRUE(engine_->Swap(a, b).ok());
    Model swapped;
    for (auto& [key, value] : model_)
      swapped[{key.first == a ? b : key.first == b ? a : key.first, key.second}] = std::move(value);
    model_ = std::move(swapped);
    EndUnit();
  }
  void EndUnit() {
    log_->EndUnit();
    if (random_() % 4 == 0) {
      ASSERT_TRUE(log_->Seal().ok());
      sealed_[log_->end().lsn] = model_;
    }
  }
  // The backups have some of the batches and not yet the others.
  void CommitSome() {
    std::erase_if(sealed_, [this](const auto& sealed) { return sealed.first <= committed_; });
    if (sealed_.empty()) return;
    auto at = sealed_.begin();
    std::advance(at, random_() % sealed_.size());
    ASSERT_TRUE(log_->Drain().ok());
    committed_ = at->first;
    at_commit_ = at->second;
    log_->SetCommitted(committed_);
    engine_->Committed(committed_);
  }

  void Commit() {
    ASSERT_TRUE(log_->Seal().ok());
    ASSERT_TRUE(log_->Drain().ok());
    committed_ = log_->end().lsn;
    log_->SetCommitted(committed_);
    engine_->Committed(committed_);
    engine_->Appended();
    at_commit_ = model_;
    if (random_() % 2 == 0) backup_->ApplyTo(committed_);
  }
  void Clean() {
    Commit();
    if (random_() % 2 == 0) (void)engine_->Tend();
    const auto more = cleaner_->Step(kSegment, committed_, committed_, random_() % 2 == 0);
    ASSERT_TRUE(more.ok()) << more.status().ToString();
    if (random_() % 4 == 0) return;  // what was moved may be rolled back
    Release();
  }
  void Release() {
    Commit();
    backup_->ApplyTo(committed_);
    ASSERT_TRUE(log_->Release(committed_,
                              [&](const Segment& segment) {
                                engine_->Forget(segment.index);
                                backup_->Forget(segment.index);
                                return true;
                              })
                    .ok());
  }
  bool HasRoom(std::uint64_t bytes) {
    for (int i = 0; i < 8 && !log_->HasRoom(bytes); ++i) {
      Commit();
      EXPECT_TRUE(cleaner_->Step(kSegment, committed_, committed_, true).ok());
      Release();
    }
    return log_->HasRoom(bytes);
  }
  // A primary that is deposed: what is not committed is taken back.
  void RollBack() {
    if (random_() % 2 == 0) {
      ASSERT_TRUE(log_->Seal().ok());
    }
    engine_->Appended();
    engine_->RollBackTo(committed_);
    cleaner_->Abandon();
    ASSERT_TRUE(log_->CutAfter(committed_).ok());
    engine_->LogWasCut();
    backup_->LogWasCut();
    model_ = at_commit_;
    sealed_.clear();
    ++rolled_back_;
  }
  void Reopen() {
    Commit();
    Open();
  }
  void Load() {
    Commit();
    std::vector<std::byte> bytes;
    ASSERT_TRUE(engine_->Save([&](std::span<const std::byte> piece) {
      bytes.insert(bytes.end(), piece.begin(), piece.end());
      return true;
    }));
    cleaned_ += cleaner_->stats().segments;
    cleaner_.reset();
    engine_ = std::make_unique<Engine>(log_.get());
    std::span<const std::byte> rest = bytes;
    ASSERT_TRUE(engine_->Load(
        [&](std::span<std::byte> piece) {
          if (piece.size() > rest.size()) return false;
          std::copy_n(rest.begin(), piece.size(), piece.begin());
          rest = rest.subspan(piece.size());
          return true;
        },
        bytes.size()));
    EXPECT_TRUE(rest.empty());
    cleaner_.emplace(log_.get(), engine_.get());
  }
  void Open() {
    if (cleaner_) cleaned_ += cleaner_->stats().segments;
    cleaner_.reset();
    backup_.reset();
    engine_.reset();
    log_.reset();
    pool_.reset();
    pool_ = std::move(Pool::Open(std::make_unique<CrashMedia>(disk_, 64), kSegment, 0, kElementsLevel).value());
    ASSERT_TRUE(pool_->RaiseLevel(kElementsLevel).ok());
    log_ = std::move(Log::Open(pool_.get(), {}).value());
    engine_ = std::make_unique<Engine>(log_.get());
    engine_->Replay(log_->end().lsn);
    backup_ = std::make_unique<Engine>(log_.get());
    backup_->Replay(log_->end().lsn);
    cleaner_.emplace(log_.get(), engine_.get());
    committed_ = log_->end().lsn;
  }

  // --- What must hold.
  void CheckOne() {
    Key key;
    if (const Value* value = AnyLarge(key); value != nullptr) CheckValue(*engine_, key, *value);
  }
  static void Check(Engine& engine, const Model& model) {
    std::map<DbId, std::uint64_t> sizes;
    for (const auto& [key, value] : model) {
      ++sizes[key.first];
      CheckValue(engine, key, value);
    }
    for (DbId db = 0; db < 3; ++db) ASSERT_EQ(engine.Size(db), sizes[db]);
  }
  static void CheckValue(Engine& engine, const Key& key, const Value& value) {
    const auto entry = engine.Get(key.first, key.second);
    ASSERT_TRUE(entry.has_value());
    ASSERT_EQ(entry->type, value.packed ? ValueType::kHash : value.type);
    ASSERT_EQ(entry->expire_at, value.expire_at);
    ASSERT_EQ(entry->large, value.type != ValueType::kString);
    if (!entry->large) {
      ASSERT_EQ(entry->value, value.text);
      return;
    }
    ASSERT_EQ(ReadCollectionId(entry->value), value.id);
    const Large* large = engine.Find(value.id);
    ASSERT_NE(large, nullptr);
    ASSERT_EQ(large->Size(), value.elements.size());
    std::vector<std::tuple<double, std::string>> sorted;
    for (const auto& [subkey, element] : value.elements) {
      const auto found = engine.FindElement(value.id, subkey);
      ASSERT_TRUE(found.has_value());
      ASSERT_EQ(found->value, element);
      if (value.type == ValueType::kSortedSet) sorted.emplace_back(ScoreOf(element), subkey);
      if (value.type == ValueType::kList) sorted.emplace_back(0, subkey);
    }
    ASSERT_FALSE(engine.FindElement(value.id, value.type == ValueType::kList ? LabelBytes(5) : "no such element"));
    std::uint64_t visited = 0;
    large->ForEach([&](LogAddress) { ++visited; });
    ASSERT_EQ(visited, value.elements.size());
    std::sort(sorted.begin(), sorted.end());
    for (std::uint64_t rank = 0; rank < sorted.size(); ++rank) {
      const auto record = engine.ElementAt(large->tree().At(rank).at, RecordPart::kAll);
      ASSERT_TRUE(record.has_value());
      ASSERT_EQ(SubkeyOf(*record), std::get<1>(sorted[rank]));
      ASSERT_EQ(large->RankOf(OrderOf(*record), SubkeyOf(*record)), rank);
    }
  }

  std::mt19937_64 random_;
  bool one_db_, apart_;
  std::shared_ptr<CrashDisk> disk_ = std::make_shared<CrashDisk>(format::kDataOffset + kSegments * kSegment);
  std::unique_ptr<Pool> pool_;
  std::unique_ptr<Log> log_;
  std::unique_ptr<Engine> engine_, backup_;
  std::optional<Cleaner> cleaner_;
  Model model_, at_commit_;
  std::map<Lsn, Model> sealed_;  // what the keys had when a batch was sealed with the end of a unit
  Lsn committed_;
  std::uint64_t cleaned_ = 0, rolled_back_ = 0;
};

std::uint64_t Seeds() {
  const char* seeds = std::getenv("FAHA_SEEDS");
  return seeds == nullptr ? 60 : std::strtoull(seeds, nullptr, 10);
}

TEST(Elements, AgreeWithAModel) {
  std::uint64_t cleaned = 0, rolled_back = 0;
  for (std::uint64_t seed = 0; seed < Seeds(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Subject subject(seed);
    for (int step = 0; step < 400; ++step) {
      subject.Step();
      if (step % 100 == 99) subject.CheckAll();
      if (testing::Test::HasFailure()) FAIL() << "step " << step;
    }
    cleaned += subject.cleaned();
    rolled_back += subject.rolled_back();
  }
  EXPECT_GE(cleaned, Seeds() / 2);
  EXPECT_GE(rolled_back, 2 * Seeds());
}

// --- Rules that chance rarely needs.

// The record that binds a collection to its present key was moved, so replay meets it late.  Before that it meets the
// flush of a database in which the collection had a key once: that key's record is still there, and what deleted it was
// moved as well.
class BoundLate : public testing::TestWithParam<int> {};

TEST_P(BoundLate, IsNotTakenForFlushed) {
  EngineNode node;
  // A segment that is not cleaned, for most of it lives.
  for (int i = 0; i < 8; ++i) node.Put(7, "lives" + std::to_string(i), 100'000);
  for (int i = 0; i < GetParam(); ++i) node.Put(3, "other" + std::to_string(i));
  const CollectionId id = node.PutHash(3, "old");
  node.NextSegment();
  const std::uint64_t renamed = node.Tail();
  node.Rename(3, "old", 5, "new", id);
  for (int i = 0; i < 8; ++i) node.Put(9, "filler", 100'000);
  node.NextSegment();
  ASSERT_TRUE(node.engine->Flush(DbId{3}).ok());
  node.Commit();
  const Lsn flushed = node.log->end().lsn;
  for (int i = 0; i < 7; ++i) node.Put(7, "lives too" + std::to_string(i), 100'000);
  node.NextSegment();
  node.Clean(renamed);
  ASSERT_TRUE(EngineNode::IsWhole(*node.engine, id));
  Engine again(node.log.get());
  again.Replay(flushed);
  while (again.Tend()) continue;
  again.ApplyTo(node.log->end().lsn);
  EXPECT_TRUE(EngineNode::IsWhole(again, id));
  EXPECT_TRUE(again.Get(5, "new").has_value());
  EXPECT_EQ(again.Size(3), 0U);
  again.SettleUsage();
  node.engine->SettleUsage();
  EXPECT_EQ(again.usage().live_bytes(), node.engine->usage().live_bytes());
}

// The same where the database that is flushed is the only one in which replay knows keys by then.
TEST(Elements, OutliveTheFlushOfAnotherDatabaseBeforeTheirKeyIsMet) {
  EngineNode node;
  // The key's record is in a segment that is cleaned, and most elements are in one that is not.
  const CollectionId id = node.engine->NewCollection();
  ASSERT_TRUE(node.engine->PutElement(id, ValueType::kHash, "a", "a").ok());
  node.Bind(1, "k", id);
  node.log->EndUnit();
  node.Commit();
  const std::uint64_t bound = node.Tail();
  for (int i = 0; i < 8; ++i) node.Put(9, "filler", 100'000);
  node.NextSegment();
  for (const char* field : {"b", "c", "d"})
    ASSERT_TRUE(node.engine->PutElement(id, ValueType::kHash, field, std::string(330'000, *field)).ok());
  node.log->EndUnit();
  node.NextSegment();
  ASSERT_TRUE(node.engine->Flush(DbId{9}).ok());
  node.Commit();
  node.Clean(bound);
  Engine again(node.log.get());
  again.Replay(node.log->end().lsn);
  while (again.Tend()) continue;
  ASSERT_NE(again.Find(id), nullptr);
  EXPECT_EQ(again.Find(id)->Size(), 4U);
  EXPECT_TRUE(again.Get(1, "k").has_value());
}

// Few keys are flushed one by one, many together.
INSTANTIATE_TEST_SUITE_P(Keys, BoundLate, testing::Values(10, 700));

// The end of what is committed is replayed, and then what is not: a delete there may be taken back.
TEST(Elements, ComeBackWithTheirKeyWhenADeleteThatWasReplayedIsTakenBack) {
  EngineNode node;
  const CollectionId id = node.PutHash(0, "k");
  node.Commit();
  const Lsn committed = node.log->end().lsn;
  ASSERT_TRUE(node.engine->Delete(0, "k").ok());
  ASSERT_TRUE(node.log->Seal().ok());
  Engine heir(node.log.get());
  heir.Replay(committed);
  ASSERT_TRUE(EngineNode::IsWhole(heir, id));
  heir.ApplyTail();
  EXPECT_FALSE(heir.Get(0, "k").has_value());
  while (heir.Tend()) continue;
  heir.RollBackTo(committed);
  EXPECT_TRUE(heir.Get(0, "k").has_value());
  EXPECT_TRUE(EngineNode::IsWhole(heir, id));
  EXPECT_EQ(heir.replays(), 0U);
}

// It is taken down when that is committed, and in slices.
// A delete is committed while a flush of everything, which came later, is taken back.
TEST(Elements, OfADeletedKeyAreTakenDownThoughAFlushHasCome) {
  EngineNode node;
  for (int i = 0; i < 600; ++i) node.Put(0, "other" + std::to_string(i));
  node.PutHash(0, "gone");
  const CollectionId stays = node.PutHash(0, "stays");
  node.Commit();
  ASSERT_TRUE(node.engine->Delete(0, "gone").ok());
  node.log->EndUnit();
  ASSERT_TRUE(node.log->Seal().ok());
  const Lsn deleted = node.log->end().lsn;
  ASSERT_TRUE(node.engine->Flush(std::nullopt).ok());
  node.log->EndUnit();
  ASSERT_TRUE(node.log->Seal().ok() && node.log->Drain().ok());
  node.engine->Appended();
  node.log->SetCommitted(deleted);
  node.engine->Committed(deleted);
  node.engine->RollBackTo(deleted);
  ASSERT_TRUE(node.log->CutAfter(deleted).ok());
  node.engine->LogWasCut();
  while (node.engine->Tend()) continue;
  EXPECT_EQ(node.engine->LargeCollections(), 1U);
  EXPECT_EQ(node.engine->collection_totals().elements, 3U);
  EXPECT_TRUE(EngineNode::IsWhole(*node.engine, stays));
}

TEST(Elements, OfADeletedKeyAreTakenDownBitByBit) {
  EngineNode node;
  const CollectionId id = node.engine->NewCollection();
  for (int i = 0; i < 5000; ++i)
    ASSERT_TRUE(node.engine->PutElement(id, ValueType::kSet, "member " + std::to_string(i), "").ok());
  const CollectionIdBytes name = BytesOf(id);
  ASSERT_TRUE(node.engine->Put(0, "k", {{name.data(), name.size()}, kNoExpiry, ValueType::kSet, true}).ok());
  node.Commit();
  const std::uint64_t live = node.engine->usage().live_bytes();
  ASSERT_TRUE(node.engine->Delete(0, "k").ok());
  EXPECT_FALSE(node.engine->Tend()) << "it may still be taken back";
  node.Commit();
  int slices = 0;
  while (node.engine->Tend()) ++slices;
  EXPECT_GT(slices, 10);
  EXPECT_EQ(node.engine->LargeCollections(), 0U);
  EXPECT_EQ(node.engine->usage().live_bytes(), 0U);
  EXPECT_GT(live, 5000U * 40);
}

// What erases an element is kept as long as the element's older record can be found; of a collection that is gone it is
// dropped.
TEST(Elements, ThatWereErasedStayErased) {
  EngineNode node;
  for (int i = 0; i < 8; ++i) node.Put(7, "lives" + std::to_string(i), 100'000);
  const CollectionId id = node.PutHash(0, "k"), gone = node.PutHash(0, "gone");
  node.NextSegment();
  const std::uint64_t erased = node.Tail();
  for (const CollectionId& each : {id, gone}) ASSERT_TRUE(node.engine->EraseElement(each, "b").ok());
  ASSERT_TRUE(node.engine->Delete(0, "gone").ok());
  node.log->EndUnit();
  for (int i = 0; i < 8; ++i) node.Put(9, "filler", 100'000);
  node.NextSegment();
  const std::uint64_t before = node.engine->usage().tombstone_bytes();
  node.Clean(erased);
  // Those of the delete and of one element were moved, with their LSN as their value.
  EXPECT_EQ(node.engine->usage().tombstone_bytes() + format::RecordBytes(format::kCollectionIdBytes + 1, 0, false),
            before + 2 * sizeof(Lsn));
  Engine again(node.log.get());
  again.Replay(node.log->end().lsn);
  EXPECT_FALSE(again.FindElement(id, "b").has_value());
  EXPECT_TRUE(again.FindElement(id, "a").has_value());
  again.SettleUsage();
  EXPECT_EQ(again.Find(gone), nullptr);
}

}  // namespace
}  // namespace faha
