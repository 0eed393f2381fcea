// The engine against a model, by whatever RapidCheck thinks of: puts, deletes, flushes and swaps among growth and
// shrink of the index, reads that make keys hot, limits that make them cold again, and a cleaner that moves the records
// of both.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <ostream>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "store/cleaner.h"
#include "store/engine.h"
#include "tests/fakes/crash_media.h"

namespace faha {
namespace {

constexpr std::uint64_t kSegment = 1ULL << 20;
constexpr std::uint64_t kSegments = 24;

// One step; what `key`, `count` and `size` mean depends on it.
struct Step {
  enum Kind { kPut, kDelete, kRead, kFlush, kFlushAll, kSwap, kHotBytes, kClean, kCommit, kReopen, kLoad } kind = kPut;
  DbId db = 0;
  std::uint64_t key = 0, count = 1, size = 0;
};

[[maybe_unused]] std::ostream& operator<<(std::ostream& out, const Step& step) {
  constexpr const char* kNames[] = {"put",       "delete", "read",   "flush",  "flush all", "swap",
                                    "hot bytes", "clean",  "commit", "reopen", "load"};
  return out << kNames[step.kind] << " db=" << step.db << " key=" << step.key << " count=" << step.count
             << " size=" << step.size;
}

class Subject {
 public:
  void Do(const Step& step) {
    switch (step.kind) {
      case Step::kPut:
        for (std::uint64_t i = 0; i < step.count; ++i) Put(step.db, step.key + i, step.size);
        break;
      case Step::kDelete:
        for (std::uint64_t i = 0; i < step.count; ++i) Delete(step.db, step.key + i);
        break;
      case Step::kRead:
        for (std::uint64_t i = 0; i < step.count; ++i) Read({step.db, Name(step.key + i)});
        break;
      case Step::kFlush: Flush(step.db); break;
      case Step::kFlushAll: Flush(std::nullopt); break;
      case Step::kSwap: Swap(step.db, static_cast<DbId>(step.key % 3)); break;
      case Step::kHotBytes:
        hot_bytes_ = step.size % 5 * (kSegment / 2);
        engine_->SetHotBytes(hot_bytes_);
        while (engine_->Tend()) continue;
        break;
      case Step::kClean: Clean(); break;
      case Step::kCommit: Commit(); break;
      case Step::kReopen: Reopen(); break;
      case Step::kLoad: Load(); break;
    }
  }

  void CheckAll() {
    engine_->CheckInvariants();
    std::map<DbId, std::uint64_t> sizes, expiring;
    std::uint64_t live = 0;
    for (const auto& [key, value] : model_) {
      const bool expires = value.expire_at != kNoExpiry;
      Read(key);
      ++sizes[key.first];
      expiring[key.first] += expires ? 1 : 0;
      live += format::RecordBytes(key.second.size(), value.value.size(), expires);
    }
    for (DbId db = 0; db < 3; ++db) {
      RC_ASSERT(engine_->Size(db) == sizes[db]);
      RC_ASSERT(engine_->Expiring(db) == expiring[db]);
      engine_->ForEachKey(db, [&](std::string_view key) {
        RC_ASSERT(model_.contains({db, std::string(key)}));
        --sizes[db];
      });
      RC_ASSERT(sizes[db] == 0U);
      RC_ASSERT(engine_->RandomKey(db, 1, [&](std::string_view key, TimeMs, ValueType) {
        RC_ASSERT(model_.contains({db, std::string(key)}));
      }) == (engine_->Size(db) > 0));
    }
    CheckExpiring();
    Commit();
    engine_->SettleUsage();
    RC_ASSERT(engine_->usage().live_bytes() == live);
    engine_->CheckInvariants();
  }
  [[nodiscard]] const HotStats& hot() const { return engine_->hot().stats(); }
  [[nodiscard]] const CleanerStats& cleaned() const { return cleaner_->stats(); }

 private:
  using Key = std::pair<DbId, std::string>;
  struct Value {
    std::string value;
    TimeMs expire_at = kNoExpiry;
    ValueType type = ValueType::kString;
  };

  static std::string Name(std::uint64_t key) { return "key:" + std::to_string(key); }

  void Put(DbId db, std::uint64_t key, std::uint64_t size) {
    if (!HasRoom(size + 100)) return;
    const std::string value(size, static_cast<char>('a' + ++puts_ % 26));
    const TimeMs expire_at = puts_ % 4 == 0 ? static_cast<TimeMs>(puts_) : kNoExpiry;
    const auto type = static_cast<ValueType>(puts_ % (static_cast<int>(kLastValueType) + 1));
    RC_ASSERT(engine_->Put(db, Name(key), {value, expire_at, type}).ok());
    model_[{db, Name(key)}] = {value, expire_at, type};
    EndUnit();
  }
  void Delete(DbId db, std::uint64_t key) {
    if (!HasRoom(100)) return;
    RC_ASSERT(engine_->Delete(db, Name(key)).ok());
    model_.erase({db, Name(key)});
    EndUnit();
  }
  void Flush(std::optional<DbId> db) {
    if (!HasRoom(100)) return;
    RC_ASSERT(engine_->Flush(db).ok());
    std::erase_if(model_, [db](const auto& entry) { return !db || entry.first.first == *db; });
    EndUnit();
  }
  void Swap(DbId a, DbId b) {
    if (!HasRoom(100)) return;
    RC_ASSERT(engine_->Swap(a, b).ok());
    std::map<Key, Value> swapped;
    for (auto& [key, value] : model_)
      swapped[{key.first == a ? b : key.first == b ? a : key.first, key.second}] = std::move(value);
    model_ = std::move(swapped);
    EndUnit();
  }
  void CheckExpiring() {
    std::uint64_t cursor = 0;
    do {
      cursor = engine_->ScanExpiring(cursor, [&](DbId db, std::string_view key, TimeMs expire_at) {
        const auto found = model_.find({db, std::string(key)});
        RC_ASSERT(found != model_.end());
        RC_ASSERT(found->second.expire_at == expire_at);
      });
    } while (cursor != 0);
  }
  void Read(const Key& key) {
    const auto expected = model_.find(key);
    const auto entry = engine_->Get(key.first, key.second);
    RC_ASSERT(entry.has_value() == (expected != model_.end()));
    if (entry) {
      RC_ASSERT(entry->value == expected->second.value);
      RC_ASSERT(entry->expire_at == expected->second.expire_at);
      RC_ASSERT(entry->type == expected->second.type);
    }
    // A unit may read several keys, or one of them twice.
    if (++reads_ % 3 != 0) EndUnit();
  }
  void EndUnit() {
    log_->EndUnit();
    engine_->SettleHot();
    if (log_->OpenBatchBytes() > 30'000) Commit();
  }
  void Commit() {
    RC_ASSERT(log_->Seal().ok());
    RC_ASSERT(log_->Drain().ok());
    log_->SetCommitted(log_->end().lsn);
    engine_->Committed(log_->end().lsn);
  }
  // Moves what is live in a victim, frees it, and gives it back.
  void Clean() {
    Commit();
    const auto more = cleaner_->Step(kSegment, log_->end().lsn, log_->end().lsn);
    RC_ASSERT(more.ok());
    Commit();
    RC_ASSERT(log_->Release(log_->end().lsn,
                            [&](const Segment& segment) {
                              engine_->Forget(segment.index);
                              return true;
                            })
                  .ok());
  }
  bool HasRoom(std::uint64_t bytes) {
    for (int i = 0; i < 4 && !log_->HasRoom(bytes); ++i) Clean();
    return log_->HasRoom(bytes);
  }
  void Reopen() {
    Commit();
    Open();
  }
  // As a checkpoint: another engine for the same log.
  void Load() {
    Commit();
    std::vector<std::byte> bytes;
    RC_ASSERT(engine_->Save([&](std::span<const std::byte> piece) {
      bytes.insert(bytes.end(), piece.begin(), piece.end());
      return true;
    }));
    cleaner_.reset();
    engine_ = std::make_unique<Engine>(log_.get());
    engine_->SetHotBytes(hot_bytes_);
    std::span<const std::byte> rest = bytes;
    RC_ASSERT(engine_->Load(
        [&](std::span<std::byte> piece) {
          if (piece.size() > rest.size()) return false;
          std::copy_n(rest.begin(), piece.size(), piece.begin());
          rest = rest.subspan(piece.size());
          return true;
        },
        bytes.size()));
    cleaner_.emplace(log_.get(), engine_.get());
  }
  void Open() {
    cleaner_.reset();
    engine_.reset();
    log_.reset();
    pool_.reset();
    pool_ = std::move(Pool::Open(std::make_unique<CrashMedia>(disk_, 64), kSegment).value());
    log_ = std::move(Log::Open(pool_.get(), {}).value());
    engine_ = std::make_unique<Engine>(log_.get());
    engine_->SetHotBytes(hot_bytes_);
    engine_->Replay(log_->end().lsn);
    cleaner_.emplace(log_.get(), engine_.get());
  }

  std::shared_ptr<CrashDisk> disk_ = std::make_shared<CrashDisk>(format::kDataOffset + kSegments * kSegment);
  std::unique_ptr<Pool> pool_;
  std::unique_ptr<Log> log_;
  std::unique_ptr<Engine> engine_;
  std::optional<Cleaner> cleaner_;
  std::map<Key, Value> model_;
  std::uint64_t puts_ = 0, reads_ = 0, hot_bytes_ = kSegment;

 public:
  Subject() { Open(); }
};

}  // namespace
}  // namespace faha

namespace rc {

template <>
struct Arbitrary<faha::Step> {
  static Gen<faha::Step> arbitrary() {
    using faha::Step;
    // Few keys often, many sometimes: the index grows and shrinks by thousands, and keys meet again.
    const auto kind = gen::weightedElement<Step::Kind>({{8, Step::kPut},
                                                        {5, Step::kDelete},
                                                        {8, Step::kRead},
                                                        {1, Step::kFlush},
                                                        {1, Step::kFlushAll},
                                                        {3, Step::kSwap},
                                                        {2, Step::kHotBytes},
                                                        {4, Step::kClean},
                                                        {2, Step::kCommit},
                                                        {1, Step::kReopen},
                                                        {1, Step::kLoad}});
    return gen::build<Step>(gen::set(&Step::kind, kind),
                            gen::set(&Step::db, gen::weightedElement<faha::DbId>({{8, 0}, {2, 1}, {1, 2}})),
                            gen::set(&Step::key, gen::element<std::uint64_t>(0, 1, 2, 50, 500, 1000, 1500)),
                            gen::set(&Step::count, gen::element<std::uint64_t>(1, 1, 10, 100, 1000, 2000)),
                            gen::set(&Step::size, gen::element<std::uint64_t>(0, 8, 100, 101, 900, 1024, 1500, 4096)));
  }
};

}  // namespace rc

namespace faha {
namespace {

RC_GTEST_PROP(EngineProperty, AgreesWithAModel, (const std::vector<Step>& steps)) {
  Subject subject;
  for (const Step& step : steps) subject.Do(step);
  subject.CheckAll();
  RC_TAG(std::string(subject.hot().evictions > 0 ? "evicts"
                     : subject.hot().hits > 0    ? "hot"
                                                 : "cold") +
         (subject.cleaned().segments > 0 ? ", cleans" : ""));
}

}  // namespace
}  // namespace faha
