// Complaints of others do not fill the log, and do not stay away for ever.
#include "store/complaints.h"

#include <gtest/gtest.h>

#include <string>

namespace faha {
namespace {

using namespace std::chrono_literals;

TEST(Complaints, TheSameOneIsWrittenOnceAMinute) {
  Complaints complaints;
  EXPECT_TRUE(complaints.Admit("a", 5s));
  EXPECT_FALSE(complaints.Admit("a", 5s));
  EXPECT_TRUE(complaints.Admit("b", 6s));
  EXPECT_FALSE(complaints.Admit("a", 64s)) << "also after another one";
  EXPECT_TRUE(complaints.Admit("a", 65s));
  EXPECT_EQ(complaints.TakeLeftOut(), 0U) << "what was written once is not missing";
}

TEST(Complaints, DifferentOnesAreFewAndCounted) {
  Complaints complaints;
  std::size_t written = 0;
  for (int i = 0; i < 1000; ++i) written += complaints.Admit(std::to_string(i), 1s) ? 1 : 0;
  EXPECT_EQ(written, Complaints::kMost);
  EXPECT_TRUE(complaints.Admit("later", 61s));
  EXPECT_EQ(complaints.TakeLeftOut(), 1000 - Complaints::kMost);
  EXPECT_EQ(complaints.TakeLeftOut(), 0U);
}

}  // namespace
}  // namespace faha
