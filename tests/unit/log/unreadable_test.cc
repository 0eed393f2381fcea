// A pool of which a part cannot be read, and so reads as zeros.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "log/log.h"
#include "log/scan.h"
#include "tests/fakes/crash_media.h"

namespace faha {
namespace {

constexpr std::uint64_t kSegment = 1ULL << 20, kPage = 4096;
constexpr std::size_t kDisk = format::kDataOffset + 8 * kSegment;
using Disk = std::shared_ptr<CrashDisk>;

Result<std::unique_ptr<Pool>> OpenPool(const Disk& disk) {
  return Pool::Open(std::make_unique<CrashMedia>(disk, 64), kSegment);
}

// A pool with three batches of a page each and one that is not whole, and the log on it.
struct Written {
  Disk disk = std::make_shared<CrashDisk>(kDisk);
  std::unique_ptr<Pool> pool = std::move(OpenPool(disk).value());
  std::unique_ptr<Log> log = std::move(Log::Open(pool.get(), {}).value());
  Written() {
    log->SetEpoch(Epoch{1});
    for (int i = 0; i < 3; ++i) {
      Put();
      EXPECT_TRUE(log->Seal().ok() && log->Drain().ok());
    }
  }
  void Put() const {
    EXPECT_TRUE(log->Append({.key = "key", .value = std::string(kPage - 200, 'v')}).ok());
    log->EndUnit();
  }
};

TEST(Unreadable, WhatWasMadeOfItIsNoBatch) {
  Written written;
  written.Put();
  written.disk->MakeUnreadable(format::kDataOffset);
  const LogEnd end = written.log->end();
  const std::uint64_t writes = written.disk->writes;
  EXPECT_EQ(written.log->Seal().code(), Code::kIoError);
  EXPECT_EQ(written.log->end(), end);
  EXPECT_EQ(written.disk->writes, writes);
}

TEST(Unreadable, WhereverItIsInTheLogThatIsReportedAsDamageAndNothingIsChanged) {
  for (std::uint64_t page = 0; page < 4; ++page) {
    Written written;
    written.disk->MakeUnreadable(format::kDataOffset + page * kPage);
    const std::uint64_t writes = written.disk->writes;
    auto pool = OpenPool(written.disk);
    ASSERT_TRUE(pool.ok());
    const Status status = Log::Open(pool.value().get(), {}).status();
    EXPECT_EQ(status.code(), Code::kCorrupt);
    EXPECT_THAT(status.message(), testing::HasSubstr("cannot be read"));
    EXPECT_EQ(written.disk->writes, writes);
  }
}

// All of it looks as if it had never been used.
TEST(Unreadable, APoolIsNotTakenForANewOne) {
  Written written;
  for (std::uint64_t offset = 0; offset < kDisk; offset += kPage) written.disk->MakeUnreadable(offset);
  const std::uint64_t writes = written.disk->writes;
  const Status status = OpenPool(written.disk).status();
  EXPECT_EQ(status.code(), Code::kIoError) << status.ToString();
  EXPECT_EQ(Pool::Inspect(std::make_unique<CrashMedia>(written.disk, 64)).status().code(), Code::kIoError);
  EXPECT_EQ(written.disk->writes, writes);
}

TEST(Unreadable, AnInstallWritesItAnew) {
  Written written;
  written.disk->MakeUnreadable(format::kDataOffset);
  ASSERT_TRUE(written.pool->BeginInstall(Endpoint{}, LogEnd{}).ok());
  EXPECT_TRUE(written.pool->Readable());
  written.log->Reset();
  EXPECT_TRUE(written.log->CutAfter(Lsn{}).ok());
}

TEST(Unreadable, ALogThatIsCutEndsInAnErrorAndNoCheck) {
  Written written;
  written.disk->MakeUnreadable(format::kDataOffset);
  EXPECT_EQ(written.log->CutAfter(Lsn{1}).code(), Code::kIoError);
}

}  // namespace
}  // namespace faha
