// Who votes.  The members are in the log; the newest configuration in the log counts, committed or not, and one member
// changes at a time (Raft's single-server change, Ongaro's thesis, 4.1).  Pure.  Thread: main loop only.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "faha/types.h"

namespace faha {

std::string Encode(const Configuration& configuration);
// Nothing if `text` is not what Encode writes.
std::optional<Configuration> DecodeConfiguration(std::string_view text);

class Membership {
 public:
  // A configuration record stands in the batch `lsn`.
  void Add(Lsn lsn, Configuration configuration);
  // The log was cut after `keep`.
  void CutAfter(Lsn keep);
  void Reset() { history_.clear(); }
  // The log is gone and comes again: the members are known from before it.
  void Rebase();
  // Earlier configurations will not be needed again.
  void Committed(Lsn lsn);

  [[nodiscard]] const Members& members() const { return newest_configuration().members; }
  [[nodiscard]] FeatureLevel level() const { return newest_configuration().level; }
  // The batch of the newest configuration; 0 if none is in the log.
  [[nodiscard]] Lsn newest() const { return history_.empty() ? Lsn{} : history_.back().first; }
  // Is a change still uncommitted?  Then no other may start.
  [[nodiscard]] bool ChangePending(Lsn committed) const {
    return !history_.empty() && history_.back().first > committed;
  }
  [[nodiscard]] const Member* Find(const NodeId& id) const;
  // The next step towards `member` being one, as it says it is: without the node that had its address before, whose
  // pool was lost; or, where there is none, with it.  Both in one step could leave two majorities that do not meet.
  [[nodiscard]] Members Toward(const Member& member) const;

 private:
  [[nodiscard]] const Configuration& newest_configuration() const;

  std::vector<std::pair<Lsn, Configuration>> history_;
};

}  // namespace faha
