// The index beside others: what it costs in memory, how fast it is, its longest insert; and what policies for a hot
// tier miss.
#include <sys/prctl.h>

#include <CLI/CLI.hpp>
#include <cstdint>
#include <cstdio>

#include "bench/index/commands.h"
#include "bench/index/measure.h"
#include "bench/index/traces.h"

int main(int argc, char** argv) {
  using namespace faha::bench;
  // As redis-server does: huge pages would make every look-up faster than it is there.
  if (::prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) != 0) Die("transparent huge pages cannot be switched off");
  CLI::App app("Measures the index beside Redis' dict and others, and policies for a hot tier.");
  app.require_subcommand(1);
  const auto count = CLI::Range(std::uint64_t{16}, std::uint64_t{1'000'000'000});
  const auto positive = CLI::PositiveNumber;

  std::uint64_t memory_keys = 1'000'000;
  auto* memory = app.add_subcommand("memory", "DRAM per key, beside Redis' dict");
  memory->add_option("--keys", memory_keys)->capture_default_str()->check(count);
  memory->callback([&] { Memory(memory_keys); });

  LookupSettings lookup_settings;
  auto* lookup = app.add_subcommand("lookup", "look-ups/s, beside Redis' dict and absl::flat_hash_map");
  lookup->add_option("--keys", lookup_settings.keys)->capture_default_str()->check(count);
  lookup->add_option("--lookups", lookup_settings.lookups, "of each kind in a round")
      ->capture_default_str()
      ->check(count);
  lookup->add_option("--rounds", lookup_settings.rounds)->capture_default_str()->check(positive);
  lookup->callback([&] { Lookup(lookup_settings); });

  InsertSettings insert_settings;
  auto* insert = app.add_subcommand("insert", "the longest insert, beside Redis' dict");
  insert->add_option("--keys", insert_settings.keys)->capture_default_str()->check(count);
  insert->add_option("--rounds", insert_settings.rounds)->capture_default_str()->check(positive);
  insert->callback([&] { Insert(insert_settings); });

  PoliciesSettings policies_settings;
  auto* policies = app.add_subcommand("policies", "what LRU, S3-FIFO and the optimum miss");
  policies->add_option("--objects", policies_settings.objects)->capture_default_str()->check(count);
  policies->add_option("--requests", policies_settings.requests)->capture_default_str()->check(count);
  policies->add_option("--capacity-share", policies_settings.capacity_shares, "of the objects' bytes")
      ->capture_default_str()
      ->check(CLI::Range(1e-5, 1.0));
  policies->add_option("--trace", policies_settings.traces, "all, unless named")->check(CLI::IsMember(TraceNames()));
  policies->add_flag("--varying", policies_settings.varying, "sizes, instead of equal ones");
  policies->add_option("--seed", policies_settings.seed)->capture_default_str();
  policies->callback([&] { Policies(policies_settings); });

  HotSettings hot_settings;
  auto* hot = app.add_subcommand("hot", "throughput with the hot tier and without");
  hot->add_option("--keys", hot_settings.keys)->capture_default_str()->check(count);
  hot->add_option("--value-bytes", hot_settings.value_bytes)->capture_default_str();
  hot->add_option("--exponent", hot_settings.exponent, "of the Zipf law")->capture_default_str();
  hot->add_option("--hot-share", hot_settings.hot_share, "the tier's bytes, of the data's")
      ->capture_default_str()
      ->check(CLI::Range(1e-5, 2.0));
  hot->add_option("--line-ns", hot_settings.line_ns, "charged for each cold line that is read (emulation)")
      ->capture_default_str();
  hot->add_option("--operations", hot_settings.operations, "in a round")->capture_default_str()->check(count);
  hot->add_option("--rounds", hot_settings.rounds)->capture_default_str()->check(positive);
  hot->callback([&] { Hot(hot_settings); });

  CLI11_PARSE(app, argc, argv);
  return 0;
}
