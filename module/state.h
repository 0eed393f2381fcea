// What the parts of the module share: one store, and one gate for replies.  Thread: main loop only.
#pragma once

#include <cstdint>
#include <memory>

#include "faha/store.h"
#include "module/gate.h"
#include "module/redis_api.h"

namespace faha::module {

struct State {
  std::unique_ptr<Store> store;
  RedisModuleCtx* context = nullptr;  // of no client, for the life of the server
  Options options;
  DbId databases = 1;  // Redis' setting
  Gate gate;

  // The server loads its own files.
  bool loading = false;
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
  TheState().gate.UnitEnds();
}

// The time that every command of a unit sees.
inline TimeMs UnitTime() {
  TimeMs& time = TheState().unit_time;
  if (time == 0) time = RedisModule_Milliseconds();
  return time;
}

}  // namespace faha::module
