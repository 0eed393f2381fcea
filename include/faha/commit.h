// When written data is persistent, and when data that was read may be sent to a client.  Thread: main loop only.
// Invariants: (1) a change is acknowledged only after a Commit() that followed it has returned Ok.
//             (2) what Keyspace::Get() returned must not leave before Commit() has returned Ok: it may be a write that
//                 is still pending.
#pragma once

#include "faha/status.h"

namespace faha {

class Commits {
 public:
  virtual ~Commits() = default;

  // Ends the atomic unit: the writes between two calls recover together or not at all.
  virtual void EndUnit() = 0;
  // Is everything that was told since the last Commit() as it was written?  The caller asks this before it sends a
  // reply that somebody may act upon before Commit() fails, as a script does.
  // Errors: Corrupt - a damaged record was met: nothing of this turn will be written or told.
  [[nodiscard]] virtual Status CheckTold() const = 0;
  // Has anything been read or written since the last Commit() that must not leave yet?
  [[nodiscard]] virtual bool NeedsCommit() const = 0;
  // Ends the turn.  Returns Ok when everything that was written is persistent here and on the backups, and everything
  // that was read was read under a lease.  Waits up to persist-timeout for a backup.
  // Errors: NoQuorum, Fenced, IoError - the outcome is unknown and no reply of this turn may leave; Corrupt - a damaged
  // record was met: nothing of this turn was written, and no reply of it may leave.
  virtual Status Commit() = 0;
  // The same in the middle of a turn.  If it fails, so do all others in this turn, and the Commit() that ends it: what
  // the turn told before must not leave either.
  virtual Status CommitInside() = 0;
};

}  // namespace faha
