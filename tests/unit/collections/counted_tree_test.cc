// The counted tree against a vector.
#include "collections/counted_tree.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <random>
#include <vector>

#include "tests/fakes/counting_memory.h"

namespace faha {
namespace {

using Entry = CountedTree::Entry;

class Tree : public testing::Test {
 protected:
  // Among equal orders, the addresses are in order.
  static bool IsLess(const Entry& one, const Entry& other) {
    return one.order != other.order ? one.order < other.order : one.at < other.at;
  }
  [[nodiscard]] std::uint64_t RankOf(const Entry& entry) const {
    return tree_.CountBefore(entry.order, [&](LogAddress at) { return at < entry.at; });
  }
  void InsertAt(std::uint64_t rank, const Entry& entry) {
    tree_.Insert(rank, entry);
    model_.insert(model_.begin() + static_cast<std::ptrdiff_t>(rank), entry);
  }
  void Insert(const Entry& entry) {
    const std::uint64_t rank = RankOf(entry);
    const auto place = std::lower_bound(model_.begin(), model_.end(), entry, IsLess);
    ASSERT_EQ(rank, static_cast<std::uint64_t>(place - model_.begin()));
    InsertAt(rank, entry);
  }
  void EraseAt(std::uint64_t rank) {
    ASSERT_EQ(tree_.Erase(rank), model_.at(rank));
    model_.erase(model_.begin() + static_cast<std::ptrdiff_t>(rank));
  }
  [[nodiscard]] std::vector<Entry> Visited(std::uint64_t first, std::uint64_t last, Order order) const {
    std::vector<Entry> found;
    tree_.ForEach(first, last, order, [&](const Entry& entry) {
      found.push_back(entry);
      return true;
    });
    return found;
  }
  void Check() {
    tree_.CheckInvariants();
    ASSERT_EQ(tree_.Size(), model_.size());
    ASSERT_EQ(Visited(0, ~0ULL, Order::kForward), model_);
    std::vector<Entry> backward(model_.rbegin(), model_.rend());
    ASSERT_EQ(Visited(0, ~0ULL, Order::kBackward), backward);
    ASSERT_EQ(tree_.MemoryBytes(), memory_.bytes());
  }

  CountingMemory memory_;
  CountedTree tree_{&memory_};
  std::vector<Entry> model_;
  std::mt19937_64 random_{7};
};

TEST_F(Tree, IsEmptyAtFirst) {
  Check();
  EXPECT_EQ(tree_.CountBefore(5, [](LogAddress) { return true; }), 0U);
  EXPECT_FALSE(tree_.TakeDown([](const Entry&) {}));
  InsertAt(0, {5, LogAddress{8}});
  EXPECT_EQ(tree_.CountBefore(5, [](LogAddress) { return true; }), 1U);
  EXPECT_EQ(tree_.CountBefore(5, [](LogAddress) { return false; }), 0U);
  EXPECT_EQ(tree_.CountBefore(6, [](LogAddress) { return false; }), 1U);
  Check();
  EraseAt(0);
  Check();
}

// Random work, with more or fewer entries that have the same order, while the tree grows and while it shrinks.
class TreeModel : public Tree, public testing::WithParamInterface<std::uint64_t> {};

TEST_P(TreeModel, IsThatOfAVector) {
  const std::uint64_t orders = GetParam();
  std::uint64_t next = 1;
  for (int phase = 0; phase < 6; ++phase) {
    const unsigned erases = phase % 2 == 0 ? 2 : 8;  // of ten steps
    for (int i = 0; i < 20'000; ++i) {
      if (!model_.empty() && random_() % 10 < erases) {
        EraseAt(random_() % model_.size());
      } else {
        Insert({random_() % orders, LogAddress{8 * next++}});
      }
      if (HasFatalFailure()) return;
      if (i % 2000 == 0) Check();
    }
    Check();
    for (int i = 0; i < 300 && !model_.empty(); ++i) {
      const std::uint64_t rank = random_() % model_.size();
      ASSERT_EQ(tree_.At(rank), model_[rank]);
      ASSERT_EQ(RankOf(model_[rank]), rank);
      const std::uint64_t last = rank + random_() % 200;
      const auto end = model_.begin() + static_cast<std::ptrdiff_t>(std::min<std::uint64_t>(last + 1, model_.size()));
      std::vector<Entry> expected(model_.begin() + static_cast<std::ptrdiff_t>(rank), end);
      ASSERT_EQ(Visited(rank, last, Order::kForward), expected);
      std::reverse(expected.begin(), expected.end());
      ASSERT_EQ(Visited(rank, last, Order::kBackward), expected);
    }
    if (HasFatalFailure()) return;
  }
  while (!model_.empty()) EraseAt(random_() % model_.size());
  Check();
  EXPECT_EQ(memory_.bytes(), 0U);
}

INSTANTIATE_TEST_SUITE_P(Orders, TreeModel, testing::Values(1, 3, 100, 1'000'000'000));

// A list that grows at one end, or at both, fills its nodes.
TEST_F(Tree, IsFullWhereItGrowsAtItsEnds) {
  constexpr std::uint64_t kMiddle = 1ULL << 63, kEntries = 200'000;
  for (std::uint64_t i = 0; i < kEntries; ++i) tree_.Insert(tree_.Size(), {kMiddle + i, LogAddress{8 * (i + 1)}});
  tree_.CheckInvariants();
  EXPECT_LT(tree_.MemoryBytes(), kEntries * 18);
  tree_.Clear();
  for (std::uint64_t i = 0; i < kEntries; ++i) tree_.Insert(0, {kMiddle - i, LogAddress{8 * (i + 1)}});
  tree_.CheckInvariants();
  EXPECT_LT(tree_.MemoryBytes(), kEntries * 18);
  EXPECT_EQ(tree_.At(kEntries - 1).order, kMiddle);
}

// Whatever the order in which entries come, a member of a sorted set costs a known number of bytes.
TEST_F(Tree, IsMoreThanHalfFullOtherwise) {
  constexpr std::uint64_t kEntries = 200'000;
  for (std::uint64_t i = 0; i < kEntries; ++i) {
    const std::uint64_t order = random_();
    tree_.Insert(tree_.CountBefore(order, [](LogAddress) { return true; }), {order, LogAddress{8 * (i + 1)}});
  }
  tree_.CheckInvariants();
  EXPECT_LT(tree_.MemoryBytes(), kEntries * 27);
}

TEST_F(Tree, IsAQueue) {
  std::uint64_t next = 1;
  for (int round = 0; round < 20'000; ++round) {
    InsertAt(model_.size(), {next, LogAddress{8 * next}});
    ++next;
    if (model_.size() > 300) EraseAt(0);
  }
  Check();
  while (!model_.empty()) EraseAt(model_.size() - 1);
  Check();
}

TEST_F(Tree, MovesAnEntry) {
  for (std::uint64_t i = 0; i < 1000; ++i) InsertAt(i, {i / 10, LogAddress{8 * (i + 1)}});
  tree_.Move(500, LogAddress{80'000});
  model_[500].at = LogAddress{80'000};
  Check();
}

TEST_F(Tree, IsTakenDownInParts) {
  for (std::uint64_t i = 0; i < 10'000; ++i) InsertAt(i, {i, LogAddress{8 * (i + 1)}});
  std::vector<Entry> dead;
  std::uint64_t parts = 1;
  for (;; ++parts) {
    const std::uint64_t before = dead.size();
    const bool more = tree_.TakeDown([&](const Entry& entry) { dead.push_back(entry); });
    EXPECT_LE(dead.size() - before, 100U);
    tree_.CheckInvariants();
    if (!more) break;
  }
  EXPECT_GT(parts, 100U);
  std::reverse(dead.begin(), dead.end());
  EXPECT_EQ(dead, model_);
  EXPECT_EQ(memory_.bytes(), 0U);
}

TEST_F(Tree, IsTakenBackByItsOwner) {
  for (std::uint64_t i = 0; i < 10'000; ++i) InsertAt(i, {i, LogAddress{8 * (i + 1)}});
  tree_.Clear();
  model_.clear();
  Check();
  EXPECT_EQ(memory_.bytes(), 0U);
}

}  // namespace
}  // namespace faha
