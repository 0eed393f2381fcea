// What a seed stands for: how large the cluster is, what it runs on, and which faults it meets.  Runs differ in which
// kinds of faults they mix, for what comes once in every run is never found together with itself.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "faha/clock.h"

namespace faha::sim {

// What a run is about.  Each kind has seeds of its own, for what one kind needs costs the others time.
enum class Kind {
  kMixed,      // small clusters, everything that goes wrong by itself
  kPressure,   // pools of a few segments, half full and more, under overwrites, while backups hang, leave and join
  kElections,  // candidates, voters and heirs that go away in the middle
  kTurns,      // units of several keys, writes that write nothing, scripts that outlast a lease
  kMedia,      // disks that refuse, and values that look like a log
  kForced,     // all but one are lost, that one is forced to lead, and the others return: see forced.h
};
std::string_view KindName(Kind kind);

struct Plan {
  std::uint64_t seed = 0;
  Kind kind = Kind::kMixed;
  int hosts = 3;
  std::uint32_t granule = 64;
  std::uint32_t segments = 8;
  std::uint64_t value_bytes = 0;  // at most
  int keys = 5;
  int clients = 3;
  bool beside_hosts = false;  // each client reaches only what the host reaches beside which it is
  bool readers = false;       // every second client only reads
  MonoTime think{0};          // of a client, between two operations, at most
  std::uint32_t batch_depth = 1024;
  bool rdma = false, flush = false;
  bool fills = false;            // the live data exceed the pool
  int late = 0;                  // so many of the hosts are started and join while the others serve
  int width = 1;                 // a key of a client is so many of the store, written as one unit and read in one turn
  bool elements = false;         // most keys of clients are elements of large collections
  bool prefilled = false;        // every key is written before the faults begin
  std::uint64_t reads = 7;       // of 16 operations
  std::uint64_t deletes = 1;     // of 16 requests
  bool overwrites = false;       // all values are of one size and no key is deleted: how much is live never changes
  bool noops = false;            // clients also write what writes nothing
  MonoTime long_turn{0};         // a client's script runs for so long in one turn at most; 0: there are none
  bool forges = false;           // values hold what looks like batches
  bool holds = false;            // hosts hold segments for somebody who reads some of them
  bool judges_progress = false;  // with a majority that is well, writes go on
  MonoTime length{0};            // of the time of faults
  MonoTime pause{0};             // between two faults, at most

  // Kinds of faults.
  bool power = false;       // hosts lose power, alone and together
  bool kills = false;       // processes are killed
  bool partitions = false;  // groups, single hosts, single directions
  bool breaks = false;      // links are reset, and slow
  bool stops = false;       // processes are stopped for a while
  bool slow_disks = false;
  bool blind = false;          // processors that do not look, where devices flush by themselves
  bool orders = false;         // somebody orders promotions, hand-overs and followings
  bool hangs = false;          // backups stop, for as long as anything, while a majority is well
  bool aways = false;          // backups are off for a while, while a majority is well
  bool cuts = false;           // the link between a backup and its primary breaks
  bool behind = false;         // the one that was away for long is to be primary, and its links break
  bool voters = false;         // two of five hang while a third campaigns
  bool heirs = false;          // the heir of a hand-over goes away when it is offered the role
  bool in_vain = false;        // all others hang while a primary is told to hand over, and then it dies
  bool cut_off = false;        // a primary that is cut off is told to be primary
  bool unreached = false;      // a backup is started again where nobody can dial it, and told to lead
  bool planned = false;        // all are well, and a backup is told to lead: by several, who do not know of each other
  bool slow_installs = false;  // the link over which the whole log comes is slow
  bool deposes = false;        // who is in the middle of a unit is deposed
  bool torn = false;           // who changes its members in the middle of a unit is killed
  bool disk_errors = false;    // writes fail
  bool rot = false;            // what one medium holds changes by itself
  MonoTime hang{0};            // of a backup, at most
  int rounds = 0;              // so many times all but one are lost
  MonoTime promotion_patience{std::chrono::milliseconds(1500)};

  // One seed in so many has a small pool, in which segments are used again and again.
  static constexpr std::uint64_t kSmallPools = 3;
  // Of those under pressure, one in so many has a cleaner that is never done: it takes ten times as long as others.
  static constexpr std::uint64_t kBusyCleaners = 30;
  static Plan Of(std::uint64_t seed, Kind kind = Kind::kMixed);
  [[nodiscard]] std::string ToString() const;
};

}  // namespace faha::sim
