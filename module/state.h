// What the parts of the module share: one store, and the rules of when a reply may leave.  Thread: main loop only.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "faha/store.h"
#include "module/redis_api.h"

namespace faha::module {

// Switches off one of the fixes that keep a reply from leaving early; only the test build knows others than kNone.
enum class Mutant { kNone, kNoWindowCommit, kNoPrecommit, kNoBarrier, kNoOwnCommit };

struct State {
  std::unique_ptr<Store> store;
  RedisModuleCtx* context = nullptr;  // of no client, for the life of the server
  Options options;
  DbId databases = 1;  // Redis' setting
  Mutant mutant = Mutant::kNone;

  // Between BEFORE_SLEEP and AFTER_SLEEP: clients that were blocked run their pipelines, and no hook follows before
  // their replies leave.
  bool in_window = false;
  // Redis' own write barrier holds: a client whose reply waits for a writable socket is written after BEFORE_SLEEP.
  bool barrier = false;
  // The ids, sorted, of the clients that are excepted from it (barrier.h), and whether the current unit runs for one.
  std::vector<std::uint64_t> unordered;
  std::optional<bool> unit_is_unordered;  // nothing: not asked yet
  // A transaction may hold a script, and scripts let the replies of others leave while they run.
  bool scripts_seen = false;
  // The server loads its own files.
  bool loading = false;
  // A commit failed inside a command: no reply of this turn may leave.
  Status turn_failed;
  // Keys whose time has come go by themselves (DEBUG SET-ACTIVE-EXPIRE).
  bool active_expire = true;
  // Deleted because their time had come, since the start.
  std::uint64_t expired_keys = 0;
  // What INFO tells since the start or CONFIG RESETSTAT: reads of keys that were there, and that were not; and the
  // expired ones before.
  std::uint64_t hits = 0, misses = 0, expired_before = 0;
  // The frozen time of the current unit; 0: not taken yet.
  TimeMs unit_time = 0;
  // Of the last command: most likely the next one's, too.
  DbId last_db = 0;
};

inline State the_state;
inline State& TheState() { return the_state; }
void Log(LogLevel level, std::string_view line);

// A new unit begins: see Store::EndUnit.
inline void EndUnit() {
  TheState().store->EndUnit();
  TheState().unit_time = 0;
  TheState().unit_is_unordered.reset();
}

// The time that every command of a unit sees.
inline TimeMs UnitTime() {
  TimeMs& time = TheState().unit_time;
  if (time == 0) time = RedisModule_Milliseconds();
  return time;
}

}  // namespace faha::module
