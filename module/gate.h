// The one way of a reply that tells of data: what keeps it from leaving before what it tells is persistent.  Thread:
// main loop only.
//
// All that a turn of the event loop wrote is committed together in BEFORE_SLEEP; Redis sends the replies afterwards.
// In three cases a reply would leave earlier, and each has its answer:
//   a client that was blocked runs its pipeline after BEFORE_SLEEP    writes commit inside their command (in_window_);
//                                                                     from 7.2 on, and in Valkey, it runs before
//   a script runs long, and Redis serves others meanwhile             the filter commits before the script (Precommit)
//   a client's reply waits for a writable socket                      Redis' write barrier; until it holds, and for a
//                                                                     client that it excepts, writes commit inside
//                                                                     their command (barrier.h)
// A transaction's own reply is none before its last element: a slow script within it may let the first ones out.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "faha/status.h"
#include "module/redis_api.h"

namespace faha::module {

class Call;
class Reply;

// Switches off one of the fixes that keep a reply from leaving early; only the test build knows others than kNone.
enum class Mutant { kNone, kNoWindowCommit, kNoPrecommit, kNoBarrier, kNoOwnCommit };

class Gate {
 public:
  Mutant mutant = Mutant::kNone;

  // A command of data: `kRun` is its handler, which answers nobody by itself.  Returns what a function of
  // RM_CreateCommand does, once the reply is queued.  Defined in pass.h: there is one for each command, which costs
  // less than a call of the handler by its address.
  template <bool kWrites, Reply (*kRun)(Call&)>
  int Pass(Call& call);

  // Commits now, inside a command.  Errors: the command must answer with them; the turn's other replies will not leave.
  Status CommitInside();
  // Commits what is pending because replies may leave before BEFORE_SLEEP.  Errors: as CommitInside.
  Status Precommit() { return mutant == Mutant::kNoPrecommit ? Status::Ok() : CommitInside(); }
  // A transaction holds, or may hold, a script, which lets the replies of others leave while it runs.
  void ScriptIsSeen() { scripts_seen_ = true; }
  Status PrecommitTransaction() { return scripts_seen_ ? Precommit() : Status::Ok(); }

  // Commits what the turn has written.  Errors: no reply of the turn may leave.
  Status EndTurn();
  void UnitEnds() { unit_is_unordered_.reset(); }
  // Between BEFORE_SLEEP and AFTER_SLEEP: no hook follows before the replies of what runs there leave.
  void SetWindow(bool open) { in_window_ = open && mutant != Mutant::kNoWindowCommit; }

  // Redis' write barrier holds for all clients but these, whose ids are sorted.
  void HoldBarrier(std::vector<std::uint64_t> unordered) {
    barrier_ = true;
    unordered_ = std::move(unordered);
  }
  void LoseBarrier() {
    barrier_ = false;
    unordered_.clear();
  }
  [[nodiscard]] bool barrier() const { return barrier_; }
  [[nodiscard]] const std::vector<std::uint64_t>& unordered() const { return unordered_; }

 private:
  // True if the command that begins must commit by itself.
  bool BeginCommand(RedisModuleCtx* ctx);
  static int Refuse(const Call& call, const Status& status, bool writes);
  bool CallerIsUnordered(RedisModuleCtx* ctx);

  bool in_window_ = false;
  bool barrier_ = false;
  bool scripts_seen_ = false;
  std::vector<std::uint64_t> unordered_;
  std::optional<bool> unit_is_unordered_;  // is the current unit run for one of them?  Nothing: not asked yet
  Status turn_failed_;                     // a commit failed inside a command
};

// Subscribes to the event loop.  False if Redis refuses.
bool StartCommitting(RedisModuleCtx* ctx);

}  // namespace faha::module
