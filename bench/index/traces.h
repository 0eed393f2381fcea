// Requests for the policies to be tried on, the same for the same seed.  Thread: any; pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace faha::bench {

struct Trace {
  std::vector<std::uint32_t> requests;  // of keys
  std::uint32_t keys = 0;               // all are below
};

// zipf99, zipf120: Zipf's law with exponent 0.99 or 1.2 over the objects.
// shifting:        the same with 0.99; every kShiftEvery requests, objects that were the coldest become the hottest,
// and
//                  all others move down by as many ranks.
// scan:            the same with 0.99, and three requests in ten belong to scans, of kScanKeys each, of keys that are
//                  never used again; they are no objects.
inline constexpr std::uint64_t kShiftEvery = 100'000;
inline constexpr std::uint64_t kShiftShare = 1000;  // one in so many objects
inline constexpr std::uint64_t kScanKeys = 50'000;
std::vector<std::string> TraceNames();
Trace MakeTrace(const std::string& name, std::uint32_t objects, std::uint64_t requests, std::uint64_t seed);

}  // namespace faha::bench
