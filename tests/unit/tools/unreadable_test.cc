// faha-check on a medium of which a part cannot be read.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "tests/unit/tools/image.h"
#include "tools/extract.h"
#include "tools/replay.h"
#include "tools/survey.h"

namespace faha {
namespace {

class UnreadableTest : public testing::Test {
 protected:
  // Each key is alone in a batch, which begins two pages behind the one before.
  UnreadableTest() {
    for (const char* key : {"first", "second", "third"}) {
      node_.Put(0, key, std::string(6000, 'v'));
      node_.Seal();
    }
    std::string name = (std::filesystem::temp_directory_path() / "faha-check-XXXXXX").string();
    EXPECT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  ~UnreadableTest() override { std::filesystem::remove_all(folder_); }
  void LosePageOf(Lsn lsn) const { node_.disk->MakeUnreadable(node_.At(lsn).value + 4096); }

  Writer node_;
  std::filesystem::path folder_;
};

TEST_F(UnreadableTest, IsNamedAndTheRestIsSaved) {
  LosePageOf(Lsn{2});
  auto pool = Pool::Inspect(std::make_unique<CrashMedia>(node_.disk, 64));
  ASSERT_TRUE(pool.ok());
  const Survey survey = SurveyPool(**pool, {});
  EXPECT_EQ(survey.grade(), Grade::kDamaged);
  std::string lines;
  for (const Finding& finding : survey.findings) lines += finding.line + "\n";
  EXPECT_THAT(lines, testing::ContainsRegex("4096 bytes of the pool from byte [0-9]+ on cannot be read and count as "
                                            "zeros .segment 0."));
  Replay replay(pool->get(), &survey);
  replay.Run();
  const auto saved = Extract(**pool, survey, replay, folder_ / "keys");
  ASSERT_TRUE(saved.ok()) << saved.status().ToString();
  std::ifstream file(folder_ / "keys", std::ios::binary);
  const Keys keys = Load(std::string{std::istreambuf_iterator<char>(file), {}});
  EXPECT_TRUE(keys.contains({0, "first"}) && keys.contains({0, "third"}));
  EXPECT_FALSE(keys.contains({0, "second"}));
}

TEST_F(UnreadableTest, WhatFailsLaterEndsTheWorkWithoutAFile) {
  auto pool = Pool::Inspect(std::make_unique<CrashMedia>(node_.disk, 64));
  ASSERT_TRUE(pool.ok());
  const Survey survey = SurveyPool(**pool, {});
  EXPECT_EQ(survey.grade(), Grade::kClean);
  Replay replay(pool->get(), &survey);
  replay.Run();
  LosePageOf(Lsn{2});
  EXPECT_EQ(Extract(**pool, survey, replay, folder_ / "keys").status().code(), Code::kIoError);
  EXPECT_TRUE(std::filesystem::is_empty(folder_));
}

}  // namespace
}  // namespace faha
