// The real medium: creation, locking, draining, growth, errors.
#include "pmem/pool_media.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace {
int fdatasyncs = 0;
int fdatasync_error = 0, pwrite_error = 0;  // what the next call fails with; 0: it does not

bool FailsNow(int& error) {
  errno = std::exchange(error, 0);
  return errno != 0;
}
}  // namespace

// These stand before the C library's, and do what those do unless they are told to fail.
extern "C" int fdatasync(int fd) {
  ++fdatasyncs;
  return FailsNow(fdatasync_error) ? -1 : static_cast<int>(syscall(SYS_fdatasync, fd));
}
extern "C" ssize_t pwrite(int fd, const void* data, size_t size, off_t offset) {
  return FailsNow(pwrite_error) ? -1 : syscall(SYS_pwrite64, fd, data, size, offset);
}

namespace faha {
namespace {

class PoolMediaTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "faha-media-XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  [[nodiscard]] std::string Path() const { return (folder_ / "pool").string(); }
  std::filesystem::path folder_;
};

std::span<const std::byte> Bytes(const char* text) { return std::as_bytes(std::span(text, std::strlen(text))); }

TEST_F(PoolMediaTest, WritesAreReadableAtOnceAndAfterwardsInEveryDomain) {
  for (const char* domain : {"auto", "volatile", "page", "cacheline", "cpu_cache"}) {
    {
      auto media = OpenMedia({Path(), 1 << 20, domain});
      ASSERT_TRUE(media.ok()) << media.status().ToString();
      EXPECT_EQ(media.value()->bytes().size(), 1U << 20);
      ASSERT_TRUE(media.value()->Write(4096, Bytes(domain)).ok());
      EXPECT_EQ(std::memcmp(media.value()->bytes().data() + 4096, domain, std::strlen(domain)), 0);
      EXPECT_TRUE(media.value()->Drain().ok());
    }
    auto media = OpenMedia({Path(), 0, domain});
    ASSERT_TRUE(media.ok());
    EXPECT_EQ(std::memcmp(media.value()->bytes().data() + 4096, domain, std::strlen(domain)), 0);
  }
}

// Is `run` true in another process?
template <typename Run>
bool InChild(Run run) {
  const pid_t child = fork();
  if (child == 0) _exit(run() ? 0 : 1);
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

TEST_F(PoolMediaTest, ManyMayLookButNobodyWritesMeanwhile) {
  {
    auto media = OpenMedia({Path(), 1 << 20, "auto"});
    ASSERT_TRUE(media.ok());
    ASSERT_TRUE(media.value()->Write(5, Bytes("text")).ok());
    EXPECT_TRUE(InChild([&] { return OpenMediaReadOnly(Path()).status().code() == Code::kPoolInUse; }));
  }
  std::filesystem::permissions(Path(), std::filesystem::perms::owner_read);
  auto media = OpenMediaReadOnly(Path());
  ASSERT_TRUE(media.ok()) << media.status().ToString();
  ASSERT_EQ(media.value()->bytes().size(), 1U << 20);
  EXPECT_EQ(std::memcmp(media.value()->bytes().data() + 5, "text", 4), 0);
  EXPECT_EQ(media.value()->Write(5, Bytes("TEXT")).code(), Code::kIoError);
  EXPECT_EQ(std::memcmp(media.value()->bytes().data() + 5, "text", 4), 0);
  EXPECT_TRUE(InChild([&] { return OpenMediaReadOnly(Path()).ok(); }));
  std::filesystem::permissions(Path(), std::filesystem::perms::owner_all);
  EXPECT_TRUE(InChild([&] { return OpenMedia({Path(), 0, "auto"}).status().code() == Code::kPoolInUse; }));
  media.value().reset();
  EXPECT_TRUE(InChild([&] { return OpenMedia({Path(), 0, "auto"}).ok(); }));
}

TEST_F(PoolMediaTest, AnotherProcessCannotOpenItButAForkedChildDoesNotHoldIt) {
  auto media = OpenMedia({Path(), 1 << 20, "auto"});
  ASSERT_TRUE(media.ok());
  EXPECT_TRUE(InChild([&] {
    const auto second = OpenMedia({Path(), 1 << 20, "auto"});
    return second.status().code() == Code::kPoolInUse &&
           second.status().message().find(std::to_string(getppid())) != std::string::npos;
  }));
  int pipes[2];
  ASSERT_EQ(pipe(pipes), 0);
  const pid_t idler = fork();
  if (idler == 0) {
    char byte = 0;
    (void)!read(pipes[0], &byte, 1);
    _exit(0);
  }
  media.value().reset();
  EXPECT_TRUE(InChild([&] { return OpenMedia({Path(), 0, "auto"}).ok(); }));
  (void)!write(pipes[1], "x", 1);
  waitpid(idler, nullptr, 0);
}

TEST_F(PoolMediaTest, AFileSystemThatIsTooSmallLeavesNothingBehind) {
  const auto media = OpenMedia({Path(), 1ULL << 60, "auto"});
  ASSERT_FALSE(media.ok());
  EXPECT_EQ(media.status().code(), Code::kNoSpace) << media.status().ToString();
  EXPECT_TRUE(std::filesystem::is_empty(folder_));
}

TEST_F(PoolMediaTest, AFileIsSyncedOncePerDrainAndOnlyAfterAWrite) {
  auto media = OpenMedia({Path(), 1 << 20, "page"});
  ASSERT_TRUE(media.ok());
  fdatasyncs = 0;
  ASSERT_TRUE(media.value()->Drain().ok());
  EXPECT_EQ(fdatasyncs, 1) << "what a process before this one left may not be durable";
  ASSERT_TRUE(media.value()->Drain().ok());
  EXPECT_EQ(fdatasyncs, 1);
  for (std::uint64_t i = 0; i < 10; ++i) ASSERT_TRUE(media.value()->Write(i * 4096, Bytes("x")).ok());
  ASSERT_TRUE(media.value()->Drain().ok());
  ASSERT_TRUE(media.value()->Drain().ok());
  EXPECT_EQ(fdatasyncs, 2);
  media.value()->Landed(0, 1);
  ASSERT_TRUE(media.value()->Drain().ok());
  EXPECT_EQ(fdatasyncs, 3);
}

// Once a write or a sync has failed the system tells of it no more, and what is on the medium is unknown.
TEST_F(PoolMediaTest, WhateverAWriteOrASyncFailsWithItIsAnIoErrorAndStaysOne) {
  for (const int error : {ENOSPC, EDQUOT, EFBIG, EIO}) {
    for (int* call : {&pwrite_error, &fdatasync_error}) {
      auto media = OpenMedia({Path(), 1 << 20, "page"});
      ASSERT_TRUE(media.ok()) << media.status().ToString();
      *call = error;
      const Status written = media.value()->Write(4096, Bytes("text"));
      const Status drained = media.value()->Drain();
      EXPECT_EQ(written.ok(), call != &pwrite_error);
      EXPECT_EQ(drained.code(), Code::kIoError);
      EXPECT_NE(drained.message().find(std::strerror(error)), std::string::npos) << drained.message();
      EXPECT_EQ(media.value()->Write(4096, Bytes("text")).ToString(), drained.ToString());
      EXPECT_EQ(media.value()->Drain().ToString(), drained.ToString());
    }
  }
}

TEST_F(PoolMediaTest, AFileSizeLimitIsAnErrorAndNotTheEndOfTheProcess) {
  ASSERT_TRUE(OpenMedia({Path(), 1 << 20, "page"}).ok());
  EXPECT_TRUE(InChild([&] {
    auto media = OpenMedia({Path(), 0, "page"});
    const rlimit limit{64 << 10, RLIM_INFINITY};
    if (!media.ok() || setrlimit(RLIMIT_FSIZE, &limit) != 0) return false;
    return media.value()->Write(0, Bytes("below")).ok() &&
           media.value()->Write(512 << 10, Bytes("beyond")).code() == Code::kIoError;
  }));
}

std::uint64_t BlocksOf(const std::string& path) {
  struct stat info {};
  EXPECT_EQ(stat(path.c_str(), &info), 0);
  return static_cast<std::uint64_t>(info.st_blocks) * 512;
}

// As some ways to copy a file leave it.
TEST_F(PoolMediaTest, ASparseFileIsGivenItsBlocksAsItIsOpened) {
  const int fd = open(Path().c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  ASSERT_EQ(ftruncate(fd, 1 << 20), 0);
  ASSERT_EQ(pwrite(fd, "text", 4, 4096), 4);
  close(fd);
  ASSERT_LT(BlocksOf(Path()), 1U << 20);
  const auto media = OpenMedia({Path(), 0, "page"});
  ASSERT_TRUE(media.ok()) << media.status().ToString();
  EXPECT_GE(BlocksOf(Path()), 1U << 20);
  EXPECT_EQ(media.value()->bytes().size(), 1U << 20);
  EXPECT_EQ(std::memcmp(media.value()->bytes().data() + 4096, "text\0", 5), 0);
}

TEST_F(PoolMediaTest, GrowsWithoutLosingAByteAndNeverShrinks) {
  auto media = OpenMedia({Path(), 1 << 20, "page"});
  ASSERT_TRUE(media.ok());
  ASSERT_TRUE(media.value()->Write((1 << 20) - 4, Bytes("last")).ok());
  ASSERT_TRUE(media.value()->Grow(3 << 20).ok());
  EXPECT_EQ(media.value()->bytes().size(), 3U << 20);
  EXPECT_EQ(std::memcmp(media.value()->bytes().data() + (1 << 20) - 4, "last\0\0", 6), 0);
  ASSERT_TRUE(media.value()->Write((3 << 20) - 3, Bytes("new")).ok());
  EXPECT_EQ(std::memcmp(media.value()->bytes().data() + (3 << 20) - 3, "new", 3), 0);
  ASSERT_TRUE(media.value()->Grow(2 << 20).ok());
  EXPECT_EQ(media.value()->bytes().size(), 3U << 20);
  EXPECT_EQ(std::filesystem::file_size(Path()), 3U << 20);

  EXPECT_EQ(media.value()->Grow(1ULL << 60).code(), Code::kNoSpace);
  EXPECT_EQ(std::filesystem::file_size(Path()), 3U << 20) << "as it was";
  ASSERT_TRUE(media.value()->Write(0, Bytes("usable")).ok());
}

// What the log says when a pool is opened as `domain`.
std::vector<std::pair<LogLevel, std::string>> SaidFor(const std::string& path, const std::string& domain) {
  std::vector<std::pair<LogLevel, std::string>> said;
  auto media = OpenMedia(
      {path, 1 << 20, domain, [&](LogLevel level, std::string_view line) { said.emplace_back(level, line); }});
  EXPECT_TRUE(media.ok());
  return said;
}

TEST_F(PoolMediaTest, AnOverrideThatPromisesMoreThanWasFoundIsAWarning) {
  const auto detected = SaidFor(Path(), "auto");
  ASSERT_EQ(detected.size(), 1U);
  EXPECT_EQ(detected[0].first, LogLevel::kNotice);
  const bool memory = detected[0].second.find(" is volatile (") != std::string::npos;
  ASSERT_TRUE(memory || detected[0].second.find(" is page (") != std::string::npos) << detected[0].second;
  for (const auto& [domain, more] : {std::pair{"volatile", false}, {"page", memory}, {"cacheline", true}}) {
    const auto said = SaidFor(Path(), domain);
    ASSERT_EQ(said.size(), 1U) << domain;
    EXPECT_EQ(said[0].first == LogLevel::kWarning, more) << said[0].second;
    EXPECT_EQ(said[0].second.find("power failure loses") != std::string::npos, more) << said[0].second;
  }
}

TEST_F(PoolMediaTest, ADeviceThatIsNoDeviceDaxIsRefused) {
  const Status status = OpenMedia({"/dev/zero", 1 << 20, "auto"}).status();
  EXPECT_EQ(status.code(), Code::kIoError);
  EXPECT_NE(status.message().find("neither a file nor a device DAX"), std::string::npos) << status.message();
}

TEST_F(PoolMediaTest, BadOptionsAndPathsAreErrors) {
  EXPECT_EQ(OpenMedia({Path(), 1 << 20, "maybe"}).status().code(), Code::kBadConfig);
  EXPECT_EQ(OpenMedia({Path(), 0, "auto"}).status().code(), Code::kIoError);
  EXPECT_EQ(OpenMedia({(folder_ / "no" / "pool").string(), 1 << 20, "auto"}).status().code(), Code::kIoError);
  EXPECT_EQ(OpenMediaReadOnly(Path()).status().code(), Code::kIoError);
  EXPECT_EQ(OpenMediaReadOnly(folder_).status().code(), Code::kIoError);
}

}  // namespace
}  // namespace faha
