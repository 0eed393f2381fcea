// The committer of one epoch: it ships sealed batches, counts which members have them, and says what is committed and
// what may be acknowledged.  It never waits; the node does.  Thread: main loop only.
// There are two thresholds, and only the first one is about safety:
//   committed     persistent on a majority of the members, in this epoch (Raft 5.4.2); it never moves back.
//   acknowledged  committed, and persistent on every backup in sync and on min-acks copies.
// A backup that does not answer within persist-timeout falls out of sync, and returns when it has caught up.  A backup
// that keeps failing returns later each time, so that one machine that stops again and again does not stop the cluster
// each time.
#pragma once

#include <list>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "cluster/membership.h"
#include "faha/clock.h"
#include "faha/fabric.h"
#include "faha/options.h"
#include "faha/types.h"
#include "log/log.h"
#include "replication/shipper.h"

namespace faha {

class Committer {
 public:
  Committer(Log* log, const Membership* membership, const Options* options, Member self)
      : log_(log), membership_(membership), options_(options), self_(std::move(self)) {}

  // A term begins.  Everything before `first` is committed when `first` is.
  void Begin(Epoch epoch, Lsn first);
  // The term ends: every link is closed.
  void End();
  [[nodiscard]] bool active() const { return epoch_ != Epoch{}; }

  // Adds the only shipper to that node; an older one is closed.
  Shipper* Admit(std::unique_ptr<Shipper> shipper);
  void Drop(LinkId link);
  [[nodiscard]] Shipper* Find(LinkId link);
  // The shipper to that node; null: there is none.
  [[nodiscard]] const Shipper* Of(const NodeId& node) const;
  // The shipper whose data link `token` opens; null if there is none or the token was used before.
  [[nodiscard]] Shipper* FindToken(std::uint64_t token);
  [[nodiscard]] const std::list<std::unique_ptr<Shipper>>& shippers() const { return shippers_; }

  // Sends what may be sent now, to one receiver or to all receivers for which a commit may wait.
  void Pump(Shipper& shipper, Epoch epoch) const;
  void Pump(Epoch epoch);
  // The same for receivers that catch up while no commit needs them: a slice for each, once in a turn.
  void PumpSpared(Epoch epoch, MonoTime now);
  // Clients were served in this turn.
  void Served(MonoTime now) { served_at_ = now; }
  // `leads`: this node holds its lease.
  void Heartbeat(MonoTime now, bool leads);
  // Counts the copies again.  True if the commit LSN moved.
  bool Advance(MonoTime now);
  [[nodiscard]] Lsn committed() const { return committed_; }
  // The first batch of the term.
  [[nodiscard]] Lsn first() const { return first_; }
  [[nodiscard]] bool Serving() const { return active() && committed_ >= first_; }
  [[nodiscard]] bool Acknowledged(Lsn lsn) const;
  // Are so many backups in sync that there are as many copies as faha.min-acks wants?
  [[nodiscard]] bool EnoughCopies() const;
  // Stops waiting for the backups in sync that do not have `lsn`; returns their Redis addresses.
  std::vector<Endpoint> GiveUpOn(Lsn lsn, MonoTime now);
  // Closes the links to receivers that have acknowledged nothing for `patience` although something is on its way to
  // them.  The segments that were kept for them can be given back then.  Returns the receivers' Redis addresses.
  std::vector<Endpoint> DropStalled(MonoTime now, MonoTime patience);
  // The last time at which a majority, this node included, was known to be in this epoch; 0 if never.
  [[nodiscard]] MonoTime HeardByMajority(MonoTime now) const;
  // The last batch that every member has, as far as this term knows.
  [[nodiscard]] Lsn Everywhere() const;
  // Does a receiver still need the segment that holds batches `first` to `last`, because a device reads what has been
  // placed, or because the receiver has been sent only a part of it?
  [[nodiscard]] bool Claimed(Lsn first, Lsn last) const;
  // The backups that have caught up but do not vote yet, or that have changed since they became members.  Empty if the
  // membership may not change now.
  [[nodiscard]] Members Joining() const;
  // The feature level that all of `members` offer; the lowest level if one of them is not connected.
  [[nodiscard]] FeatureLevel Offered(const Members& members) const;

 private:
  // Clients that were not served for this long (a tick) count as gone.
  static constexpr MonoTime kQuiet = std::chrono::milliseconds(20);
  [[nodiscard]] Lsn DurableAt(const Member& member) const;
  // The receiver catches up, and commits have all the copies that they need without it.
  [[nodiscard]] bool Spared(const Shipper& shipper) const;

  Log* log_;
  const Membership* membership_;
  const Options* options_;
  Member self_;
  Epoch epoch_;
  Lsn first_, committed_;
  MonoTime served_at_ = -kQuiet;
  std::list<std::unique_ptr<Shipper>> shippers_;
  std::map<NodeId, Lsn> left_;  // how far receivers that are gone had come
  // Backups that a commit has stopped waiting for in this term.
  struct Strikes {
    unsigned count = 0;
    MonoTime last{0};
    MonoTime until{0};  // no commit waits for the backup before
  };
  std::map<NodeId, Strikes> strikes_;
};

}  // namespace faha
