#include "bench/index/measure.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

namespace faha::bench {

double Median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

void Die(std::string_view what) {
  fmt::print(stderr, "index: {}\n", what);
  std::exit(1);
}

void PrintSetUp(std::string_view what) {
  std::string line, model = "unknown processor", load;
  for (std::ifstream cpus("/proc/cpuinfo"); std::getline(cpus, line);) {
    if (line.starts_with("model name")) model = line.substr(line.find(':') + 2);
  }
  std::ifstream("/proc/loadavg") >> load;
  fmt::print("# {}, {} cores, load {} before the start; one thread; no transparent huge pages, as in redis-server\n",
             model, ::sysconf(_SC_NPROCESSORS_ONLN), load);
  fmt::print("# {}\n", what);
  std::fflush(stdout);
}

std::uint64_t ResidentBytes() {
  std::uint64_t all = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> all >> resident;
  return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace faha::bench
