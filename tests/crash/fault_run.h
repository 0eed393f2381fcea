// One history of one store whose medium fails once: at a chosen write or drain, whatever that writes: a batch, a
// segment's entry, what cleaning moves, a free, the members, a promise.
//
// A client takes for acknowledged what a successful Commit() says, and goes on whatever else it is told.  The process
// is then killed, and the machine loses power; each time a store opens on what is left, with a medium that works again,
// and must hold what was acknowledged and a prefix, in whole units, of what was issued since.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "faha/store.h"
#include "tests/crash/history.h"
#include "tests/crash/model.h"
#include "tests/fakes/crash_media.h"
#include "tests/fakes/sim_world.h"

namespace faha::crash {

struct Fault {
  enum Kind { kNone, kWrite, kWriteHalfWay, kDrain } kind = kNone;
  std::uint64_t number = 0;  // of the write or drain, counted from 1 since the pool was created
};

// Segments are written, cleaned, freed and written again.
inline HistoryOptions CleaningFaults() {
  return {.steps = 70, .segments = 8, .keys = 8, .large_value = 300'000, .large_percent = 50};
}

class FaultRun : private StoreObserver {
 public:
  FaultRun(std::uint64_t seed, const HistoryOptions& options);
  // Lives through the history with that fault.  The first violation; nothing if there was none.
  std::optional<std::string> Run(const Fault& fault);
  // Runs without a fault, and then with one at each write, twice, and at each drain.
  std::optional<std::string> RunAll();

  // Of all runs: faults that a store has met while it opened and while it served.
  [[nodiscard]] std::uint64_t met_opening() const { return met_opening_; }
  [[nodiscard]] std::uint64_t met_serving() const { return met_serving_; }

 private:
  void OnPrimary() override {}
  void OnFollowing(const Member&) override {}

  std::unique_ptr<Store> Open(const std::shared_ptr<CrashDisk>& disk, Status& status);
  void Live(Store& store);
  void Write(Store& store, History& history);
  void Commit(Store& store);
  [[nodiscard]] bool Met() const;
  void Recovers(const std::shared_ptr<CrashDisk>& disk, const char* after);
  void Violate(const std::string& what);

  std::uint64_t seed_;
  HistoryOptions options_;
  Fault fault_;
  std::unique_ptr<SimWorld> world_;
  std::unique_ptr<SimFabric> fabric_;
  std::shared_ptr<CrashDisk> disk_, copy_;
  Model model_;
  bool waits_ = false;  // something was written since the last Commit(), which its next one answers for
  std::uint64_t met_opening_ = 0, met_serving_ = 0;
  std::optional<std::string> violation_;
};

}  // namespace faha::crash
