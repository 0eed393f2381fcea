// One history of one store on a medium that forgets, and all the worlds in which power fails on the way.
//
// At every drain, before it takes effect, the disk is copied: power fails on the copy, and a store opens on what is
// left. It must hold the acknowledged keyspace and a prefix, in whole units, of what was issued since; it then goes on
// writing, and loses power once more.  The drains of that recovery are in turn such places.  (What a failure after the
// drain, or half way, leaves is what one before it can leave: the mode "everything", or "words".)
//
// A mutated run drops every drain of one site, to show that the harness would see it missing.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "faha/store.h"
#include "tests/crash/history.h"
#include "tests/crash/model.h"
#include "tests/fakes/crash_media.h"
#include "tests/fakes/sim_world.h"

namespace faha::crash {

// Who drains, told by what was written last: the format says which bytes are whose.
enum class Site { kNothingWritten, kSuperblock, kEntryWritten, kEntryCleared, kBatch };
enum class Phase { kOpening, kServing };
using Place = std::pair<Site, Phase>;
std::string Name(Place place);
// `since`: the undrained writes that an earlier call of Drain has seen.
Site SiteOf(const CrashDisk& disk, std::size_t since);

struct RunOptions {
  HistoryOptions history;
  int modes = 2;                    // of the crash modes, tried at each drain
  std::uint64_t again_one_in = 4;   // of the crashes, a second one at every drain of the recovery follows
  std::optional<Place> mutation{};  // the drains of this site do nothing
};

// Segments are written, cleaned, freed and written again.
inline RunOptions Cleaning() {
  RunOptions options;
  options.history = {.steps = 110, .segments = 8, .keys = 8, .large_value = 300'000, .large_percent = 50};
  options.modes = 1;
  options.again_one_in = 8;
  return options;
}

// The same, where what is left in a segment that is used again looks like batches.
inline RunOptions Forging() {
  RunOptions options = Cleaning();
  options.history.forged_percent = 80;
  return options;
}

class CrashRun : private StoreObserver {
 public:
  CrashRun(std::uint64_t seed, const RunOptions& options);
  ~CrashRun();
  CrashRun(const CrashRun&) = delete;
  CrashRun& operator=(const CrashRun&) = delete;
  // The first violation; nothing if there was none.
  std::optional<std::string> Run();

  [[nodiscard]] const std::map<Place, std::uint64_t>& drains() const { return drains_; }
  [[nodiscard]] std::uint64_t crashes() const { return crashes_; }
  // Starts with the index of a checkpoint, and starts that found one and did not use it.
  [[nodiscard]] std::uint64_t checkpoints_used() const { return checkpoints_used_; }
  [[nodiscard]] std::uint64_t checkpoints_refused() const { return checkpoints_refused_; }
  [[nodiscard]] std::uint64_t growths() const { return growths_; }

 private:
  // What a store has told of itself, which no crash may take back.
  struct Claims {
    Epoch epoch;
    Lsn committed;
    NodeId node;
    ClusterId cluster;
  };
  // One process on a disk, and what it should hold.
  struct Life {
    std::shared_ptr<CrashDisk> disk;
    std::uint64_t pool_bytes = 0;      // as the operator wants it
    std::filesystem::path checkpoint;  // a file of the system's: what of it survives is chosen at the crash
    int depth = 0;                     // crashes behind it
    Model model{};
    Claims claims{};
    std::unique_ptr<SimFabric> fabric{};
    std::unique_ptr<Store> store{};
    Phase phase = Phase::kOpening;
    std::size_t seen_undrained = 0;  // writes that an earlier drain left (a mutated one)
  };

  void OnPrimary() override {}
  void OnFollowing(const Member&) override {}

  void Open(Life& life);
  void Die(Life& life);
  void Restart(Life& life, History& history);
  void LeaveCheckpoint(const Life& from, const Life& to, std::mt19937_64& random) const;
  void Write(Life& life, History& history);
  void Commit(Life& life);
  bool OnDrain(Life& life);
  void PowerFails(const Life& life, CrashMode mode);
  void Violate(const std::string& what);
  [[nodiscard]] std::string Where() const;

  std::uint64_t seed_;
  RunOptions options_;
  SimWorld world_;
  std::map<Place, std::uint64_t> drains_;
  std::uint64_t crashes_ = 0;
  std::vector<std::string> where_;  // the crashes that led to the life that runs
  std::vector<std::shared_ptr<CrashDisk>> spare_;
  std::filesystem::path folder_;          // of the checkpoints
  std::vector<std::string> checkpoints_;  // all that were written, as bytes
  std::uint64_t checkpoints_used_ = 0, checkpoints_refused_ = 0, growths_ = 0;
  bool full_ = false;
  std::optional<std::string> violation_;
};

}  // namespace faha::crash
