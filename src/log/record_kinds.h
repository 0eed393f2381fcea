// What this release knows of each kind of record, in one table: how it is checked, whose state it changes, and what
// becomes of it when its segment is cleaned.  A kind that is not in the table is refused wherever records are read.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "log/batch.h"
#include "log/element.h"
#include "log/format.h"

namespace faha {

// Whose state a record changes.
enum class Concerns : std::uint8_t {
  kKey,        // one key: the engine's
  kDatabases,  // one database or all of them: the engine's
  kCluster,    // its members and epochs: the node's
  kLog,        // its segments: the log's
};

// What becomes of a record when the segment that holds it is cleaned.
enum class WhenCleaned : std::uint8_t {
  kMovedIfNewest,  // it is moved if the index names it as the newest of its key; any other is dead
  kMovedIfHiding,  // it is moved as long as an older record of its key can be left
  kPins,           // its segment is cleaned only after every older segment
  kWrittenAnew,    // the contents of the newest of its kind are appended again before the segment is freed
  kForgotten,      // it is dropped: by then nothing needs it
};

struct RecordKindInfo {
  format::RecordKind kind;
  std::string_view name;  // as faha-check prints it
  Concerns concerns;
  WhenCleaned when_cleaned;
  std::uint16_t batch_flag;            // a batch that holds such a record has this flag; 0: none
  bool (*well_formed)(const Record&);  // beyond what is checked of every kind; null: always
  FeatureLevel since = kLowestLevel;   // it is written only to pools of that level or a higher one
};

inline bool IsSwapRecord(const Record& record) { return ReadSwap(record).has_value(); }

// By the number of the kind, from 1 on.
inline constexpr std::array kRecordKinds = {
    RecordKindInfo{format::RecordKind::kPut, "put", Concerns::kKey, WhenCleaned::kMovedIfNewest, 0, IsPut},
    RecordKindInfo{format::RecordKind::kDelete, "delete", Concerns::kKey, WhenCleaned::kMovedIfHiding, 0, nullptr},
    RecordKindInfo{format::RecordKind::kFlush, "flush", Concerns::kDatabases, WhenCleaned::kPins, 0, nullptr},
    RecordKindInfo{format::RecordKind::kConfig, "config", Concerns::kCluster, WhenCleaned::kWrittenAnew,
                   format::kHasConfig, nullptr},
    RecordKindInfo{format::RecordKind::kEpochStart, "epoch", Concerns::kCluster, WhenCleaned::kForgotten, 0, nullptr},
    RecordKindInfo{format::RecordKind::kFree, "free", Concerns::kLog, WhenCleaned::kForgotten, format::kHasFree,
                   nullptr},
    RecordKindInfo{format::RecordKind::kSwap, "swap", Concerns::kDatabases, WhenCleaned::kWrittenAnew, 0, IsSwapRecord},
    RecordKindInfo{format::RecordKind::kElement, "element", Concerns::kKey, WhenCleaned::kMovedIfNewest, 0, IsElement,
                   kElementsLevel},
    RecordKindInfo{format::RecordKind::kElementErased, "erased", Concerns::kKey, WhenCleaned::kMovedIfHiding, 0,
                   IsElementErased, kElementsLevel},
};

// Null if this release does not know it.
constexpr const RecordKindInfo* FindRecordKind(std::uint8_t number) {
  return number == 0 || number > kRecordKinds.size() ? nullptr : &kRecordKinds[number - std::size_t{1}];
}
constexpr const RecordKindInfo& InfoOf(format::RecordKind kind) {
  return kRecordKinds[static_cast<std::size_t>(kind) - 1];
}

// Does the batch hold what a client has written?  What the cleaner has moved is what other batches hold.
inline bool HoldsWrites(const BatchView& view) {
  bool holds = false;
  const bool moved = (view.header().flags & format::kColdHead) != 0;
  return !moved && view.ForEach([&](const Record& record, std::uint64_t) {
    const Concerns concerns = InfoOf(record.kind).concerns;
    holds = holds || concerns == Concerns::kKey || concerns == Concerns::kDatabases;
  }) && holds;
}

static_assert(
    [] {
      for (const RecordKindInfo& info : kRecordKinds) {
        if (&InfoOf(info.kind) != &info) return false;
      }
      return true;
    }(),
    "each kind stands at its number's place");

}  // namespace faha
