#include "bench/index/traces.h"

#include <algorithm>
#include <functional>
#include <random>

#include "bench/index/keys.h"
#include "bench/index/zipf.h"

namespace faha::bench {
namespace {

Trace Zipfian(std::uint32_t objects, std::uint64_t requests, std::uint64_t seed, double exponent) {
  std::mt19937_64 random(seed);
  Zipf zipf(objects, exponent);
  const Scatter scatter(objects);
  Trace trace{.requests = std::vector<std::uint32_t>(requests), .keys = objects};
  for (std::uint32_t& key : trace.requests) key = static_cast<std::uint32_t>(scatter(zipf(random)));
  return trace;
}

Trace Shifting(std::uint32_t objects, std::uint64_t requests, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  Zipf zipf(objects, 0.99);
  const Scatter scatter(objects);
  const std::uint64_t step = std::max<std::uint64_t>(1, objects / kShiftShare);
  Trace trace{.requests = {}, .keys = objects};
  trace.requests.reserve(requests);
  for (std::uint64_t at = 0; at < requests; ++at) {
    const std::uint64_t moved = at / kShiftEvery * step % objects;
    trace.requests.push_back(static_cast<std::uint32_t>(scatter((zipf(random) + objects - moved) % objects)));
  }
  return trace;
}

Trace WithScans(std::uint32_t objects, std::uint64_t requests, std::uint64_t seed) {
  constexpr std::uint64_t kBetween = kScanKeys * 7 / 3;
  std::mt19937_64 random(seed);
  Zipf zipf(objects, 0.99);
  const Scatter scatter(objects);
  Trace trace{.requests = {}, .keys = objects};
  trace.requests.reserve(requests);
  for (std::uint64_t at = 0; at < requests; ++at) {
    const bool scans = at % (kBetween + kScanKeys) >= kBetween;
    trace.requests.push_back(scans ? trace.keys++ : static_cast<std::uint32_t>(scatter(zipf(random))));
  }
  return trace;
}

}  // namespace

std::vector<std::string> TraceNames() { return {"zipf99", "zipf120", "shifting", "scan"}; }

Trace MakeTrace(const std::string& name, std::uint32_t objects, std::uint64_t requests, std::uint64_t seed) {
  if (name == "zipf120") return Zipfian(objects, requests, seed, 1.2);
  if (name == "shifting") return Shifting(objects, requests, seed);
  if (name == "scan") return WithScans(objects, requests, seed);
  return Zipfian(objects, requests, seed, 0.99);
}

}  // namespace faha::bench
