// The real medium: creation, locking, errors.
#include "pmem/pool_media.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>

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

TEST_F(PoolMediaTest, BadOptionsAndPathsAreErrors) {
  EXPECT_EQ(OpenMedia({Path(), 1 << 20, "maybe"}).status().code(), Code::kBadConfig);
  EXPECT_EQ(OpenMedia({Path(), 0, "auto"}).status().code(), Code::kIoError);
  EXPECT_EQ(OpenMedia({(folder_ / "no" / "pool").string(), 1 << 20, "auto"}).status().code(), Code::kIoError);
  EXPECT_EQ(OpenMediaReadOnly(Path()).status().code(), Code::kIoError);
  EXPECT_EQ(OpenMediaReadOnly(folder_).status().code(), Code::kIoError);
}

}  // namespace
}  // namespace faha
