// The table of record kinds: what is read is in it, and nothing else.
#include "log/record_kinds.h"

#include <gtest/gtest.h>

#include <cstring>
#include <set>
#include <string>
#include <vector>

namespace faha {
namespace {

std::vector<std::byte> Bytes(std::uint8_t kind) {
  BatchBuilder builder;
  builder.Add({.kind = format::RecordKind::kPut, .key = {}, .value = {}});
  std::vector<std::byte> bytes(builder.data() + sizeof(format::BatchHeader), builder.data() + builder.size());
  format::RecordHeader header;
  std::memcpy(&header, bytes.data(), sizeof header);
  header.kind = kind;
  std::memcpy(bytes.data(), &header, sizeof header);
  return bytes;
}

TEST(RecordKinds, WhatIsInTheTableIsReadAndNothingElse) {
  for (int kind = 0; kind < 256; ++kind) {
    const auto number = static_cast<std::uint8_t>(kind);
    EXPECT_EQ(ParseRecord(Bytes(number)).has_value(), FindRecordKind(number) != nullptr) << "kind " << kind;
  }
  EXPECT_EQ(FindRecordKind(0), nullptr);
  EXPECT_EQ(FindRecordKind(kRecordKinds.size() + 1), nullptr);
}

TEST(RecordKinds, ABatchTellsWhichOfThemItHolds) {
  for (const RecordKindInfo& info : kRecordKinds) {
    BatchBuilder builder;
    builder.Add({.kind = info.kind, .key = {}, .value = {}});
    const auto bytes = builder.Seal({}, 64, {});
    format::BatchHeader header;
    std::memcpy(&header, bytes.data(), sizeof header);
    EXPECT_EQ(header.flags, info.batch_flag) << info.name;
  }
}

constexpr std::uint64_t kPlace = RecordPlace(LogAddress{4096}, 3);

// Its bytes in a batch, from its header on.
std::vector<std::byte> Checked(const Record& record) {
  BatchBuilder builder;
  builder.Add(record, kPlace);
  return {builder.data() + sizeof(format::BatchHeader), builder.data() + builder.size()};
}

TEST(RecordChecks, FindEachBitThatHasChanged) {
  for (const TimeMs expire_at : {kNoExpiry, TimeMs{1'700'000'000'000}}) {
    const Record record{.kind = format::RecordKind::kPut,
                        .db = 3,
                        .key = "a key",
                        .value = "and a value of some length, that is not a multiple of 8",
                        .expire_at = expire_at};
    std::vector<std::byte> bytes = Checked(record);
    const std::size_t unpadded = sizeof(format::RecordHeader) + (expire_at == kNoExpiry ? 0 : sizeof expire_at) +
                                 record.key.size() + record.value.size();
    const std::size_t head = unpadded - record.value.size();
    ASSERT_TRUE(ParseRecord(bytes).has_value());
    ASSERT_TRUE(IsAsWritten(bytes, RecordPart::kAll, kPlace));
    for (std::size_t bit = 0; bit < 8 * unpadded; ++bit) {
      bytes[bit / 8] ^= std::byte{1} << bit % 8;
      const bool of_value = bit / 8 >= head || bit / 8 / 2 == offsetof(format::RecordHeader, value_check) / 2;
      EXPECT_FALSE(IsAsWritten(bytes, RecordPart::kAll, kPlace)) << "bit " << bit;
      EXPECT_EQ(IsAsWritten(bytes, RecordPart::kHead, kPlace), of_value) << "bit " << bit;
      bytes[bit / 8] ^= std::byte{1} << bit % 8;
    }
  }
}

// What was written elsewhere, or stood here before the segment was used again.
TEST(RecordChecks, HoldAtTheirPlaceAlone) {
  const auto bytes = Checked({.kind = format::RecordKind::kPut, .key = "k", .value = "v"});
  EXPECT_TRUE(IsAsWritten(bytes, RecordPart::kAll, kPlace));
  for (const RecordPart part : {RecordPart::kHead, RecordPart::kAll}) {
    EXPECT_FALSE(IsAsWritten(bytes, part, RecordPlace(LogAddress{4160}, 3)));
    EXPECT_FALSE(IsAsWritten(bytes, part, RecordPlace(LogAddress{4096}, 4)));
  }
}

TEST(RecordChecks, BytesOfZerosAreNoRecord) {
  const std::vector<std::byte> zeros(64);
  EXPECT_FALSE(IsAsWritten(zeros, RecordPart::kHead, kPlace));
}

TEST(RecordChecks, ReadNothingBehindTheirBytes) {
  const std::vector<std::byte> bytes = Checked({.kind = format::RecordKind::kPut, .key = "k", .value = "value"});
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    const std::vector<std::byte> cut(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_FALSE(IsAsWritten(cut, RecordPart::kHead, kPlace)) << size;
  }
}

TEST(RecordChecks, AreInNoRecordOfALevelBeforeThem) {
  BatchBuilder builder;
  builder.Add({.kind = format::RecordKind::kPut, .key = "k", .value = "v"});
  std::vector<std::byte> bytes(builder.data() + sizeof(format::BatchHeader), builder.data() + builder.size());
  format::RecordHeader header;
  std::memcpy(&header, bytes.data(), sizeof header);
  EXPECT_EQ(header.flags, 0);
  EXPECT_TRUE(ParseRecord(bytes).has_value());
  EXPECT_TRUE(IsAsWritten(bytes, RecordPart::kAll, kPlace));
  header.value_check = 1;  // earlier releases have bytes there that are 0
  std::memcpy(bytes.data(), &header, sizeof header);
  EXPECT_FALSE(ParseRecord(bytes).has_value());
  EXPECT_FALSE(IsAsWritten(bytes, RecordPart::kAll, kPlace));
}

TEST(RecordKinds, EachHasANameOfItsOwn) {
  std::set<std::string_view> names;
  for (const RecordKindInfo& info : kRecordKinds) names.insert(info.name);
  EXPECT_EQ(names.size(), kRecordKinds.size());
}

}  // namespace
}  // namespace faha
