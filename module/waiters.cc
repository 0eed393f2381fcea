#include "module/waiters.h"

#include <algorithm>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "module/state.h"

namespace faha::module {
namespace {

struct Waiter {
  std::uint64_t client = 0;
  RedisModuleBlockedClient* blocked = nullptr;  // null: not blocked yet
  std::string command;
  std::optional<Status> outcome;
  bool told = false;          // the client does not wait any more, though its order is still under way
  bool since_before = false;  // the client has waited since before this turn
};

// The clients whose order is under way.
std::list<std::shared_ptr<Waiter>> waiters;
// The clients that were told their outcome in this turn and had waited since before: no other reply is meant for them.
std::vector<std::uint64_t> answered;

Status Unknown(const Waiter& waiter) {
  return {Code::kNoPromise,
          waiter.command +
              " was interrupted because this server became a replica meanwhile: whether it is carried "
              "out is not known; see FAHA.STATUS"};
}

Reply Answer(const Waiter& waiter) {
  const Status status = waiter.outcome.value_or(Unknown(waiter));
  return status.ok() ? Reply::Ok() : Reply::Error(status);
}

// Called while CLIENT UNBLOCK unblocks the client; tells the client its outcome.
int OnUnblocked(RedisModuleCtx* ctx, RedisModuleString**, int) {
  const std::uint64_t client = RedisModule_GetClientId(ctx);
  const auto found = std::find_if(waiters.begin(), waiters.end(),
                                  [&](const auto& each) { return each->client == client && !each->told; });
  if (found == waiters.end()) return REDISMODULE_OK;
  (*found)->told = true;
  return Answer(**found).SendTo(ctx);
}

// Answers a client that is unblocked in the usual way, for a server on which CLIENT is renamed.
int OnReply(RedisModuleCtx* ctx, RedisModuleString**, int) {
  const auto* waiter = static_cast<std::shared_ptr<Waiter>*>(RedisModule_GetBlockedClientPrivateData(ctx))->get();
  return Answer(*waiter).SendTo(ctx);
}

void FreeWaiter(RedisModuleCtx*, void* waiter) { delete static_cast<std::shared_ptr<Waiter>*>(waiter); }

void Tell(RedisModuleCtx* ctx, const Waiter& waiter) {
  if (!waiter.told) Run(ctx, "CLIENT", "UNBLOCK", std::to_string(waiter.client).c_str());
}

void Finish(const std::shared_ptr<Waiter>& waiter, const Status& outcome) {
  waiter->outcome = outcome;
  if (waiter->blocked == nullptr) return;  // its command still runs, and will see the outcome
  Tell(TheState().context, *waiter);
  if (waiter->since_before) answered.push_back(waiter->client);
  waiters.remove(waiter);
  RedisModule_UnblockClient(waiter->blocked, new std::shared_ptr<Waiter>(waiter));
}

}  // namespace

bool MayBlock(const Call& call) {
  return (RedisModule_GetContextFlags(call.ctx()) &
          (REDISMODULE_CTX_FLAGS_MULTI | REDISMODULE_CTX_FLAGS_DENY_BLOCKING)) == 0;
}

Reply AwaitOutcome(Call& call, const std::function<void(const Outcome&)>& start) {
  const auto waiter = std::make_shared<Waiter>();
  waiter->client = RedisModule_GetClientId(call.ctx());
  waiter->command = "FAHA." + std::string(call.name());
  std::transform(waiter->command.begin(), waiter->command.end(), waiter->command.begin(),
                 [](char c) { return static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c); });
  start([waiter](const Status& outcome) { Finish(waiter, outcome); });
  if (waiter->outcome) return Answer(*waiter);
  waiter->blocked = RedisModule_BlockClient(call.ctx(), OnReply, OnUnblocked, FreeWaiter, 0);
  waiters.push_back(waiter);
  return Reply::Sent();
}

bool AnyoneWaits() {
  return std::any_of(waiters.begin(), waiters.end(), [](const auto& each) { return !each->told; });
}

bool WaitsSinceBefore(std::uint64_t client) {
  return std::find(answered.begin(), answered.end(), client) != answered.end() ||
         std::any_of(waiters.begin(), waiters.end(),
                     [&](const auto& each) { return each->client == client && !each->told && each->since_before; });
}

void WaitersTurnEnds() {
  answered.clear();
  for (const auto& each : waiters) each->since_before = true;
}

void InterruptWaiters(RedisModuleCtx* ctx) {
  const auto all = waiters;  // a copy, because telling a client calls back
  for (const auto& each : all) Tell(ctx, *each);
}

}  // namespace faha::module
