// What the commands share: clocks, medians, and the first line that each prints.  Thread: that of main.
#pragma once

#include <chrono>
#include <cstdint>
#include <string_view>
#include <vector>

namespace faha::bench {

using Clock = std::chrono::steady_clock;

inline double Seconds(Clock::time_point since) { return std::chrono::duration<double>(Clock::now() - since).count(); }

double Median(std::vector<double> values);

// One line on standard error, and the end of the process.
[[noreturn]] void Die(std::string_view what);

// The processor, the cores and how busy they are; then `what`.
void PrintSetUp(std::string_view what);

// What the kernel has given this process (bytes).
std::uint64_t ResidentBytes();

}  // namespace faha::bench
