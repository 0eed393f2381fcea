#include "module/gate.h"

#include <algorithm>

#include "module/barrier.h"
#include "module/blocking.h"
#include "module/call.h"
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

// The replies are queued already, so the clients are dropped: such a client reads end-of-file instead of its reply,
// which means that the outcome is unknown.
void DropClients(RedisModuleCtx* ctx, const Status& reason) {
  Log(LogLevel::kWarning, reason.ToString() + "; dropping the clients, whose replies must not leave");
  // The outcome of an order does not depend on this turn's commit, so a client that waits for one still hears it; and a
  // client that waits for an element has been told nothing.
  CloseClients(ctx, [](const ListedClient& client, std::uint64_t id) {
    return !client.IsReplication() && !WaitsSinceBefore(id) && !IsBlockedSinceBefore(id);
  });
}

// Does the server run the pipelines of clients that were blocked only after BEFORE_SLEEP?
bool runs_behind_sleep = true;

void BeforeSleep(RedisModuleCtx* ctx) {
  State& state = TheState();
  if (state.keys_ready) EndUnit();
  const Status status = state.gate.EndTurn();
  state.unit_time = 0;
  if (!status.ok()) DropClients(ctx, status);
  DropStrangers(ctx);
  if (status.ok()) SnapshotTurnEnds(ctx);
  WaitersTurnEnds();
  BlockedTurnEnds(status.ok());
  AnswerWaits();
  state.gate.SetWindow(runs_behind_sleep);
}

void OnEventLoop(RedisModuleCtx* ctx, RedisModuleEvent, uint64_t subevent, void*) {
  if (subevent == REDISMODULE_SUBEVENT_EVENTLOOP_BEFORE_SLEEP) {
    TickIfDue(ctx);
    BeforeSleep(ctx);
  } else {
    TheState().gate.SetWindow(false);
  }
}

void OnShutdown(RedisModuleCtx*, RedisModuleEvent, uint64_t, void*) {
  // SHUTDOWN NOSAVE ends a slow script as well, and half of it must not be committed.  If Redis cannot end, the turn
  // goes on.
  Status status = AScriptRuns() ? Status::Ok() : TheState().store->CommitInside();
  SnapshotAtShutdown(ReceivedSignal());
  if (status.ok()) status = TheState().store->Checkpoint();
  if (!status.ok()) Log(LogLevel::kWarning, status.ToString());
}

}  // namespace

void BeginUnit(RedisModuleCtx* ctx) {
  const int flags = RedisModule_GetContextFlags(ctx);
  if ((flags & (REDISMODULE_CTX_FLAGS_MULTI | REDISMODULE_CTX_FLAGS_LUA)) == 0) EndUnit();
}

bool StartCommitting(RedisModuleCtx* ctx) {
  runs_behind_sleep = ServerIsBefore(7, 2);
  return RedisModule_SubscribeToServerEvent(ctx, RedisModuleEvent_EventLoop, OnEventLoop) == REDISMODULE_OK &&
         RedisModule_SubscribeToServerEvent(ctx, RedisModuleEvent_Shutdown, OnShutdown) == REDISMODULE_OK;
}

Status Gate::EndTurn() { return TheState().store->Commit(); }

int Gate::Refuse(const Call& call, const Status& status, bool writes) {
  // READONLY is the word that makes client libraries look for another primary.
  const bool elsewhere = status.code() == Code::kNotPrimary || (writes && status.code() == Code::kNoQuorum);
  return Reply::Error((elsewhere ? "READONLY " : "") + status.ToString()).SendTo(call.ctx());
}

bool Gate::BeginCommand(RedisModuleCtx* ctx) {
  BeginUnit(ctx);
  const bool barrier = barrier_ || mutant == Mutant::kNoBarrier;
  return in_window_ || !barrier || (!unordered_.empty() && CallerIsUnordered(ctx));
}

Status Gate::CommitInside() {
  // In the window no other client's writes are pending: the command is a turn of its own.  Outside it, the replies of
  // other clients are queued already, and must be dropped together with this one.
  Store& store = *TheState().store;
  return in_window_ ? store.Commit() : store.CommitInside();
}

bool Gate::CallerIsUnordered(RedisModuleCtx* ctx) {
  if (mutant == Mutant::kNoOwnCommit) return false;
  const std::uint64_t id = RedisModule_GetClientId(ctx);
  if (std::binary_search(unordered_.begin(), unordered_.end(), id)) return true;
  if (RedisModule_GetClientInfoById(nullptr, id) == REDISMODULE_OK) return false;  // a connection runs its own command
  // A script, or a command of another module: Redis does not tell for which client it runs.
  if (!unit_is_unordered_) unit_is_unordered_ = OneOfThemRuns(ctx, unordered_);
  return *unit_is_unordered_;
}

}  // namespace faha::module
