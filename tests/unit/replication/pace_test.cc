// When a receiver that catches up is sent more.
#include "replication/pace.h"

#include <gtest/gtest.h>

namespace faha {
namespace {

constexpr MonoTime kStep{100};
constexpr std::uint64_t kSlice = 1000;

// A receiver that acknowledges each slice after a millisecond, while the log grows by `growth` bytes at each step.
struct Rehearsal {
  std::uint64_t sent = 0, grown = 0;
  int steps = 0, under_way = 0;

  Rehearsal(bool busy, std::uint64_t growth, int for_steps) {
    Pace pace;
    MonoTime acknowledged{0};
    for (MonoTime now{0}; steps < for_steps; ++steps, now += kStep, grown += growth) {
      if (now >= acknowledged && pace.MaySend(now, busy, sent, grown)) {
        sent += kSlice;
        acknowledged = now + std::chrono::milliseconds(1);
      } else if (now < acknowledged) {
        (void)pace.MaySend(now, busy, sent, grown);
      }
      pace.UnderWay(now < acknowledged);
      under_way += now < acknowledged ? 1 : 0;
    }
  }
};

TEST(Pace, WithoutClientsTheWayIsAlwaysInUse) {
  const Rehearsal run(false, 0, 3000);
  EXPECT_EQ(run.under_way, run.steps);
}

TEST(Pace, WhileClientsAreServedItIsInUseAThirdOfTheTime) {
  const Rehearsal run(true, 0, 3000);
  EXPECT_NEAR(run.under_way, run.steps / 3, run.steps / 100);
}

// Paced alone it would be sent 33 bytes a step.
TEST(Pace, WhoCatchesUpArrivesHoweverFastTheLogGrows) {
  const Rehearsal run(true, 40, 3000);
  EXPECT_GE(run.sent + kSlice, 2 * run.grown);
  EXPECT_LT(run.under_way, run.steps);
}

// What was saved up while nothing could be sent is no licence for more than a moment.
TEST(Pace, AQuietTimeIsForgotten) {
  Pace pace;
  EXPECT_TRUE(pace.MaySend(MonoTime{0}, true, 0, 0));
  EXPECT_TRUE(pace.MaySend(std::chrono::seconds(10), true, 0, 0));
  pace.UnderWay(true);
  EXPECT_FALSE(pace.MaySend(std::chrono::seconds(10) + std::chrono::milliseconds(11), true, 0, 0));
}

}  // namespace
}  // namespace faha
