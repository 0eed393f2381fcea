// The keys that result from a pool's batches, as a server would replay them, and totals that are counted on the way.
// Thread: main only.
// Invariants: (1) nothing is written.
//             (2) a unit is applied as a whole or not at all, also where the pool is damaged.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "log/log.h"
#include "log/record_kinds.h"
#include "store/engine.h"
#include "tools/survey.h"

namespace faha {

struct KindTotals {
  std::uint64_t records = 0, bytes = 0;
};

struct Totals {
  std::uint64_t batches = 0, bytes = 0, padding = 0;  // bytes with padding
  Lsn first, last;
  Epoch first_epoch, last_epoch;
  std::uint64_t epochs = 0;
  std::uint64_t gaps = 0, missing = 0;                  // gaps in the LSNs, and how many LSNs are in them
  std::uint64_t unexplained = 0;                        // gaps that cleaning cannot have left
  std::array<KindTotals, kRecordKinds.size()> kinds{};  // as in the table of kinds
  std::string members;                                  // the newest configuration, as stored
  std::uint64_t half_units = 0;                         // units that end in the middle: a crash cut their rest
  std::uint64_t headless_units = 0;                     // units that are left out: their beginning is lost
  std::uint64_t headless_records = 0;
};

class Replay {
 public:
  // Both must outlive this object.
  Replay(Pool* pool, const Survey* survey);
  void Run();
  [[nodiscard]] const Totals& totals() const { return totals_; }
  [[nodiscard]] const Engine& engine() const { return engine_; }
  // Databases that have keys, as clients call them.
  [[nodiscard]] std::vector<DbId> databases() const;

 private:
  void Count(const StreamedBatch& next);
  void Apply(const LocatedBatch& batch);

  Pool* pool_;
  const Survey* survey_;
  std::unique_ptr<Log> log_;  // an empty one: the engine needs a log to read records from
  Engine engine_;
  Totals totals_;
  bool unit_open_ = false;  // the last batch's unit goes on in the next one
  bool headless_ = false;   // the unit under way has lost its beginning
  Lsn applied_;
};

}  // namespace faha
