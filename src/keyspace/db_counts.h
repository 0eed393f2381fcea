// How many keys each database has, and how many there are in all.  Thread: main loop only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include "base/check.h"
#include "faha/types.h"

namespace faha {

class DbCounts {
 public:
  void Up(DbId db) {
    if (db >= counts_.size()) counts_.resize(std::size_t{db} + 1);
    ++counts_[db];
    ++total_;
  }
  void Down(DbId db) {
    FAHA_CHECK(Of(db) != 0, "what goes was counted");
    --counts_[db];
    --total_;
  }
  void Set(DbId db, std::uint64_t count) {
    if (Of(db) == count) return;
    if (db >= counts_.size()) counts_.resize(std::size_t{db} + 1);
    total_ += count - counts_[db];
    counts_[db] = count;
  }
  void Clear() {
    counts_.clear();
    total_ = 0;
  }
  void Restore(std::vector<std::uint64_t> counts) {
    counts_ = std::move(counts);
    total_ = std::accumulate(counts_.begin(), counts_.end(), std::uint64_t{0});
  }

  [[nodiscard]] std::uint64_t Of(DbId db) const { return db < counts_.size() ? counts_[db] : 0; }
  [[nodiscard]] std::uint64_t total() const { return total_; }
  // By DbId, up to the largest seen.
  [[nodiscard]] std::span<const std::uint64_t> all() const { return counts_; }

 private:
  std::vector<std::uint64_t> counts_;
  std::uint64_t total_ = 0;
};

}  // namespace faha
