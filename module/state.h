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
  RedisModuleCtx* context = nullptr;  // belongs to no client, lives as long as the server
  Options options;
  DbId databases = 1;  // Redis' setting
  Gate gate;

  // The server is loading its own files.
  bool loading = false;
  // Expired keys are deleted although no client accesses them (DEBUG SET-ACTIVE-EXPIRE).
  bool active_expire = true;
  // Number of keys that were deleted since the start because they had expired.
  std::uint64_t expired_keys = 0;
  // INFO's counts since the start or since CONFIG RESETSTAT: reads of keys that existed and of keys that did not; and
  // the value of expired_keys at that moment.
  std::uint64_t hits = 0, misses = 0, expired_before = 0;
  // The frozen time of the current unit; 0: not taken yet.
  TimeMs unit_time = 0;
  // Keys for which clients wait have changed.
  bool keys_ready = false;
  // The database of the last command, which is most likely the next command's database, too.
  DbId last_db = 0;
};

inline State the_state;
inline State& TheState() { return the_state; }
void Log(LogLevel level, std::string_view line);

// Ends the unit alone: see Store::EndUnit.
inline void CloseUnit() {
  TheState().store->EndUnit();
  TheState().unit_time = 0;
  TheState().gate.UnitEnds();
}

// A script runs.  If it is slow, Redis reads commands of other clients meanwhile, shows them to the filter, and refuses
// most of them.  Until the script ends its unit is open, and nothing may end or commit it.
inline bool AScriptRuns() { return (RedisModule_GetContextFlags(nullptr) & REDISMODULE_CTX_FLAGS_LUA) != 0; }

// Serves those who wait for the keys that have changed (blocking.h), each in a unit of its own, where that is possible
// now.
void ServeWaiting();

// A new unit begins.  Before that, clients that wait for what the last one pushed are served.
inline void EndUnit() {
  CloseUnit();
  if (TheState().keys_ready) ServeWaiting();
}

// The time that every command of a unit sees.
inline TimeMs UnitTime() {
  TimeMs& time = TheState().unit_time;
  if (time == 0) time = RedisModule_Milliseconds();
  return time;
}

}  // namespace faha::module
