#include "tests/sim/plan.h"

#include <fmt/format.h>

#include <random>

namespace faha::sim {

Plan Plan::Of(std::uint64_t seed) {
  std::mt19937_64 random(seed * 0x9e3779b97f4a7c15);
  const auto one_in = [&](std::uint64_t n) { return random() % n == 0; };
  const auto between = [&](std::uint64_t least, std::uint64_t most) { return least + random() % (most - least + 1); };
  const auto ms = [](std::uint64_t n) { return MonoTime{static_cast<MonoTime::rep>(n * 1000)}; };
  Plan plan;
  plan.seed = seed;
  plan.hosts = one_in(4) ? 5 : 3;
  plan.rdma = one_in(2);
  plan.flush = plan.rdma && one_in(2);
  plan.batch_depth = one_in(4) ? 2 : 1024;
  plan.keys = static_cast<int>(between(1, 8));
  plan.clients = static_cast<int>(between(2, 4));
  plan.think = ms(between(5, 60));
  plan.beside_hosts = one_in(2);
  plan.readers = one_in(2);
  plan.value_bytes = 64;
  plan.length = ms(between(1500, 4500));
  plan.pause = ms(between(40, 600));
  plan.power = one_in(2);
  plan.kills = one_in(3);
  plan.partitions = one_in(2);
  plan.breaks = one_in(3);
  plan.stops = one_in(3);
  plan.slow_disks = one_in(3);
  plan.blind = plan.flush && one_in(2);
  plan.orders = one_in(2);
  // Pools so small that they are written several times over; what goes wrong then is seen where a primary
  // that cleans is cut off.
  if (seed % kSmallPools == 0) {
    plan.segments = static_cast<std::uint32_t>(between(6, 8));
    plan.value_bytes = between(50'000, 130'000);
    plan.think = ms(between(5, 50));
    plan.length = ms(between(1000, 3000));
    plan.granule = one_in(2) ? 4096 : 64;
    plan.partitions = plan.partitions || !one_in(3);
    plan.fills = one_in(2);
    if (plan.fills) plan.keys = static_cast<int>(between(30, 50));
  }
  return plan;
}

std::string Plan::ToString() const {
  std::string faults;
  const auto name = [&](bool is, const char* text) {
    if (is) faults += std::string(" ") + text;
  };
  name(power, "power");
  name(kills, "kills");
  name(partitions, "partitions");
  name(breaks, "breaks");
  name(stops, "stops");
  name(slow_disks, "slow-disks");
  name(blind, "blind");
  name(orders, "orders");
  return fmt::format("{} hosts, {}, {} keys of {} bytes{}, {} segments, granule {}:{}", hosts,
                     flush  ? "rdma+flush"
                     : rdma ? "rdma"
                            : "tcp",
                     keys, value_bytes, fills ? " (too many)" : "", segments, granule, faults);
}

}  // namespace faha::sim
