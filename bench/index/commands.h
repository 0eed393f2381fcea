// The commands; each prints its set-up and its figures.  Thread: that of main.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace faha::bench {

void Memory(std::uint64_t keys);

struct LookupSettings {
  std::uint64_t keys = 1'000'000;
  std::uint64_t lookups = 2'000'000;  // of each kind, in a round
  int rounds = 5;
};
void Lookup(const LookupSettings& settings);

struct InsertSettings {
  std::uint64_t keys = 1'000'000;
  int rounds = 3;
};
void Insert(const InsertSettings& settings);

struct PoliciesSettings {
  std::uint32_t objects = 1'000'000;
  std::uint64_t requests = 20'000'000;
  std::vector<double> capacity_shares = {0.01, 0.1};
  std::vector<std::string> traces;  // none: all
  bool varying = false;             // sizes
  std::uint64_t seed = 1;
};
void Policies(const PoliciesSettings& settings);

struct HotSettings {
  std::uint64_t keys = 1'000'000;
  std::uint64_t value_bytes = 100;
  double exponent = 0.99;  // of the Zipf law by which keys are chosen
  double hot_share = 0.1;  // the tier's bytes, of those that the blocks of all keys would take
  unsigned line_ns = 300;  // charged for a cold line
  std::uint64_t operations = 1'000'000;
  int rounds = 5;
};
void Hot(const HotSettings& settings);

}  // namespace faha::bench
