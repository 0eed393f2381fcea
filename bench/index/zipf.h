// Zipf's law, exactly, for any number of ranks in constant memory.  Thread: any.
// By rejection-inversion: W. Hoermann and G. Derflinger, "Rejection-inversion to generate variates from monotone
// discrete distributions", ACM Transactions on Modeling and Computer Simulation 6(3), 1996.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>

namespace faha::bench {

// Draws rank r of 0 ... count - 1 with a probability proportional to (r + 1) ^ -exponent.
//
// The hat is the area under x ^ -exponent: a point of the area from k - 1/2 to k + 1/2 becomes rank k, if it lies
// within the last k ^ -exponent of it.  The function is convex, so the area is never smaller than that; the first
// rank's area is cut to its exact size.
class Zipf {
 public:
  Zipf(std::uint64_t count, double exponent)
      : count_(static_cast<double>(count)),
        exponent_(exponent),
        first_(Area(1.5) - 1),
        last_(Area(count_ + 0.5)),
        sure_(2 - AreaEnd(Area(2.5) - Height(2))) {}

  template <typename Random>
  std::uint64_t operator()(Random& random) {
    while (true) {
      const double point = last_ + std::generate_canonical<double, 53>(random) * (first_ - last_);
      const double x = AreaEnd(point);
      const double rank = std::clamp(std::floor(x + 0.5), 1.0, count_);
      if (rank - x <= sure_ || point >= Area(rank + 0.5) - Height(rank)) return static_cast<std::uint64_t>(rank) - 1;
    }
  }

 private:
  [[nodiscard]] double Height(double x) const { return std::exp(-exponent_ * std::log(x)); }
  // From 1 to x, below it negative.
  [[nodiscard]] double Area(double x) const {
    const double power = 1 - exponent_;
    return power == 0 ? std::log(x) : std::expm1(power * std::log(x)) / power;
  }
  // The x with that area.
  [[nodiscard]] double AreaEnd(double area) const {
    const double power = 1 - exponent_;
    return std::exp(power == 0 ? area : std::log1p(power * area) / power);
  }

  double count_, exponent_, first_, last_;
  double sure_;  // that close below a rank, no point is rejected: true of rank 2, and so of those behind it
};

}  // namespace faha::bench
