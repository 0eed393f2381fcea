// A pool whose file or device cannot be read any more.  A file that is cut short below its mapping raises the same
// signal as a device that fails.
#include "pmem/bus_guard.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "pmem/pool_media.h"

namespace faha {
namespace {

constexpr std::uint64_t kSize = 1 << 20, kHalf = kSize / 2, kPage = 4096;

class UnreadablePool : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "faha-media-XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
    path_ = folder_ / "pool";
    auto opened = OpenMedia({path_, kSize, GetParam()});
    ASSERT_TRUE(opened.ok()) << opened.status().ToString();
    media_ = std::move(opened.value());
    ASSERT_TRUE(media_->Write(0, std::vector<std::byte>(kSize, std::byte{'x'})).ok());
    ASSERT_TRUE(media_->Drain().ok());
  }
  void TearDown() override {
    media_.reset();
    std::filesystem::remove_all(folder_);
  }
  [[nodiscard]] char At(std::uint64_t offset) const { return static_cast<char>(media_->bytes()[offset]); }
  void CutTo(std::uint64_t bytes) const { ASSERT_EQ(truncate(path_.c_str(), static_cast<off_t>(bytes)), 0); }
  // As the device, with the sectors that were cut, but not what they held, is there again.
  void GiveBack() const { CutTo(kSize); }

  std::filesystem::path folder_, path_;
  std::unique_ptr<Media> media_;
};

INSTANTIATE_TEST_SUITE_P(Domains, UnreadablePool, testing::Values("page", "volatile", "cacheline"),
                         [](const auto& test) { return std::string(test.param); });

TEST_P(UnreadablePool, ReadsAsZerosAndIsKnownToBeBad) {
  EXPECT_TRUE(media_->Health().ok());
  CutTo(kHalf);
  EXPECT_TRUE(media_->Health().ok()) << "nobody has looked yet";
  EXPECT_EQ(At(kHalf - 1), 'x');
  EXPECT_EQ(At(kHalf + 5), '\0');
  EXPECT_EQ(At(kHalf + kPage + 5), '\0');
  EXPECT_EQ(At(kHalf + 9 * kPage), '\0');
  const Status health = media_->Health();
  EXPECT_EQ(health.code(), Code::kIoError);
  EXPECT_NE(health.message().find("cannot be read at byte 524288 (12288 bytes in 2 places so far)"), std::string::npos)
      << health.message();
  const auto ranges = media_->Unreadable();
  ASSERT_EQ(ranges.size(), 2U);
  EXPECT_EQ(ranges[0].offset, kHalf);
  EXPECT_EQ(ranges[0].bytes, 2 * kPage);
  EXPECT_EQ(ranges[1].offset, kHalf + 9 * kPage);
  EXPECT_EQ(media_->Write(kHalf + 100, std::vector<std::byte>(8)).code(), Code::kIoError) << "it would be lost";
}

TEST_P(UnreadablePool, NeitherGrowsAgainByAWriteNorTakesIt) {
  CutTo(kHalf);
  EXPECT_EQ(media_->Write(kHalf + kPage, std::vector<std::byte>(8)).code(), Code::kIoError);
  EXPECT_EQ(media_->Drain().code(), Code::kIoError);
  EXPECT_EQ(std::filesystem::file_size(path_), kHalf) << "what was cut would read as zeros, and nobody would know";
}

TEST_P(UnreadablePool, IsReadByManyThreadsAtOnce) {
  CutTo(0);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      const auto bytes = media_->bytes();
      EXPECT_TRUE(std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; }));
    });
  }
  for (std::thread& thread : threads) thread.join();
  ASSERT_EQ(media_->Unreadable().size(), 1U);
  EXPECT_EQ(media_->Unreadable()[0].bytes, kSize);
}

TEST_P(UnreadablePool, IsUsableAgainOnceWhatCannotBeReadIsDropped) {
  CutTo(kHalf);
  EXPECT_EQ(At(kSize - 1), '\0');
  GiveBack();
  EXPECT_FALSE(media_->Health().ok()) << "what was read before is not forgotten";
  ASSERT_TRUE(media_->DropUnreadable().ok()) << media_->DropUnreadable().ToString();
  EXPECT_TRUE(media_->Health().ok());
  EXPECT_TRUE(media_->Unreadable().empty());
  EXPECT_EQ(At(0), 'x');
  ASSERT_TRUE(media_->Write(kSize - 4, std::as_bytes(std::span("new", 4))).ok());
  ASSERT_TRUE(media_->Drain().ok());
  EXPECT_EQ(At(kSize - 4), 'n');
  media_.reset();
  auto again = OpenMediaReadOnly(path_);
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(std::memcmp(again.value()->bytes().data() + kSize - 4, "new", 4), 0);
}

TEST_P(UnreadablePool, IsKnownToWhoOnlyLooks) {
  media_.reset();
  auto looked = OpenMediaReadOnly(path_);
  ASSERT_TRUE(looked.ok());
  CutTo(kHalf);
  EXPECT_EQ(looked.value()->bytes()[kSize - 1], std::byte{0});
  EXPECT_EQ(looked.value()->Health().code(), Code::kIoError);
  EXPECT_EQ(looked.value()->Unreadable().size(), 1U);
}

// A server's own crash handler, which ends the process with a word on it.
void TheirHandler(int, siginfo_t*, void*) { _exit(42); }
void SetTheirHandler() {
  struct sigaction theirs {};
  theirs.sa_sigaction = TheirHandler;
  theirs.sa_flags = SA_SIGINFO | SA_RESETHAND;
  sigaction(SIGBUS, &theirs, nullptr);
}

bool IsTheirs() {
  struct sigaction now {};
  sigaction(SIGBUS, nullptr, &now);
  return (now.sa_flags & SA_SIGINFO) != 0 && now.sa_sigaction == TheirHandler;
}

// A mapping of a file that ends before it: every touch raises SIGBUS.
volatile char* ForeignMapping(const std::filesystem::path& folder) {
  const int fd = open((folder / "foreign").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  return static_cast<volatile char*>(mmap(nullptr, kPage, PROT_READ, MAP_SHARED, fd, 0));
}

// How the process ends that runs this: an exit code, or minus a signal.
template <typename Run>
int EndOf(Run run) {
  const pid_t child = fork();
  if (child == 0) {
    run();
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

TEST_P(UnreadablePool, WhatIsNotThePoolEndsTheProcessAsItDid) {
  EXPECT_EQ(EndOf([&] { (void)*ForeignMapping(folder_); }), -SIGBUS);
  EXPECT_EQ(EndOf([] { raise(SIGBUS); }), -SIGBUS) << "sent, not met";
  EXPECT_EQ(EndOf([&] {
              SetTheirHandler();
              const auto opened = OpenMedia({folder_ / "other", kSize, GetParam()});  // looks who is there
              (void)*ForeignMapping(folder_);
            }),
            42);
}

// redis-server does so upon CONFIG SET crash-log-enabled.
TEST_P(UnreadablePool, AHandlerThatIsSetLaterGetsItsOwnAndNotThePools) {
  EXPECT_EQ(EndOf([&] {
              (void)media_->Health();
              SetTheirHandler();
              while (IsTheirs()) (void)media_->Health();
              CutTo(0);
              if (At(0) != '\0' || media_->Health().ok()) _exit(2);
              (void)*ForeignMapping(folder_);
            }),
            42);
}

}  // namespace
}  // namespace faha
