// When what was written is persistent, and what was read may be told.  Thread: main loop only.
// Invariants: (1) a change is acknowledged only after Commit() returned Ok following it.
//             (2) what Keyspace::Get() returned must not leave before Commit() returned Ok: it may be pending.
#pragma once

#include "faha/status.h"

namespace faha {

class Commits {
 public:
  virtual ~Commits() = default;

  // Ends the atomic unit: the writes between two calls recover together or not at all.
  virtual void EndUnit() = 0;
  // Is all that was told since the last Commit() as it was written?  Asked before a reply that somebody may act upon
  // before Commit() fails, as a script does.
  // Errors: Corrupt - a damaged record was met: nothing of this turn will be written or told.
  [[nodiscard]] virtual Status CheckTold() const = 0;
  // Is anything read or written since the last Commit() that must not leave yet?
  [[nodiscard]] virtual bool NeedsCommit() const = 0;
  // Returns Ok once all that was written is persistent here and on the backups, and all that was read
  // was read under a lease.  Waits up to persist-timeout for a backup.
  // Errors: NoQuorum, Fenced, IoError - the outcome is unknown and no reply of this turn may leave.
  virtual Status Commit() = 0;
};

}  // namespace faha
