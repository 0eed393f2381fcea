// Who votes.  The members are in the log; the newest configuration in the log counts, committed or not, and only one
// member changes at a time (Raft's single-server change, Ongaro's thesis, 4.1).  Pure.  Thread: main loop only.
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

// The forks after one more.  Of too many, the two oldest become one that counts as both: nobody is taken for a part of
// the history who is not.
Forks WithFork(Forks forks, const Fork& fork);
// Two nodes that know these forks of their histories agree on what was committed within this; what else only one of
// them holds belongs to a history that the other one has left.  The largest of all: neither has left the other's.
// This is PostgreSQL's rule for timelines: a server may follow another one only if it has not gone on behind the place
// where the other one's timeline has left its own.  The epoch counts as well as the LSN: a node that is forced may hold
// batches that nobody committed, where the others commit batches of their own in a later epoch.
LogEnd CommonHistory(const Forks& a, const Forks& b);
// What is within both.
LogEnd Before(const LogEnd& a, const LogEnd& b);
// Was the batch at this place written before the two histories parted?
bool IsWithin(const LogEnd& common, const LogEnd& batch);
// Does `a` know all that `b` knows?
bool Includes(const Forks& a, const Forks& b);

class Membership {
 public:
  // The batch `lsn` holds this configuration record.
  void Add(Lsn lsn, Configuration configuration);
  // The log was cut after `keep`.
  void CutAfter(Lsn keep);
  void Reset() { history_.clear(); }
  // The log was given up and will be received again: the members that were known before stay.
  void Rebase();
  // Earlier configurations will not be needed again.
  void Committed(Lsn lsn);

  [[nodiscard]] const Members& members() const { return newest_configuration().members; }
  [[nodiscard]] FeatureLevel level() const { return newest_configuration().level; }
  [[nodiscard]] const Forks& forks() const { return newest_configuration().forks; }
  // Who was a member before a node was forced to lead without it.  It may lead another part of the cluster.
  [[nodiscard]] const Members& left_out() const { return newest_configuration().left_out; }
  // The batch of the newest configuration; 0 if none is in the log.
  [[nodiscard]] Lsn newest() const { return history_.empty() ? Lsn{} : history_.back().first; }
  // Is a change still uncommitted?  Then no other change may start.
  [[nodiscard]] bool ChangePending(Lsn committed) const {
    return !history_.empty() && history_.back().first > committed;
  }
  [[nodiscard]] const Member* Find(const NodeId& id) const;
  // The members after the next step towards `member` being a member, with the data that it announces.  If another node
  // has the same address, whose pool was lost, the step removes that node; otherwise it adds `member`.  Both in one
  // step could lead to two majorities that have no node in common.
  [[nodiscard]] Members Toward(const Member& member) const;
  // The configuration with these members.  Whoever is a member, or whose address a member has, is not left out.
  [[nodiscard]] Configuration With(Members members, FeatureLevel level) const;
  // The configuration in which `self` leads alone: the history forks at `fork`, and the other members are left out.
  [[nodiscard]] Configuration Alone(const Member& self, FeatureLevel level, const Fork& fork) const;

 private:
  [[nodiscard]] const Configuration& newest_configuration() const;

  std::vector<std::pair<Lsn, Configuration>> history_;
};

}  // namespace faha
