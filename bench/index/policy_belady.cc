#include <bit>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "bench/index/policy.h"

namespace faha::bench {
namespace {

// A set of numbers that knows its highest one: bits, and above every 64 words the bits that tell which of them are not
// 0.
class HighestOf {
 public:
  explicit HighestOf(std::uint64_t limit) {
    do {
      limit = (limit + 63) / 64;
      levels_.emplace_back(limit);
    } while (limit > 1);
  }
  void Add(std::uint64_t number) {
    for (auto& level : levels_) {
      level[number / 64] |= std::uint64_t{1} << number % 64;
      number /= 64;
    }
  }
  void Remove(std::uint64_t number) {
    for (auto& level : levels_) {
      level[number / 64] &= ~(std::uint64_t{1} << number % 64);
      if (level[number / 64] != 0) return;
      number /= 64;
    }
  }
  // Of a set that is not empty.
  [[nodiscard]] std::uint64_t Highest() const {
    std::uint64_t number = 0;
    for (auto level = levels_.rbegin(); level != levels_.rend(); ++level) {
      number = number * 64 + static_cast<std::uint64_t>(std::bit_width((*level)[number])) - 1;
    }
    return number;
  }

 private:
  std::vector<std::vector<std::uint64_t>> levels_;
};

// What is held is known by the request that will use it next; what no request will use is not held.
class Belady final : public Policy {
 public:
  Belady(std::uint64_t capacity, std::uint32_t keys, std::span<const std::uint32_t> requests)
      : capacity_(capacity), requests_(requests), next_use_(requests.size()), bytes_(keys), held_(requests.size()) {
    std::vector<std::uint32_t> next_of(keys, kNever);
    for (std::size_t at = requests.size(); at-- > 0;) {
      next_use_[at] = next_of[requests[at]];
      next_of[requests[at]] = static_cast<std::uint32_t>(at);
    }
  }
  bool Access(std::uint32_t key, std::uint32_t bytes) override {
    const std::uint32_t now = now_++;
    const bool hit = bytes_[key] != 0;
    if (hit) Drop(now);
    if (next_use_[now] == kNever) return hit;
    held_.Add(next_use_[now]);
    bytes_[key] = bytes;
    used_ += bytes;
    while (used_ > capacity_) Drop(held_.Highest());
    return hit;
  }

 private:
  static constexpr std::uint32_t kNever = UINT32_MAX;

  // What the request `use` is for.
  void Drop(std::uint64_t use) {
    std::uint32_t& bytes = bytes_[requests_[use]];
    held_.Remove(use);
    used_ -= bytes;
    bytes = 0;
  }

  const std::uint64_t capacity_;
  const std::span<const std::uint32_t> requests_;
  std::vector<std::uint32_t> next_use_;  // of each request: the next of the same key
  std::vector<std::uint32_t> bytes_;     // of each key that is held; else 0
  HighestOf held_;                       // the next uses
  std::uint64_t used_ = 0;
  std::uint32_t now_ = 0;
};

}  // namespace

std::unique_ptr<Policy> MakeBelady(std::uint64_t capacity, std::uint32_t keys,
                                   std::span<const std::uint32_t> requests) {
  return std::make_unique<Belady>(capacity, keys, requests);
}

}  // namespace faha::bench
