// The gate, through which every reply that tells about data must pass.  It keeps a reply from leaving before the data
// that it tells about are persistent.  Thread: main loop only.
//
// All writes of one turn of the event loop are committed together in BEFORE_SLEEP; Redis sends the replies afterwards.
// In three cases a reply would leave earlier.  Each case has its remedy:
//   a client that was blocked runs its pipeline after BEFORE_SLEEP    writes commit inside their command (in_window_);
//                                                                     from 7.2 on, and in Valkey, such a pipeline
//                                                                     runs before BEFORE_SLEEP
//   a script runs long, and Redis serves others meanwhile             the filter commits before the script (Precommit)
//   a client's reply waits for a writable socket                      Redis' write barrier; until it holds, and for a
//                                                                     client that it excepts, writes commit inside
//                                                                     their command (barrier.h)
// A transaction's reply counts as a reply only once its last element is there: a slow script within the transaction may
// let the first elements leave earlier.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "faha/status.h"
#include "module/redis_api.h"

namespace faha::module {

class Call;
class Reply;

// Switches off one of the measures that keep a reply from leaving early.  Only the test build uses values other than
// kNone.
enum class Mutant { kNone, kNoWindowCommit, kNoPrecommit, kNoBarrier, kNoOwnCommit };

class Gate {
 public:
  Mutant mutant = Mutant::kNone;

  // Runs a data command.  `kRun` is its handler, which must not reply by itself.  Queues the reply, and returns what a
  // function given to RM_CreateCommand must return.  Defined in pass.h as a template: one instance for each command
  // costs less than a call of the handler through a pointer.
  template <bool kWrites, Reply (*kRun)(Call&)>
  int Pass(Call& call);

  // Commits now, inside a command.  Errors: the command must answer with the error; the turn's other replies will not
  // leave.
  Status CommitInside();
  // Commits the pending writes, because replies may leave before BEFORE_SLEEP.  Errors: as CommitInside.
  Status Precommit() { return mutant == Mutant::kNoPrecommit ? Status::Ok() : CommitInside(); }
  // A transaction contains, or may contain, a script; while a script runs, replies to other clients may leave.
  void ScriptIsSeen() { scripts_seen_ = true; }
  Status PrecommitTransaction() { return scripts_seen_ ? Precommit() : Status::Ok(); }

  // Commits what the turn has written.  Errors: then no reply of the turn may leave.
  static Status EndTurn();
  void UnitEnds() { unit_is_unordered_.reset(); }
  // The window is the time between BEFORE_SLEEP and AFTER_SLEEP: no hook runs between a command in it and the sending
  // of its reply.
  void SetWindow(bool open) { in_window_ = open && mutant != Mutant::kNoWindowCommit; }
  [[nodiscard]] bool in_window() const { return in_window_; }

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
};

// A command begins: ends the unit before it, but not within a transaction or a script, which are one unit.
void BeginUnit(RedisModuleCtx* ctx);

// Subscribes to the event loop.  False if Redis refuses.
bool StartCommitting(RedisModuleCtx* ctx);

}  // namespace faha::module
