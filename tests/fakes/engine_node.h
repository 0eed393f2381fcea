#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "store/cleaner.h"
#include "store/engine.h"
#include "tests/fakes/crash_media.h"

namespace faha {

// The engine of a node of one, at work on a medium.  Its cleaner takes the segment that a test names.
// Thread: main only.
struct EngineNode {
  static constexpr std::uint64_t kSegment = 1ULL << 20;

  explicit EngineNode(std::shared_ptr<CrashDisk> on = std::make_shared<CrashDisk>(format::kDataOffset + 16 * kSegment))
      : disk(std::move(on)),
        pool(std::move(Pool::Open(std::make_unique<CrashMedia>(disk, 64), kSegment, 0, kElementsLevel).value())) {
    EXPECT_TRUE(pool->RaiseLevel(kElementsLevel).ok());
    log = std::move(Log::Open(pool.get(), {}).value());
    engine = std::make_unique<Engine>(log.get());
    engine->Replay(log->end().lsn);
    cleaner.emplace(log.get(), engine.get());
  }
  void Put(DbId db, std::string_view key, std::size_t bytes = 1) {
    ASSERT_TRUE(engine->Put(db, key, {std::string(bytes, 'v')}).ok());
    log->EndUnit();
  }
  void Bind(DbId db, std::string_view key, const CollectionId& id) {
    const CollectionIdBytes name = BytesOf(id);
    ASSERT_TRUE(engine->Put(db, key, {{name.data(), name.size()}, kNoExpiry, ValueType::kHash, true}).ok());
  }
  CollectionId PutHash(DbId db, std::string_view key) {
    const CollectionId id = engine->NewCollection();
    for (const char* field : {"a", "b", "c"}) EXPECT_TRUE(engine->PutElement(id, ValueType::kHash, field, field).ok());
    Bind(db, key, id);
    log->EndUnit();
    return id;
  }
  void Rename(DbId from_db, std::string_view from, DbId to_db, std::string_view to, const CollectionId& id) {
    Bind(to_db, to, id);
    ASSERT_TRUE(engine->Delete(from_db, from).ok());
    log->EndUnit();
  }
  [[nodiscard]] static bool IsWhole(const Engine& of, const CollectionId& id) {
    const Large* large = of.Find(id);
    if (large == nullptr || large->Size() != 3) return false;
    const auto b = of.FindElement(id, "b");
    return b && b->value == "b";
  }
  void Commit() {
    ASSERT_TRUE(log->Seal().ok());
    ASSERT_TRUE(log->Drain().ok());
    log->SetCommitted(log->end().lsn);
    engine->Appended();
    engine->Committed(log->end().lsn);
  }
  // The batches that follow stand in another segment.
  void NextSegment() {
    Commit();
    const std::uint32_t tail = log->segments().Tail(Head::kHot)->index;
    const std::uint64_t room = log->TailRoom(Head::kHot);
    if (room > 1000) Put(9, "room", room - 500);
    Commit();
    Put(9, "next", 2000);
    Commit();
    ASSERT_NE(log->segments().Tail(Head::kHot)->index, tail);
  }
  // Cleans until that segment is given back.
  void Clean(std::uint64_t generation) {
    for (int i = 0; i < 100 && log->segments().in_order().contains(generation); ++i) {
      ASSERT_TRUE(cleaner->Step(kSegment, log->end().lsn, log->end().lsn).ok());
      Commit();
      ASSERT_TRUE(log->Release(log->end().lsn,
                               [this](const Segment& segment) {
                                 engine->Forget(segment.index);
                                 return true;
                               })
                      .ok());
    }
    ASSERT_FALSE(log->segments().in_order().contains(generation));
  }
  [[nodiscard]] std::uint64_t Tail() const { return log->segments().Tail(Head::kHot)->generation; }

  std::shared_ptr<CrashDisk> disk;
  std::unique_ptr<Pool> pool;
  std::unique_ptr<Log> log;
  std::unique_ptr<Engine> engine;
  std::optional<Cleaner> cleaner;
};

}  // namespace faha
