// How a batch becomes persistent on the backups: FaHA's Persist RPC beside the two-phase protocols, in one run.
// This process is the primary; each backup is a process of its own.  Every measurement starts with empty logs and fresh
// connections; those that are compared follow each other in every round, and the medians are printed.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/utsname.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <deque>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "bench/persist/agents.h"
#include "bench/persist/rig.h"
#include "bench/persist/shipping.h"
#include "store/engine.h"

namespace faha::bench {
namespace {

using Clock = std::chrono::steady_clock;
using Microseconds = std::chrono::duration<double, std::micro>;

const std::map<std::string, Protocol> kProtocols{
    {"write-read", Protocol::kWriteRead},       {"write-send", Protocol::kWriteSend},
    {"write+read", Protocol::kWriteAndRead},    {"persist", Protocol::kPersist},
    {"persist-flush", Protocol::kPersistFlush}, {"persist-ring", Protocol::kPersistRing},
    {"unbatched", Protocol::kUnbatched},        {"tcp", Protocol::kTcp},
    {"bare-send", Protocol::kBareSend}};

struct Settings {
  std::string host;
  std::vector<std::string> pools;
  std::string domain = "auto";
  std::vector<std::string> protocols{"write-read", "write-send", "write+read", "unbatched", "persist", "tcp"};
  std::vector<std::uint32_t> batch_bytes{256, 1024, 4096};
  std::vector<std::uint32_t> put_percents{100};
  std::vector<std::uint32_t> in_flight{1};
  std::vector<std::uint32_t> backups{1};
  std::uint32_t rounds = 5;
  double seconds = 0.5;
  std::uint32_t spin = 1000;
  std::uint32_t value_bytes = 64;
  std::uint32_t keys = 10'000;
  std::uint16_t control_port = 0;
  std::uint16_t agent = 0;
  std::uint16_t backup_of = 0;
};

// One row of the table.
struct Case {
  std::uint32_t put_percent, batch_bytes, in_flight, backups;
  auto operator<=>(const Case&) const = default;
};

struct Sample {
  double operations = 0;  // per second
  double batches = 0;     // per second
  double median_us = 0;   // of a batch, from its posting until all have it
  double p99_us = 0;
};

double Quantile(std::vector<double> values, double at) {
  if (values.empty()) return 0;
  const auto place = values.begin() + static_cast<std::ptrdiff_t>(at * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), place, values.end());
  return *place;
}
double Median(std::vector<double> values) { return Quantile(std::move(values), 0.5); }

bool OverFabric(Protocol protocol) {
  return protocol == Protocol::kPersist || protocol == Protocol::kPersistFlush || protocol == Protocol::kPersistRing ||
         protocol == Protocol::kUnbatched || protocol == Protocol::kTcp;
}

// The primary of one measurement: operations into batches, batches to the backups.
class Primary {
 public:
  Primary(const Settings& settings, const Case& what, bool batched, Rig& rig, Shipping& shipping)
      : settings_(settings),
        what_(what),
        record_bytes_(format::RecordBytes(kKeyBytes, settings.value_bytes, false)),
        batch_bytes_(batched ? what.batch_bytes : 0),
        log_(*rig.log),
        shipping_(shipping),
        engine_(rig.log.get()),
        value_(settings.value_bytes, 'v') {
    log_.SetEpoch(Epoch{1});
  }

  Sample Run() {
    (void)Measure(Clock::now() + std::chrono::milliseconds(50));
    return Measure(Clock::now() +
                   std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(settings_.seconds)));
  }

 private:
  static constexpr std::size_t kKeyBytes = 16;
  struct InFlight {
    Lsn lsn;
    Clock::time_point since;
  };

  Sample Measure(Clock::time_point end) {
    latencies_.clear();
    std::uint64_t operations = 0;
    const auto start = Clock::now();
    // The pool bounds a run as time does: nothing is cleaned here.
    while (log_.HasRoom(1U << 20)) {
      ++operations;
      const std::string key = fmt::format("{:0>{}}", random_() % settings_.keys, kKeyBytes);
      if (random_() % 100 >= what_.put_percent) {
        found_ += engine_.Get(0, key).has_value() ? 1 : 0;
        continue;
      }
      Require(engine_.Put(0, key, {value_}));
      if (log_.OpenBatchBytes() + record_bytes_ <= batch_bytes_) continue;
      Ship();
      if (Clock::now() >= end) break;
    }
    while (!in_flight_.empty()) Reap();
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    return {static_cast<double>(operations) / seconds, static_cast<double>(latencies_.size()) / seconds,
            Median(latencies_), Quantile(latencies_, 0.99)};
  }

  void Ship() {
    Require(log_.Seal());
    const auto batch = log_.Next(cursor_);
    in_flight_.push_back({batch->view.lsn(), Clock::now()});
    shipping_.Post(*batch);
    Require(log_.Drain());
    while (in_flight_.size() >= what_.in_flight) Reap();
  }

  void Reap() {
    const Lsn durable = shipping_.Durable();
    engine_.Committed(durable);
    const auto now = Clock::now();
    while (!in_flight_.empty() && in_flight_.front().lsn <= durable) {
      latencies_.push_back(Microseconds(now - in_flight_.front().since).count());
      in_flight_.pop_front();
    }
  }

  const Settings& settings_;
  const Case what_;
  const std::uint64_t record_bytes_, batch_bytes_;
  Log& log_;
  Shipping& shipping_;
  Engine engine_;
  const std::string value_;
  std::mt19937_64 random_{1};
  LogCursor cursor_;
  std::deque<InFlight> in_flight_;
  std::vector<double> latencies_;
  std::uint64_t found_ = 0;
};

// Nothing if the devices cannot do what the protocol needs.
std::optional<Sample> Run(const Settings& settings, Agents& agents, const std::string& name, const Case& what) {
  const Protocol protocol = kProtocols.at(name);
  Rig rig(settings.pools.front(), settings.domain);
  const Peer self{protocol, settings.host, 0, std::chrono::microseconds(settings.spin)};
  const auto shipping = OverFabric(protocol) ? ShipOverFabric(self, rig.log.get()) : ShipOverVerbs(self, rig.log.get());
  const auto running = agents.Start(what.backups, fmt::format("--host {} --protocol {} --spin {} --backup-of {}",
                                                              settings.host, name, settings.spin, shipping->port()));
  shipping->AwaitBackups(what.backups);
  if (!shipping->Possible()) return std::nullopt;
  return Primary(settings, what, protocol != Protocol::kUnbatched, rig, *shipping).Run();
}

// What it costs to make `bytes` persistent here (microseconds, median).
double LocalPersist(const Settings& settings, std::uint32_t bytes) {
  Rig rig(settings.pools.front(), settings.domain);
  Media& media = rig.pool->media();
  const std::vector<std::byte> batch(bytes, std::byte{0x5a});
  std::vector<double> times;
  for (std::uint64_t at = format::kDataOffset; times.size() < 2000 && at + bytes <= media.bytes().size(); at += bytes) {
    const auto start = Clock::now();
    Require(media.Write(at, batch));
    Require(media.Drain());
    times.push_back(Microseconds(Clock::now() - start).count());
  }
  return Median(times);
}

using Results = std::map<std::pair<Case, std::string>, std::vector<Sample>>;

std::vector<double> Column(const std::vector<Sample>& samples, double Sample::*field) {
  std::vector<double> column;
  for (const Sample& sample : samples) column.push_back(sample.*field);
  return column;
}

// The median of the rounds' ratios.
double Ratio(const std::vector<double>& of, const std::vector<double>& to) {
  std::vector<double> ratios;
  for (std::size_t i = 0; i < of.size(); ++i) ratios.push_back(of[i] / to[i]);
  return Median(ratios);
}

void PrintSetUp(const Settings& settings) {
  utsname system{};
  (void)uname(&system);
  const Rig rig(settings.pools.front(), settings.domain);
  fmt::print("# {} {}, {} processors; {}\n", system.sysname, system.release, std::thread::hardware_concurrency(),
             settings.control_port == 0 ? "primary and backups share them" : "the backups are elsewhere");
  fmt::print("# pools {}: {}, granule {} bytes\n", fmt::join(settings.pools, " "),
             DomainName(rig.pool->media().domain()), rig.pool->geometry().granule);
  fmt::print(
      "# keys of 16 bytes, values of {}; {} rounds of {} s, interleaved; the fabric looks {} us before it sleeps, "
      "the baselines never sleep\n",
      settings.value_bytes, settings.rounds, settings.seconds, settings.spin);
}

void PrintTable(const Results& results) {
  fmt::print("{:>5} {:>6} {:>7} {:>7}  {:<13}{:>10} {:>10} {:>9} {:>9}\n", "put %", "batch", "flight", "backups",
             "protocol", "ops/s", "batches/s", "p50 us", "p99 us");
  for (const auto& [row, samples] : results) {
    const auto& [what, name] = row;
    fmt::print("{:>5} {:>6} {:>7} {:>7}  {:<13}{:>10.0f} {:>10.0f} {:>9.1f} {:>9.1f}\n", what.put_percent,
               what.batch_bytes, what.in_flight, what.backups, name, Median(Column(samples, &Sample::operations)),
               Median(Column(samples, &Sample::batches)), Median(Column(samples, &Sample::median_us)),
               Median(Column(samples, &Sample::p99_us)));
  }
}

// What the rows say about each other, wherever both sides were measured.
void PrintFigures(const Settings& settings, const Results& results) {
  const auto find = [&](const Case& what, const std::string& name) -> const std::vector<Sample>* {
    const auto found = results.find({what, name});
    return found == results.end() ? nullptr : &found->second;
  };
  std::map<std::uint32_t, double> local;
  for (const auto& [row, samples] : results) {
    const auto& [what, name] = row;
    if (!name.starts_with("persist")) continue;
    const std::string label = fmt::format("{}, {}% put, batches of {}, {} in flight, {} backups:", name,
                                          what.put_percent, what.batch_bytes, what.in_flight, what.backups);
    const auto operations = Column(samples, &Sample::operations);
    const auto* first = find(what, "write-read");
    const auto* second = find(what, "write-send");
    if (first != nullptr && second != nullptr) {
      std::vector<double> better = Column(*first, &Sample::operations);
      for (std::size_t i = 0; i < better.size(); ++i) better[i] = std::max(better[i], (*second)[i].operations);
      fmt::print("{} {:.2f}x the throughput of the better two-phase protocol\n", label, Ratio(operations, better));
    }
    if (const auto* bare = find(what, "bare-send"); bare != nullptr) {
      if (!local.contains(what.batch_bytes)) local[what.batch_bytes] = LocalPersist(settings, what.batch_bytes);
      const double persist = local[what.batch_bytes];
      const double send = Median(Column(*bare, &Sample::median_us));
      const double own = Median(Column(samples, &Sample::median_us));
      fmt::print("{} {:.1f} us = {:.2f}x (a bare two-way send, {:.1f} us, + a local persist, {:.1f} us)\n", label, own,
                 own / (send + persist), send, persist);
    }
    Case one = what;
    one.in_flight = 1;
    if (const auto* single = find(one, name); single != nullptr && what.in_flight != 1) {
      fmt::print("{} {:.2f}x one in flight\n", label, Ratio(operations, Column(*single, &Sample::operations)));
    }
    one = what;
    one.backups = 1;
    if (const auto* single = find(one, name); single != nullptr && what.backups != 1) {
      fmt::print("{} {:.2f}x one backup\n", label, Ratio(operations, Column(*single, &Sample::operations)));
    }
  }
}

void RunAll(const Settings& settings) {
  PrintSetUp(settings);
  Agents agents(settings.host, settings.control_port);
  // Those of a control port that was given come by themselves.
  for (std::size_t i = 1; settings.control_port == 0 && i < settings.pools.size(); ++i) {
    agents.Spawn({"--host", settings.host, "--agent", std::to_string(agents.port()), "--pools", settings.pools[i],
                  "--domain", settings.domain});
  }
  Results results;
  std::set<std::string> skipped;
  for (std::uint32_t round = 0; round < settings.rounds; ++round) {
    for (const std::uint32_t put : settings.put_percents) {
      for (const std::uint32_t bytes : settings.batch_bytes) {
        for (const std::uint32_t backups : settings.backups) {
          for (const std::uint32_t in_flight : settings.in_flight) {
            for (const std::string& name : settings.protocols) {
              const Case what{put, bytes, in_flight, backups};
              if (const auto sample = Run(settings, agents, name, what)) {
                results[{what, name}].push_back(*sample);
              } else if (skipped.insert(name).second) {
                fmt::print("# {} is skipped: the devices cannot flush natively (rdma-core 45, Linux 6.2)\n", name);
              }
            }
          }
        }
      }
    }
  }
  PrintTable(results);
  PrintFigures(settings, results);
}

int Main(int argc, char** argv) {
  Settings settings;
  CLI::App app("How a batch becomes persistent on the backups: the Persist RPC beside the two-phase protocols");
  app.add_option("--host", settings.host, "an address of the RDMA device (for tcp: any)")->required();
  app.add_option("--pools", settings.pools, "the primary's pool and those of the backups: what they hold is lost")
      ->required()
      ->delimiter(',');
  app.add_option("--domain", settings.domain, "the pools' persistence domain, if it is not to be detected");
  std::vector<std::string> names;
  for (const auto& [name, protocol] : kProtocols) names.push_back(name);
  app.add_option("--protocol", settings.protocols, "what to measure")->delimiter(',')->check(CLI::IsMember(names));
  app.add_option("--batch-bytes", settings.batch_bytes, "where a batch is full, header included")->delimiter(',');
  app.add_option("--put-percent", settings.put_percents, "puts; the rest are gets")
      ->delimiter(',')
      ->check(CLI::Range(1, 100));
  app.add_option("--in-flight", settings.in_flight, "batches on their way")->delimiter(',')->check(CLI::Range(1, 64));
  app.add_option("--backups", settings.backups, "how many; all must have a batch")
      ->delimiter(',')
      ->check(CLI::Range(1, 8));
  app.add_option("--rounds", settings.rounds)->check(CLI::Range(1, 1000));
  app.add_option("--seconds", settings.seconds, "of each measurement; a full pool ends it earlier")
      ->check(CLI::Range(0.01, 60.0));
  app.add_option("--spin", settings.spin, "microseconds that the fabric looks before it sleeps");
  app.add_option("--value-bytes", settings.value_bytes)->check(CLI::Range(1, 65536));
  app.add_option("--keys", settings.keys)->check(CLI::Range(1, 10'000'000));
  app.add_option("--control-port", settings.control_port,
                 "backups are run by agents, on other machines, that ask here");
  app.add_option("--agent", settings.agent, "be such an agent, with one pool, of the primary at this port of --host");
  app.add_option("--backup-of", settings.backup_of)->group("");
  CLI11_PARSE(app, argc, argv);

  if (settings.agent != 0) {
    ServeAsAgent(settings.host, settings.agent, {"--pools", settings.pools.front(), "--domain", settings.domain});
    return 0;
  }
  if (settings.backup_of != 0) {
    Rig rig(settings.pools.front(), settings.domain);
    const Protocol protocol = kProtocols.at(settings.protocols.front());
    const Peer primary{protocol, settings.host, settings.backup_of, std::chrono::microseconds(settings.spin)};
    OverFabric(protocol) ? ServeOverFabric(primary, rig.log.get()) : ServeOverVerbs(primary, rig.log.get());
    return 0;
  }
  const std::uint32_t most = *std::max_element(settings.backups.begin(), settings.backups.end());
  if (settings.control_port == 0 && settings.pools.size() <= most) {
    Die({Code::kBadConfig,
         fmt::format("{} backups need {} pools: --pools has {}", most, most + 1, settings.pools.size())});
  }
  RunAll(settings);
  return 0;
}

}  // namespace
}  // namespace faha::bench

int main(int argc, char** argv) { return faha::bench::Main(argc, argv); }
