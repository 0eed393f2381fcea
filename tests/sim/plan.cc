#include "tests/sim/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <random>

namespace faha::sim {

std::string_view KindName(Kind kind) {
  switch (kind) {
    case Kind::kMixed: return "Seeds";
    case Kind::kPressure: return "Pressure";
    case Kind::kElections: return "Elections";
    case Kind::kTurns: return "Turns";
    case Kind::kMedia: return "Media";
    case Kind::kForced: return "Forced";
  }
  return "?";
}

namespace {

constexpr std::uint64_t kSegmentBytes = 1ULL << 20;
// Besides what is live: the reserve, the two heads, what was freed and waits for its commit, and a victim.
constexpr std::uint64_t kWorkingSegments = 7;
// Without what waits, and the victim: then writers may meet a full pool for a moment.
constexpr std::uint64_t kFewestSegments = 5;

class Draw {
 public:
  explicit Draw(std::uint64_t seed) : random_(seed) {}
  bool OneIn(std::uint64_t n) { return random_() % n == 0; }
  std::uint64_t Between(std::uint64_t least, std::uint64_t most) { return least + random_() % (most - least + 1); }
  MonoTime Ms(std::uint64_t least, std::uint64_t most) { return std::chrono::milliseconds(Between(least, most)); }

 private:
  std::mt19937_64 random_;
};

void Fabric(Draw& draw, Plan& plan) {
  plan.rdma = draw.OneIn(2);
  plan.flush = plan.rdma && draw.OneIn(2);
  plan.batch_depth = draw.OneIn(4) ? 2 : 1024;
}

void Mixed(Draw& draw, Plan& plan) {
  plan.hosts = draw.OneIn(4) ? 5 : 3;
  Fabric(draw, plan);
  plan.keys = static_cast<int>(draw.Between(1, 8));
  plan.clients = static_cast<int>(draw.Between(2, 4));
  plan.think = draw.Ms(5, 60);
  plan.beside_hosts = draw.OneIn(2);
  plan.readers = draw.OneIn(2);
  plan.value_bytes = 64;
  plan.length = draw.Ms(1500, 4500);
  plan.pause = draw.Ms(40, 600);
  plan.power = draw.OneIn(2);
  plan.kills = draw.OneIn(3);
  plan.partitions = draw.OneIn(2);
  plan.breaks = draw.OneIn(3);
  plan.stops = draw.OneIn(3);
  plan.slow_disks = draw.OneIn(3);
  plan.blind = plan.flush && draw.OneIn(2);
  plan.orders = draw.OneIn(2);
  // Pools so small that they are written several times over; what goes wrong then is seen where a primary
  // that cleans is cut off.
  if (plan.seed % Plan::kSmallPools != 0) return;
  plan.segments = static_cast<std::uint32_t>(draw.Between(6, 8));
  plan.value_bytes = draw.Between(50'000, 130'000);
  plan.think = draw.Ms(5, 50);
  plan.length = draw.Ms(1000, 3000);
  plan.granule = draw.OneIn(2) ? 4096 : 64;
  plan.partitions = plan.partitions || !draw.OneIn(3);
  plan.fills = draw.OneIn(2);
  if (!plan.fills) return;
  plan.segments = 6;
  plan.keys = static_cast<int>(draw.Between(75, 120));
}

// As many bytes are live all the time, so many that writers may meet a full pool, and backups hang again and again:
// what is decided while space lacks must not be held to when there is some.
void Overwrites(Draw& draw, Plan& plan) {
  plan.segments = static_cast<std::uint32_t>(draw.Between(8, 16));
  plan.value_bytes = draw.Between(50'000, 200'000);
  const std::uint64_t live = (plan.segments - kFewestSegments) * kSegmentBytes * draw.Between(50, 80) / 100;
  plan.keys = static_cast<int>(live / plan.value_bytes);
  plan.clients = 4;
  plan.deletes = 0;
  plan.think = MonoTime{draw.Between(200, 2000)};
  plan.hangs = true;
  plan.aways = plan.cuts = false;
  plan.hang = draw.Ms(500, 1500);
  plan.pause = draw.Ms(50, 200);
  plan.length = draw.Ms(4000, 5000);
}

// The cleaner is never done, for seconds, before the primary is cut off: what is on its way is never nothing.
void BusyCleaner(Draw& draw, Plan& plan) {
  plan.clients = 8;
  plan.think = MonoTime{50};
  plan.hangs = false;
  plan.partitions = true;
  plan.pause = draw.Ms(3000, 6000);
  plan.length = draw.Ms(6000, 8000);
}

// What is live takes a part of what the cleaner can keep free; the larger the pool, the nearer that comes to all of it.
void Pressure(Draw& draw, Plan& plan) {
  plan.hosts = draw.OneIn(4) ? 5 : 3;
  plan.late = draw.OneIn(3) ? 1 : 0;
  plan.hosts += plan.late;
  Fabric(draw, plan);
  plan.segments = static_cast<std::uint32_t>(draw.OneIn(8) ? draw.Between(17, 28) : draw.Between(10, 16));
  plan.granule = draw.OneIn(2) ? 4096 : 64;
  plan.value_bytes = draw.Between(60'000, 240'000);
  const std::uint64_t live = (plan.segments - kWorkingSegments) * kSegmentBytes * draw.Between(20, 90) / 100;
  plan.keys = static_cast<int>(std::max<std::uint64_t>(1, live / (plan.value_bytes / 2)));
  plan.clients = static_cast<int>(draw.Between(2, 4));
  plan.think = draw.Ms(5, 40);
  plan.prefilled = true;
  plan.holds = plan.seed % 2 == 1;
  plan.reads = 2;
  plan.length = draw.Ms(2000, 3500);
  plan.pause = draw.Ms(50, 600);
  plan.hangs = !draw.OneIn(3);
  plan.aways = !plan.hangs || draw.OneIn(2);
  plan.cuts = draw.OneIn(4);
  plan.hang = draw.OneIn(3) ? MonoTime(std::chrono::milliseconds(300)) : draw.Ms(1000, 8000);
  plan.judges_progress = true;
  // The pool is written over several times while the log is given.
  const bool busy = plan.seed % Plan::kBusyCleaners == 0;
  plan.slow_installs = !busy && draw.OneIn(6);
  plan.overwrites = busy || (!plan.slow_installs && draw.OneIn(2));
  if (plan.overwrites) Overwrites(draw, plan);
  if (busy) BusyCleaner(draw, plan);
  if (!plan.slow_installs) return;
  plan.segments = static_cast<std::uint32_t>(draw.Between(10, 12));
  plan.value_bytes = draw.Between(80'000, 160'000);
  plan.keys = static_cast<int>((plan.segments - kWorkingSegments) * draw.Between(6, 14));
  plan.clients = 4;
  plan.deletes = 6;
  plan.think = draw.Ms(2, 12);
  plan.batch_depth = 2;
  plan.length = draw.Ms(3500, 5000);
  plan.aways = true;
}

void Elections(Draw& draw, Plan& plan) {
  plan.hosts = draw.OneIn(2) ? 5 : 3;
  Fabric(draw, plan);
  plan.keys = static_cast<int>(draw.Between(3, 6));
  plan.segments = static_cast<std::uint32_t>(draw.Between(8, 10));
  plan.clients = 2;
  plan.think = draw.Ms(8, 30);
  plan.reads = 4;
  plan.length = draw.Ms(2500, 4500);
  plan.pause = draw.Ms(50, 500);
  plan.behind = plan.hosts == 3 && draw.OneIn(2);
  // Only what falls behind needs a log that is cleaned away.
  plan.value_bytes = plan.behind ? draw.Between(100'000, 200'000) : draw.Between(64, 20'000);
  plan.voters = plan.hosts == 5;
  plan.heirs = draw.OneIn(2);
  plan.cut_off = draw.OneIn(3);
  if (!plan.behind && !plan.voters && !plan.heirs) plan.heirs = true;
  plan.promotion_patience = std::chrono::milliseconds(draw.OneIn(2) ? 1500 : 8000);
  plan.judges_progress = true;
  plan.planned = draw.OneIn(2);
  plan.unreached = draw.OneIn(3);
  plan.in_vain = draw.OneIn(3);
}

void Turns(Draw& draw, Plan& plan) {
  plan.late = draw.OneIn(2) ? 1 : 0;
  plan.hosts = (draw.OneIn(4) ? 5 : 3) + plan.late;
  Fabric(draw, plan);
  plan.keys = static_cast<int>(draw.Between(1, 3));
  plan.clients = static_cast<int>(draw.Between(3, 5));
  plan.think = draw.Ms(5, 40);
  plan.readers = draw.OneIn(2);
  plan.width = draw.OneIn(3) ? 1 : static_cast<int>(draw.Between(2, 8));
  plan.value_bytes = draw.OneIn(2) ? 64 : draw.Between(1'000, 60'000);
  plan.segments = 12;
  plan.noops = !draw.OneIn(3);
  plan.long_turn = draw.Ms(1000, 1900);
  plan.length = draw.Ms(2000, 5000);
  plan.pause = draw.Ms(40, 500);
  plan.partitions = !draw.OneIn(3);
  plan.breaks = draw.OneIn(3);
  plan.kills = draw.OneIn(2);
  plan.orders = draw.OneIn(2);
  plan.aways = draw.OneIn(2);
  plan.torn = draw.OneIn(2);
  plan.deposes = plan.width > 1 && draw.OneIn(4);
  if (!plan.deposes) return;
  // A unit is cut in two where a segment ends.
  plan.width = 4;
  plan.keys = static_cast<int>(draw.Between(1, 2));
  plan.value_bytes = draw.Between(300'000, 450'000);
  plan.think = draw.Ms(20, 60);
  plan.reads = 3;
  plan.readers = false;
  plan.long_turn = draw.Ms(1600, 1900);
}

// Of one medium alone: the others hold what it has lost.  Small records, so that heads are hit as often as values.
void RotOfOne(Draw& draw, Plan& plan) {
  plan.rot = plan.planned = true;
  plan.forges = plan.disk_errors = plan.power = plan.kills = false;
  plan.value_bytes = draw.OneIn(3) ? draw.Between(20'000, 100'000) : draw.Between(64, 3'000);
  plan.width = static_cast<int>(draw.Between(1, 4));
  plan.keys = static_cast<int>(draw.Between(4, 20));
  plan.reads = 6;
  plan.deletes = 2;
  // Segments are freed, and hold values whose deletes stand behind them.
  if (plan.value_bytes > 3'000) {
    plan.reads = 3;
    plan.deletes = 6;
    plan.think = std::chrono::milliseconds(4);
  }
  plan.length = draw.Ms(2500, 5000);
  plan.pause = draw.Ms(30, 300);
}

// Pools that are written several times over, so that what one refused write leaves behind, or what a value left in a
// segment that is used again, is met by a restart.
void Disks(Draw& draw, Plan& plan) {
  plan.hosts = 3;
  Fabric(draw, plan);
  plan.forges = draw.OneIn(2);
  plan.disk_errors = !plan.forges;
  plan.granule = draw.OneIn(3) ? 4096 : 64;
  plan.keys = static_cast<int>(draw.Between(2, 6));
  plan.width = plan.forges ? 1 : static_cast<int>(draw.Between(1, 3));
  plan.clients = static_cast<int>(draw.Between(3, 5));
  plan.think = draw.Ms(4, 16);
  plan.reads = 3;
  plan.segments = static_cast<std::uint32_t>(draw.Between(8, 10));
  plan.value_bytes = draw.Between(60'000, 160'000) / static_cast<std::uint64_t>(plan.width);
  plan.length = draw.Ms(1500, 3000);
  plan.pause = draw.Ms(200, 900);
  plan.power = draw.OneIn(4);
  plan.kills = !plan.power;
  if (draw.OneIn(3)) RotOfOne(draw, plan);
}

// Pools that are written several times over, or not, between two losses.
void ForcedToLead(Draw& draw, Plan& plan) {
  plan.hosts = draw.OneIn(3) ? 2 : draw.OneIn(4) ? 5 : 3;
  plan.late = draw.OneIn(2) ? 1 : 0;
  plan.hosts += plan.late;
  Fabric(draw, plan);
  plan.keys = static_cast<int>(draw.Between(2, 8));
  plan.clients = static_cast<int>(draw.Between(2, 4));
  plan.think = draw.Ms(4, 40);
  plan.reads = 4;
  plan.segments = static_cast<std::uint32_t>(draw.Between(8, 10));
  plan.value_bytes = draw.OneIn(3) ? 64 : draw.Between(20'000, 130'000);
  plan.granule = draw.OneIn(3) ? 4096 : 64;
  plan.length = draw.Ms(500, 3000);
  plan.rounds = static_cast<int>(draw.Between(1, 3));
}

}  // namespace

Plan Plan::Of(std::uint64_t seed, Kind kind) {
  Draw draw((seed + (static_cast<std::uint64_t>(kind) << 56)) * 0x9e3779b97f4a7c15);
  Plan plan;
  plan.seed = seed;
  plan.kind = kind;
  switch (kind) {
    case Kind::kMixed: Mixed(draw, plan); break;
    case Kind::kPressure: Pressure(draw, plan); break;
    case Kind::kElections: Elections(draw, plan); break;
    case Kind::kTurns: Turns(draw, plan); break;
    case Kind::kMedia: Disks(draw, plan); break;
    case Kind::kForced: ForcedToLead(draw, plan); break;
  }
  plan.elements = draw.OneIn(2);
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
  name(hangs, "hangs");
  name(aways, "aways");
  name(cuts, "cuts");
  name(behind, "behind");
  name(voters, "voters");
  name(heirs, "heirs");
  name(in_vain, "in-vain");
  name(cut_off, "cut-off");
  name(planned, "planned");
  name(unreached, "unreached");
  name(torn, "torn");
  name(deposes, "deposes");
  name(slow_installs, "slow-installs");
  name(disk_errors, "disk-errors");
  name(rot, "rot");
  name(noops, "no-ops");
  name(forges, "forges");
  name(elements, "elements");
  if (long_turn > MonoTime{0}) faults += fmt::format(" turns-of-{}ms", long_turn.count() / 1000);
  return fmt::format("{} hosts ({} late), {}, {} keys, {} wide, of {} bytes{}{}, {} segments, granule {}:{}", hosts,
                     late,
                     flush  ? "rdma+flush"
                     : rdma ? "rdma"
                            : "tcp",
                     keys, width, value_bytes, overwrites ? " each" : " at most", fills ? " (too many)" : "", segments,
                     granule, faults);
}

}  // namespace faha::sim
