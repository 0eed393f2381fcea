// What one turn of the event loop has written and read, none of which may be told before Commit(): the node's half of
// the rule that module/gate.h keeps for replies.  Thread: main loop only.
#pragma once

#include <utility>

namespace faha {

class Turn {
 public:
  // Something was appended to the log.
  void Wrote() { wrote_ = true; }
  // Something was told as the primary knows it, which another one may have changed unless a lease holds.
  void Read() { read_ = true; }
  // Something was told as a backup knows it.
  void ReadAtBackup() { read_at_backup_ = true; }
  // The term has ended.  What the turn has written and read before that is not to be told, even if this node leads
  // again before the turn's end.
  void Depose() { deposed_ = deposed_ || NeedsCommit(); }

  [[nodiscard]] bool wrote() const { return wrote_; }
  [[nodiscard]] bool deposed() const { return deposed_; }
  [[nodiscard]] bool NeedsCommit() const { return wrote_ || read_; }

  bool TakeReadAtBackup() { return std::exchange(read_at_backup_, false); }
  // The turn ends; what was is returned.
  Turn Take() { return std::exchange(*this, Turn{}); }

 private:
  bool wrote_ = false, read_ = false, read_at_backup_ = false, deposed_ = false;
};

}  // namespace faha
