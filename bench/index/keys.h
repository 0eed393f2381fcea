// The keys of the benchmark: "key:" and the number of the key in 12 digits.  Thread: any; pure functions.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <string_view>

namespace faha::bench {

inline constexpr std::size_t kKeyBytes = 16;
using KeyText = std::array<char, kKeyBytes>;

inline KeyText TextOf(std::uint64_t number) {
  KeyText text{'k', 'e', 'y', ':'};
  for (std::size_t i = kKeyBytes; i-- > 4; number /= 10) text[i] = static_cast<char>('0' + number % 10);
  return text;
}
inline std::string_view ViewOf(const KeyText& text) { return {text.data(), text.size()}; }

// A permutation of 0 ... count - 1, so that keys of neighbouring ranks are neighbours nowhere.
class Scatter {
 public:
  explicit Scatter(std::uint64_t count) : count_(count) {
    while (std::gcd(factor_, count_) != 1) ++factor_;
  }
  std::uint64_t operator()(std::uint64_t rank) const { return rank * factor_ % count_; }

 private:
  std::uint64_t count_;  // below 2^32, as the factor is: the product fits
  std::uint64_t factor_ = 2654435761;
};

}  // namespace faha::bench
