// Dumps as they stand on the disk: byte for byte, and whole or not at all.
#include "module/rdb_writer.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "module/rdb_value.h"

namespace faha::module {
namespace {

using namespace std::string_literals;

class Dump : public testing::Test {
 protected:
  Dump() {
    std::string name = testing::TempDir() + "faha-rdb-XXXXXX";
    folder_ = mkdtemp(name.data());
  }
  ~Dump() override { std::filesystem::remove_all(folder_); }

  [[nodiscard]] std::string Path() const { return folder_ + "/dump.rdb"; }
  [[nodiscard]] std::string Read() const {
    std::ostringstream text;
    text << std::ifstream(Path(), std::ios::binary).rdbuf();
    return text.str();
  }
  // What stands between the magic and the end.
  [[nodiscard]] std::string Body() const {
    const std::string file = Read();
    EXPECT_GE(file.size(), 18U);
    EXPECT_EQ(file.substr(0, 9), "REDIS0010");
    const std::string sum = file.substr(file.size() - 8);
    std::uint64_t crc = 0;
    std::memcpy(&crc, sum.data(), sizeof crc);
    EXPECT_EQ(crc, Crc64(0, file.substr(0, file.size() - 8)));
    EXPECT_EQ(file[file.size() - 9], '\xff');
    return file.substr(9, file.size() - 18);
  }
  [[nodiscard]] std::vector<std::string> Files() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder_)) names.push_back(entry.path().filename());
    return names;
  }

  std::string folder_;
};

TEST(Crc64, IsThatOfJones) {
  EXPECT_EQ(Crc64(0, "123456789"), 0xe9c6d914c4b8d9caU);
  // In pieces of any size it is the same.
  std::string text;
  for (int i = 0; i < 1000; ++i) text += static_cast<char>(i * 7);
  for (std::size_t cut = 0; cut <= 64; ++cut) {
    EXPECT_EQ(Crc64(Crc64(0, text.substr(0, cut)), text.substr(cut)), Crc64(0, text));
  }
}

TEST_F(Dump, HoldsWhatWasPut) {
  RdbWriter dump(Path());
  ASSERT_TRUE(dump.Create().ok());
  EXPECT_TRUE(dump.Aux("name", "value").ok());
  EXPECT_TRUE(dump.Functions("\xf5\x03lib").ok());
  EXPECT_TRUE(dump.Expect(0, 2, 1).ok());
  EXPECT_TRUE(dump.Put(0, "k", {"v"}).ok());
  EXPECT_TRUE(dump.Put(0, "", {"", 0x0102030405060708}).ok());
  EXPECT_TRUE(dump.Put(700, "k", {"w"}).ok());
  EXPECT_TRUE(dump.Put(0, "l", {"x"}).ok());
  ASSERT_TRUE(dump.Keep().ok());
  EXPECT_EQ(dump.keys(), 4U);
  EXPECT_EQ(dump.bytes(), Read().size());
  EXPECT_EQ(Body(), "\xfa\x04name\x05value"s + "\xf5\x03lib" + "\xfe\x00\xfb\x02\x01"s + "\x00\x01k\x01v"s +
                        "\xfc\x08\x07\x06\x05\x04\x03\x02\x01\x00\x00\x00"s + "\xfe\x42\xbc\x00\x01k\x01w"s +
                        "\xfe\x00\x00\x01l\x01x"s);
}

TEST_F(Dump, HasLengthsOfFourKinds) {
  const std::pair<std::size_t, std::string> cases[] = {{63, "\x3f"s},
                                                       {64, "\x40\x40"s},
                                                       {16383, "\x7f\xff"s},
                                                       {16384, "\x80\x00\x00\x40\x00"s},
                                                       {70000, "\x80\x00\x01\x11\x70"s}};
  for (const auto& [size, length] : cases) {
    RdbWriter dump(Path());
    (void)dump.Create();
    (void)dump.Put(0, "k", {std::string(size, 'v')});
    ASSERT_TRUE(dump.Keep().ok());
    EXPECT_EQ(Body(), "\xfe\x00\x00\x01k"s + length + std::string(size, 'v')) << size;
  }
  RdbWriter dump(Path());
  (void)dump.Create();
  (void)dump.Expect(0, 1ULL << 32, 0);
  ASSERT_TRUE(dump.Keep().ok());
  EXPECT_EQ(Body(), "\xfe\x00\xfb\x81\x00\x00\x00\x01\x00\x00\x00\x00\x00"s);
}

TEST_F(Dump, TakesValuesThatAreLargerThanItsBuffer) {
  std::string value(5'000'000, '\0');
  for (std::size_t i = 0; i < value.size(); ++i) value[i] = static_cast<char>(i * i >> 7);
  RdbWriter dump(Path());
  (void)dump.Create();
  (void)dump.Put(0, "k", {value});
  ASSERT_TRUE(dump.Keep().ok());
  EXPECT_EQ(Body(), "\xfe\x00\x00\x01k\x80\x00\x4c\x4b\x40"s + value);
}

TEST_F(Dump, LeavesTheOldFileUntilItIsWhole) {
  const auto write = [&](const std::string& value, bool keep) {
    RdbWriter dump(Path());
    (void)dump.Create();
    (void)dump.Put(0, "k", {value});
    EXPECT_TRUE(!keep || dump.Keep().ok());
  };
  std::ofstream(RdbWriter::Unfinished(Path())) << "what a killed process has left";
  write("first", true);
  const std::string first = Read();
  write("second", false);
  EXPECT_EQ(Read(), first);
  EXPECT_EQ(Files(), std::vector<std::string>{"dump.rdb"});
  write("third", true);
  EXPECT_NE(Read(), first);
  EXPECT_EQ(Files(), std::vector<std::string>{"dump.rdb"});
}

TEST_F(Dump, StopsAtTheFirstErrorAndTellsIt) {
  {
    RdbWriter dump(Path());
    ASSERT_TRUE(dump.Create().ok());
    ASSERT_TRUE(dump.Keep().ok());
  }
  const std::string before = Read();
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit limit{};
  getrlimit(RLIMIT_FSIZE, &limit);
  const rlimit small{1 << 20, limit.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  {
    RdbWriter dump(Path());
    (void)dump.Create();
    Status status;
    for (int i = 0; status.ok() && i < 100; ++i) status = dump.Put(0, "k", {std::string(100'000, 'v')});
    EXPECT_EQ(status.code(), Code::kNoSpace);
    EXPECT_EQ(status.message(), "cannot write " + Path() + ".new: File too large");
    EXPECT_EQ(dump.Keep().code(), Code::kNoSpace);
  }
  setrlimit(RLIMIT_FSIZE, &limit);
  EXPECT_EQ(Read(), before);
  EXPECT_EQ(Files(), std::vector<std::string>{"dump.rdb"});

  RdbWriter nowhere(folder_ + "/none/dump.rdb");
  EXPECT_EQ(nowhere.Create().code(), Code::kIoError);
  EXPECT_EQ(nowhere.Put(0, "k", {"v"}).code(), Code::kIoError);
  EXPECT_EQ(nowhere.Keep().code(), Code::kIoError);
}

}  // namespace
}  // namespace faha::module
