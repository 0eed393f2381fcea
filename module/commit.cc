#include "module/commit.h"

#include "module/barrier.h"
#include "module/client_list.h"
#include "module/replicas.h"
#include "module/replication_info.h"
#include "module/shutdown.h"
#include "module/snapshot.h"
#include "module/state.h"
#include "module/ticks.h"
#include "module/waiters.h"

namespace faha::module {
namespace {

// The replies are queued already; a client that is dropped reads end-of-file instead: outcome unknown.
void DropClients(RedisModuleCtx* ctx, const Status& reason) {
  Log(LogLevel::kWarning, reason.ToString() + "; dropping the clients, whose replies must not leave");
  // The outcome of an order does not depend on this turn's commit: whoever waits for one hears it.
  CloseClients(ctx, [](const ListedClient& client, std::uint64_t id) {
    return !client.IsReplication() && !WaitsSinceBefore(id);
  });
}

// Does the server run the pipelines of clients that were blocked only behind BEFORE_SLEEP?
bool runs_behind_sleep = true;

void BeforeSleep(RedisModuleCtx* ctx) {
  State& state = TheState();
  Status status = state.store->Commit();
  state.unit_time = 0;
  if (!state.turn_failed.ok()) status = std::exchange(state.turn_failed, Status::Ok());
  if (!status.ok()) DropClients(ctx, status);
  DropStrangers(ctx);
  if (status.ok()) SnapshotTurnEnds(ctx);
  WaitersTurnEnds();
  AnswerWaits();
  state.in_window = runs_behind_sleep && state.mutant != Mutant::kNoWindowCommit;
}

void OnEventLoop(RedisModuleCtx* ctx, RedisModuleEvent, uint64_t subevent, void*) {
  if (subevent == REDISMODULE_SUBEVENT_EVENTLOOP_BEFORE_SLEEP) {
    TickIfDue(ctx);
    BeforeSleep(ctx);
  } else {
    TheState().in_window = false;
  }
}

void OnShutdown(RedisModuleCtx*, RedisModuleEvent, uint64_t, void*) {
  Status status = TheState().store->Commit();
  SnapshotAtShutdown(ReceivedSignal());
  if (status.ok()) status = TheState().store->Checkpoint();
  if (!status.ok()) Log(LogLevel::kWarning, status.ToString());
}

}  // namespace

bool StartCommitting(RedisModuleCtx* ctx) {
  runs_behind_sleep = ServerIsBefore(7, 2);
  return RedisModule_SubscribeToServerEvent(ctx, RedisModuleEvent_EventLoop, OnEventLoop) == REDISMODULE_OK &&
         RedisModule_SubscribeToServerEvent(ctx, RedisModuleEvent_Shutdown, OnShutdown) == REDISMODULE_OK;
}

bool BeginCommand(RedisModuleCtx* ctx) {
  const State& state = TheState();
  const int flags = RedisModule_GetContextFlags(ctx);
  if ((flags & (REDISMODULE_CTX_FLAGS_MULTI | REDISMODULE_CTX_FLAGS_LUA)) == 0) EndUnit();
  const bool barrier = state.barrier || state.mutant == Mutant::kNoBarrier;
  return state.in_window || !barrier || (!state.unordered.empty() && CallerIsUnordered(ctx));
}

Status CommitInside() {
  State& state = TheState();
  Status status = state.store->Commit();
  // In the window nothing of others is pending; elsewhere their replies are queued and must go with this one.
  if (!status.ok() && !state.in_window) state.turn_failed = status;
  return status;
}

Status Precommit() { return TheState().mutant == Mutant::kNoPrecommit ? Status::Ok() : CommitInside(); }

}  // namespace faha::module
