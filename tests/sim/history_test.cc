// The judge of histories, on histories whose verdict is known.
#include "tests/sim/history.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <vector>

namespace faha::sim {
namespace {

constexpr MonoTime kNever = MonoTime::max();

Operation Wrote(Value value, int called, int answered, int key = 0) {
  return {Operation::Kind::kWrite, key, value, MonoTime{called}, answered < 0 ? kNever : MonoTime{answered}};
}
Operation Read(Value value, int called, int answered, int key = 0) {
  return {Operation::Kind::kRead, key, value, MonoTime{called}, MonoTime{answered}};
}
Operation Deleted(int called, int answered) { return Wrote(kAbsent, called, answered); }
bool Good(const History& history) { return !Explain(history); }

TEST(Histories, WhatOneClientDoesAfterTheOther) {
  EXPECT_TRUE(Good({}));
  EXPECT_TRUE(Good({Read(kAbsent, 1, 2), Wrote(1, 3, 4), Read(1, 5, 6), Deleted(7, 8), Read(kAbsent, 9, 10)}));
  EXPECT_FALSE(Good({Wrote(1, 1, 2), Read(kAbsent, 3, 4)})) << "a write that was acknowledged is lost";
  EXPECT_FALSE(Good({Wrote(1, 1, 2), Wrote(2, 3, 4), Read(1, 5, 6)})) << "a stale read";
  EXPECT_FALSE(Good({Wrote(1, 1, 2), Deleted(3, 4), Read(1, 5, 6)})) << "a deleted key is back";
  EXPECT_FALSE(Good({Read(1, 1, 2), Wrote(1, 3, 4)})) << "read before it was written";
  EXPECT_FALSE(Good({Read(9, 1, 2)})) << "nobody wrote that";
}

TEST(Histories, WhatHappensAtTheSameTimeHasAnyOrder) {
  EXPECT_TRUE(Good({Wrote(1, 1, 10), Read(kAbsent, 2, 3), Read(1, 4, 5)}));
  EXPECT_TRUE(Good({Wrote(1, 1, 10), Wrote(2, 2, 9), Read(2, 11, 12)}));
  EXPECT_TRUE(Good({Wrote(1, 1, 10), Wrote(2, 2, 9), Read(1, 11, 12)}));
  EXPECT_FALSE(Good({Wrote(1, 1, 10), Read(1, 2, 3), Read(kAbsent, 4, 5)})) << "it went back";
  EXPECT_FALSE(Good({Wrote(1, 1, 10), Wrote(2, 2, 9), Read(1, 11, 12), Read(2, 13, 14), Read(1, 15, 16)}));
  EXPECT_FALSE(Good({Wrote(1, 1, 20), Wrote(2, 1, 20), Read(1, 2, 3), Read(2, 4, 5), Read(1, 6, 7)}))
      << "no write is done twice";
}

TEST(Histories, WhoseOutcomeIsUnknownMayBeOrNot) {
  EXPECT_TRUE(Good({Wrote(1, 1, 2), Wrote(2, 3, -1), Read(1, 5, 6)}));
  EXPECT_TRUE(Good({Wrote(1, 1, 2), Wrote(2, 3, -1), Read(1, 5, 6), Read(2, 7, 8)})) << "late, but once";
  EXPECT_FALSE(Good({Wrote(1, 1, 2), Wrote(2, 3, -1), Read(2, 5, 6), Read(1, 7, 8)}));
  EXPECT_TRUE(Good({Wrote(1, 1, 2), Deleted(3, -1), Read(1, 5, 6), Read(kAbsent, 7, 8)}));
  EXPECT_FALSE(Good({Wrote(1, 1, 2), Deleted(3, -1), Read(kAbsent, 5, 6), Read(1, 7, 8)}));
  EXPECT_FALSE(Good({Wrote(1, 1, 2), Wrote(2, 3, 4), Deleted(5, -1), Read(1, 7, 8)}));
  EXPECT_FALSE(Good({Wrote(2, 10, -1), Read(2, 5, 6)})) << "read before it was called";
}

TEST(Histories, KeysAreJudgedEachByItself) {
  EXPECT_TRUE(Good({Wrote(1, 1, 2, 1), Read(kAbsent, 3, 4, 2)}));
  const auto wrong = Explain({Wrote(1, 1, 2, 7), Read(kAbsent, 3, 4, 7), Wrote(2, 1, 2, 8), Read(2, 3, 4, 8)});
  ASSERT_TRUE(wrong.has_value());
  EXPECT_NE(wrong->find("key 7"), std::string::npos) << *wrong;
}

// By definition: is there an order, any at all, that explains the history?
bool ExplainedBySomeOrder(const History& history) {
  std::vector<std::size_t> order(history.size());
  std::iota(order.begin(), order.end(), 0);
  do {
    // From some place on, operations of unknown outcome did not happen; so at each place, all that follow may be such.
    Value value = kAbsent;
    std::size_t i = 0;
    const auto fits = [&](std::size_t at) {
      const Operation& op = history[order[at]];
      for (std::size_t later = at + 1; later < order.size(); ++later) {
        if (history[order[later]].answered < op.called) return false;
      }
      return op.kind == Operation::Kind::kWrite || op.value == value;
    };
    while (i < order.size() && fits(i)) value = history[order[i++]].value;
    const auto rest = [&](std::size_t index) { return history[index].answered == kNever; };
    if (std::all_of(order.begin() + static_cast<std::ptrdiff_t>(i), order.end(), rest)) return true;
  } while (std::next_permutation(order.begin(), order.end()));
  return false;
}

TEST(Histories, TheVerdictIsTheDefinitions) {
  int good = 0, bad = 0;
  for (std::uint64_t seed = 0; seed < 4000; ++seed) {
    std::mt19937_64 random(seed);
    History history;
    for (Value i = 1; i <= 6; ++i) {
      const int called = static_cast<int>(random() % 20), answered = called + 1 + static_cast<int>(random() % 8);
      const auto dice = random() % 8;
      if (dice < 4) {
        history.push_back(Read(static_cast<Value>(random() % 7), called, answered));
      } else {
        history.push_back(Wrote(dice == 7 ? kAbsent : i, called, random() % 4 == 0 ? -1 : answered));
      }
    }
    const bool expected = ExplainedBySomeOrder(history);
    EXPECT_EQ(Good(history), expected) << "seed " << seed;
    (expected ? good : bad) += 1;
  }
  EXPECT_GT(good, 200);
  EXPECT_GT(bad, 200);
}

}  // namespace
}  // namespace faha::sim
