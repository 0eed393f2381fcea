// What a seed stands for: how large the cluster is, what it runs on, and which faults it meets.  Runs differ in which
// kinds of faults they mix, for what comes once in every run is never found together with itself.
#pragma once

#include <cstdint>
#include <string>

#include "faha/clock.h"

namespace faha::sim {

struct Plan {
  std::uint64_t seed = 0;
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
  bool fills = false;  // the live data exceed the pool
  MonoTime length{0};  // of the time of faults
  MonoTime pause{0};   // between two faults, at most

  // Kinds of faults.
  bool power = false;       // hosts lose power, alone and together
  bool kills = false;       // processes are killed
  bool partitions = false;  // groups, single hosts, single directions
  bool breaks = false;      // links are reset, and slow
  bool stops = false;       // processes are stopped for a while
  bool slow_disks = false;
  bool blind = false;   // processors that do not look, where devices flush by themselves
  bool orders = false;  // somebody orders promotions, hand-overs and followings

  // One seed in so many has a small pool, in which segments are used again and again.
  static constexpr std::uint64_t kSmallPools = 3;
  static Plan Of(std::uint64_t seed);
  [[nodiscard]] std::string ToString() const;
};

}  // namespace faha::sim
