// What one turn of the event loop has written and read.  None of it may be told before Commit().  This is the node's
// half of the rule that module/gate.h enforces for replies.  Thread: main loop only.
#pragma once

#include <utility>

#include "faha/status.h"

namespace faha {

class Turn {
 public:
  // Something was appended to the log.
  void Wrote() { wrote_ = true; }
  // Something was told as this primary knows it.  Another primary may have changed it, unless a lease holds.
  void Read() { read_ = true; }
  // Something was told as a backup knows it.
  void ReadAtBackup() { read_at_backup_ = true; }
  // The term has ended.  What the turn has written and read before now must not be told, even if this node leads again
  // before the end of the turn.
  void Depose() { deposed_ = deposed_ || NeedsCommit(); }

  // A commit in the middle of the turn has failed.  So what was told before it must not leave, and the end of the turn
  // must know.
  void Fail(const Status& status) { failed_ = status; }

  [[nodiscard]] bool wrote() const { return wrote_; }
  [[nodiscard]] bool deposed() const { return deposed_; }
  [[nodiscard]] const Status& failed() const { return failed_; }
  [[nodiscard]] bool NeedsCommit() const { return wrote_ || read_ || !failed_.ok(); }

  bool TakeReadAtBackup() { return std::exchange(read_at_backup_, false); }
  // The turn ends.  Returns what it has done.
  Turn Take() { return std::exchange(*this, Turn{}); }

 private:
  bool wrote_ = false, read_ = false, read_at_backup_ = false, deposed_ = false;
  Status failed_;
};

}  // namespace faha
