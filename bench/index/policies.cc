// How much each policy misses of the same requests with the same bytes.
#include <fmt/format.h>

#include <cmath>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bench/index/commands.h"
#include "bench/index/measure.h"
#include "bench/index/policy.h"
#include "bench/index/traces.h"

namespace faha::bench {
namespace {

constexpr std::uint32_t kEqualBytes = 128, kLeastBytes = 64, kMostBytes = 4096;

// Of each key; varying ones are even in their logarithms.
std::vector<std::uint32_t> Sizes(std::uint32_t keys, bool varying) {
  std::vector<std::uint32_t> sizes(keys, kEqualBytes);
  if (!varying) return sizes;
  for (std::uint32_t key = 0; key < keys; ++key) {
    const std::uint64_t mixed = (key + std::uint64_t{1}) * 0x9E3779B97F4A7C15;
    const double share = static_cast<double>(mixed >> 11) * 0x1p-53;
    sizes[key] = static_cast<std::uint32_t>(kLeastBytes * std::pow(double{kMostBytes} / kLeastBytes, share));
  }
  return sizes;
}

struct Contestant {
  const char* name;
  std::function<std::unique_ptr<Policy>(std::uint64_t capacity, const Trace& trace)> make;
};

std::vector<Contestant> Contestants() {
  return {{"LRU", [](std::uint64_t capacity, const Trace& trace) { return MakeLru(capacity, trace.keys); }},
          {"S3-FIFO", [](std::uint64_t capacity, const Trace& trace) { return MakeS3Fifo(capacity, trace.keys); }},
          {"FaHA", [](std::uint64_t capacity, const Trace& trace) { return MakeFahaHotTier(capacity, trace.keys); }},
          {"Belady", [](std::uint64_t capacity, const Trace& trace) {
             return MakeBelady(capacity, trace.keys, trace.requests);
           }}};
}

double MissRatio(Policy& policy, const Trace& trace, const std::vector<std::uint32_t>& sizes) {
  std::uint64_t misses = 0;
  for (const std::uint32_t key : trace.requests) misses += policy.Access(key, sizes[key]) ? 0 : 1;
  return static_cast<double>(misses) / static_cast<double>(trace.requests.size());
}

}  // namespace

void Policies(const PoliciesSettings& settings) {
  PrintSetUp(fmt::format("policies: miss ratios of {} requests, from an empty cache; {} objects of {}; seed {}",
                         settings.requests, settings.objects,
                         settings.varying ? fmt::format("{} to {} bytes (Belady: approximate)", kLeastBytes, kMostBytes)
                                          : fmt::format("{} bytes", kEqualBytes),
                         settings.seed));
  fmt::print(
      "# shifting: every {} requests one object in {} becomes hot; scan: 30 % in scans of {} keys, never used "
      "again\n",
      kShiftEvery, kShiftShare, kScanKeys);
  const auto contestants = Contestants();
  fmt::print("{:<10} {:>8}", "trace", "capacity");
  for (const auto& contestant : contestants) fmt::print(" {:>8}", contestant.name);
  fmt::print("\n");
  for (const std::string& name : settings.traces.empty() ? TraceNames() : settings.traces) {
    const Trace trace = MakeTrace(name, settings.objects, settings.requests, settings.seed);
    const auto sizes = Sizes(trace.keys, settings.varying);
    std::uint64_t object_bytes = 0;
    for (std::uint32_t key = 0; key < settings.objects; ++key) object_bytes += sizes[key];
    for (const double share : settings.capacity_shares) {
      fmt::print("{:<10} {:>6.1f} %", name, share * 100);
      const auto capacity = static_cast<std::uint64_t>(static_cast<double>(object_bytes) * share);
      for (const auto& contestant : contestants) {
        fmt::print(" {:>8.4f}", MissRatio(*contestant.make(capacity, trace), trace, sizes));
        std::fflush(stdout);
      }
      fmt::print("\n");
    }
  }
}

}  // namespace faha::bench
