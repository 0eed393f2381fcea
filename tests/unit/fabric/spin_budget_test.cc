// When a wait looks before it sleeps.
#include "fabric/spin_budget.h"

#include <gtest/gtest.h>

namespace faha {
namespace {

constexpr std::chrono::microseconds kLimit{50};

// How many of `waits` waits look, if every `hit_every`th look finds something (0: none does).
int Looks(SpinBudget& budget, int waits, int hit_every) {
  int looks = 0;
  for (int i = 0; i < waits; ++i) {
    const auto allowed = budget.Next(kLimit);
    EXPECT_TRUE(allowed == kLimit || allowed.count() == 0);
    if (allowed.count() == 0) continue;
    ++looks;
    budget.Looked(hit_every != 0 && looks % hit_every == 0);
  }
  return looks;
}

TEST(SpinBudget, LooksWhileLookingFinds) {
  SpinBudget budget;
  EXPECT_EQ(Looks(budget, 1000, 1), 1000);
}

TEST(SpinBudget, HardlyLooksWhereNothingIsFoundAndComesBackWhereItIs) {
  SpinBudget budget;
  (void)Looks(budget, 1000, 0);
  EXPECT_LT(Looks(budget, 1000, 0), 50);
  EXPECT_GT(Looks(budget, 1000, 0), 0) << "it must go on trying";
  EXPECT_GT(Looks(budget, 1000, 1), 900);
}

TEST(SpinBudget, AFindInFourIsNotEnough) {
  SpinBudget budget;
  (void)Looks(budget, 1000, 4);
  EXPECT_LT(Looks(budget, 1000, 4), 200);
}

TEST(SpinBudget, NothingIsAllowedWhereTheLimitIsNothing) {
  SpinBudget budget;
  EXPECT_EQ(budget.Next(std::chrono::microseconds{0}).count(), 0);
}

}  // namespace
}  // namespace faha
