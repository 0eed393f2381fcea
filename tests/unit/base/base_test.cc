// The base layer: names, identities, checksums and the bytes of messages.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <limits>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/check.h"
#include "base/checksum.h"
#include "base/limits.h"
#include "base/system_clock.h"
#include "base/uuid.h"
#include "faha/status.h"
#include "faha/types.h"

namespace faha {
namespace {

std::span<const std::byte> Bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

TEST(Check, EndsTheProcessAndSaysWhere) {
  EXPECT_DEATH(FAHA_CHECK(1 + 1 == 3, "arithmetic holds"),
               "base_test.cc:[0-9]+: FAHA_CHECK\\(1 \\+ 1 == 3\\) failed: arithmetic holds");
  FAHA_CHECK(true, "nothing happens");
}

TEST(StatusText, EveryCodeHasItsOwnStableName) {
  std::set<std::string_view> names;
  for (int code = 0; code <= static_cast<int>(Code::kUnavailable); ++code) {
    const std::string_view name = CodeName(static_cast<Code>(code));
    EXPECT_TRUE(std::ranges::all_of(name, [](char c) { return c >= 'A' && c <= 'Z'; })) << name;
    EXPECT_TRUE(names.insert(name).second) << name;
  }
  EXPECT_EQ(CodeName(Code::kBadConfig), "BADCONFIG");
  EXPECT_EQ(CodeName(Code::kIoError), "IOERROR");
  EXPECT_EQ(CodeName(Code::kPoolInUse), "POOLINUSE");
}

TEST(StatusText, IsOneLineWithTheCodeFirst) {
  EXPECT_EQ(Status::Ok().ToString(), "OK");
  EXPECT_EQ(Status(Code::kNoSpace, "the pool is full").ToString(), "NOSPACE the pool is full");
}

TEST(Identity, UuidsAreRandomAndReadBack) {
  std::set<Uuid> seen;
  for (int i = 0; i < 100; ++i) {
    const Uuid id = NewUuid();
    EXPECT_FALSE(id.IsNone());
    EXPECT_TRUE(seen.insert(id).second);
    Uuid back;
    ASSERT_TRUE(ParseUuid(id.ToString(), back));
    EXPECT_EQ(back, id);
  }
  Uuid id;
  id.bytes = {0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0, 0, 0, 0, 0, 0, 0, 0x0f};
  EXPECT_EQ(id.ToString(), "0123456789abcdef000000000000000f");
}

TEST(Identity, WhatIsNotAUuidIsRefused) {
  Uuid id = NewUuid();
  const Uuid before = id;
  for (const std::string& text : {std::string(), std::string(31, 'a'), std::string(33, 'a'), std::string(31, 'a') + "g",
                                  std::string(31, 'a') + '\0', std::string(32, ' ')}) {
    EXPECT_FALSE(ParseUuid(text, id)) << text;
    EXPECT_EQ(id, before);
  }
}

TEST(Identity, EndpointsAreWrittenWithTheirPort) {
  EXPECT_EQ((Endpoint{"127.0.0.1", 6379}).ToString(), "127.0.0.1:6379");
  EXPECT_EQ((Endpoint{"::1", 6379}).ToString(), "[::1]:6379");
}

TEST(ChecksumValue, NeverChanges) {
  // Pools and peers hold these values: XXH3's published ones for the empty input, and ours.
  EXPECT_EQ(Checksum({}), 0x2d06800538d394c2U);
  EXPECT_EQ(Checksum(Bytes("FaHA")), XXH3_64bits("FaHA", 4));
}

TEST(ChecksumValue, OfPiecesIsThatOfTheWhole) {
  std::mt19937_64 random(1);
  for (const std::size_t size : {0U, 1U, 16U, 17U, 128U, 129U, 240U, 241U, 1024U, 5000U}) {
    std::string text(size, '\0');
    for (char& c : text) c = static_cast<char>(random());
    for (const std::size_t cut : {std::size_t{0}, size / 3, size}) {
      for (const std::uint64_t seed : {0U, 7U}) {
        const auto bytes = Bytes(text);
        EXPECT_EQ(Checksum(bytes.first(cut), bytes.subspan(cut), seed), Checksum(bytes, seed));
      }
    }
  }
}

TEST(ChecksumValue, DependsOnTheSeed) { EXPECT_NE(Checksum(Bytes("a"), 1), Checksum(Bytes("a"), 2)); }

// A message with one field of every kind.
struct Message {
  std::uint8_t u8 = 0;
  std::uint16_t u16 = 0;
  std::uint32_t u32 = 0;
  std::uint64_t u64 = 0;
  Uuid id;
  std::string text;
  bool operator==(const Message&) const = default;

  void Write(ByteWriter& to) const {
    to.U8(u8);
    to.U16(u16);
    to.U32(u32);
    to.U64(u64);
    to.Id(id);
    to.String(text);
  }
  bool Read(ByteReader& from) {
    return from.U8(u8) && from.U16(u16) && from.U32(u32) && from.U64(u64) && from.Id(id) &&
           from.String(text, kMaxHostBytes);
  }
};

Message SomeMessage() { return {0x12, 0x3456, 0x789abcde, 0xfedcba9876543210, NewUuid(), "host.example"}; }

TEST(MessageBytes, ReadBackWhatWasWritten) {
  ByteWriter writer;
  const Message sent = SomeMessage();
  sent.Write(writer);
  ByteReader reader(writer.bytes());
  Message got;
  ASSERT_TRUE(got.Read(reader));
  EXPECT_EQ(got, sent);
  EXPECT_TRUE(reader.AtEnd());
  EXPECT_EQ(reader.remaining(), 0U);
}

TEST(MessageBytes, AreLittleEndian) {
  ByteWriter writer;
  writer.U32(0x01020304);
  writer.String("ab");
  const std::vector<int> want = {4, 3, 2, 1, 2, 0, 'a', 'b'};
  ASSERT_EQ(writer.size(), want.size());
  for (std::size_t i = 0; i < want.size(); ++i) EXPECT_EQ(std::to_integer<int>(writer.bytes()[i]), want[i]);
}

TEST(MessageBytes, EveryTruncationFailsAndStaysFailed) {
  ByteWriter writer;
  SomeMessage().Write(writer);
  for (std::size_t size = 0; size < writer.size(); ++size) {
    // A copy of the exact size, so that a sanitizer sees a read past the end.
    const std::vector<std::byte> cut(writer.bytes().begin(),
                                     writer.bytes().begin() + static_cast<std::ptrdiff_t>(size));
    ByteReader reader(cut);
    Message got;
    EXPECT_FALSE(got.Read(reader)) << size;
    EXPECT_TRUE(reader.failed());
    EXPECT_FALSE(reader.AtEnd());
    std::uint8_t untouched = 77;
    EXPECT_FALSE(reader.U8(untouched));
    EXPECT_EQ(untouched, 77);
    EXPECT_EQ(reader.remaining(), 0U);
  }
}

TEST(MessageBytes, AStringOverItsLimitFails) {
  ByteWriter writer;
  writer.String("four");
  std::string text = "before";
  ByteReader tight(writer.bytes());
  EXPECT_FALSE(tight.String(text, 3));
  EXPECT_EQ(text, "before");
  ByteReader wide(writer.bytes());
  EXPECT_TRUE(wide.String(text, 4));
  EXPECT_EQ(text, "four");
}

TEST(MessageBytes, TrailingBytesAreSeen) {
  ByteWriter writer;
  writer.U8(1);
  writer.U8(2);
  ByteReader reader(writer.bytes());
  std::uint8_t value = 0;
  ASSERT_TRUE(reader.U8(value));
  EXPECT_FALSE(reader.AtEnd());
  EXPECT_EQ(reader.remaining(), 1U);
}

TEST(MessageBytes, AHugeRawSizeFails) {
  const std::vector<std::byte> few(3);
  ByteReader reader(few);
  std::span<const std::byte> raw;
  EXPECT_FALSE(reader.Raw(std::numeric_limits<std::size_t>::max(), raw));
}

TEST(Time, DoesNotRunBackwards) {
  const SystemClock clock;
  MonoTime last = clock.Now();
  for (int i = 0; i < 1000; ++i) {
    const MonoTime now = clock.Now();
    EXPECT_GE(now, last);
    last = now;
  }
}

// In a time namespace whose CLOCK_BOOTTIME alone is 11 days ahead: as after 11 days of sleep.
constexpr long kAsleep = 1'000'000;  // seconds
enum Outcome { kCounted, kNotCounted, kNotPermitted };

Outcome MeasureAsleep() {
  const MonoTime before = SystemClock().Now();
  const std::string offset = "boottime " + std::to_string(kAsleep) + " 0";
  if (unshare(CLONE_NEWTIME) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWTIME) != 0) return kNotPermitted;
  const int fd = open("/proc/self/timens_offsets", O_WRONLY | O_CLOEXEC);
  if (fd < 0 || write(fd, offset.data(), offset.size()) < 0) return kNotPermitted;
  const pid_t child = fork();  // only children live in the new namespace
  if (child == 0) _exit(SystemClock().Now() - before >= std::chrono::seconds(kAsleep) ? kCounted : kNotCounted);
  int status = 0;
  waitpid(child, &status, 0);
  return static_cast<Outcome>(WEXITSTATUS(status));
}

TEST(Time, GoesOnWhileTheMachineSleeps) {
  const pid_t child = fork();
  if (child == 0) _exit(MeasureAsleep());
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == kNotPermitted) GTEST_SKIP() << "this system lets nobody make a time namespace";
  EXPECT_EQ(WEXITSTATUS(status), kCounted) << "a lease would outlive the machine's sleep";
}

}  // namespace
}  // namespace faha
