// The table of record kinds: what is read is in it, and nothing else.
#include "log/record_kinds.h"

#include <gtest/gtest.h>

#include <cstring>
#include <iterator>
#include <limits>
#include <set>
#include <string>
#include <vector>

namespace faha {
namespace {

std::vector<std::byte> Bytes(std::uint8_t kind) {
  BatchBuilder builder;
  // An element names its collection; the other kinds that have a form may be empty.
  const bool element = IsElementKind(static_cast<format::RecordKind>(kind));
  builder.Add({.kind = format::RecordKind::kPut,
               .key = element ? "a collection" : "",
               .value = {},
               .type = element ? ValueType::kHash : ValueType::kString});
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

// A record of an element that could not be applied is refused wherever records are read.
TEST(RecordKinds, AnElementHasTheFormOfItsCollection) {
  using format::RecordKind;
  const std::string id(format::kCollectionIdBytes, 'i'), label = id + std::string(8, 'l'), score(8, '\0');
  const std::string nan(reinterpret_cast<const char*>("\xff\xff\xff\xff\xff\xff\xff\x7f"), 8);
  const auto reads = [](RecordKind kind, ValueType type, std::string_view key, std::string_view value, DbId db = 0,
                        bool large = false) {
    BatchBuilder builder;
    builder.Add({.kind = kind, .db = db, .key = key, .value = value, .type = type, .large = large});
    const std::vector<std::byte> bytes(builder.data() + sizeof(format::BatchHeader), builder.data() + builder.size());
    return ParseRecord(bytes).has_value();
  };
  for (const RecordKind kind : {RecordKind::kElement, RecordKind::kElementErased}) {
    EXPECT_TRUE(reads(kind, ValueType::kHash, id, ""));
    EXPECT_FALSE(reads(kind, ValueType::kHash, id.substr(1), "")) << "no collection";
    EXPECT_FALSE(reads(kind, ValueType::kString, id, ""));
    EXPECT_FALSE(reads(kind, ValueType::kHash, id, "", 1)) << "in a database";
    EXPECT_FALSE(reads(kind, ValueType::kHash, id, "", 0, true));
    EXPECT_TRUE(reads(kind, ValueType::kList, label, ""));
    EXPECT_FALSE(reads(kind, ValueType::kList, label + "l", ""));
    EXPECT_FALSE(reads(kind, ValueType::kList, id, ""));
  }
  EXPECT_TRUE(reads(RecordKind::kElement, ValueType::kSet, id, ""));
  EXPECT_FALSE(reads(RecordKind::kElement, ValueType::kSet, id, "value"));
  EXPECT_TRUE(reads(RecordKind::kElement, ValueType::kSortedSet, id, score));
  EXPECT_FALSE(reads(RecordKind::kElement, ValueType::kSortedSet, id, score + "0"));
  EXPECT_FALSE(reads(RecordKind::kElement, ValueType::kSortedSet, id, nan));
  EXPECT_TRUE(reads(RecordKind::kElementErased, ValueType::kSet, id, score)) << "an erased one that was moved";
  EXPECT_FALSE(reads(RecordKind::kElementErased, ValueType::kSet, id, "LSN"));
  EXPECT_TRUE(reads(RecordKind::kPut, ValueType::kHash, "key", id, 3, true));
  EXPECT_FALSE(reads(RecordKind::kPut, ValueType::kHash, "key", label, 3, true));
  EXPECT_FALSE(reads(RecordKind::kPut, ValueType::kString, "key", id, 3, true));
  EXPECT_FALSE(reads(RecordKind::kDelete, ValueType::kString, "key", "", 3, true));
}

// The order of the numbers is the order of the scores.
TEST(Elements, AreOrderedAsTheirScores) {
  const double infinity = std::numeric_limits<double>::infinity();
  const double scores[] = {-infinity, -1e300, -2, -1.5, -1e-310, 0, 1e-310, 1, 1.5, 2, 1e300, infinity};
  for (std::size_t i = 1; i < std::size(scores); ++i) EXPECT_LT(OrderOf(scores[i - 1]), OrderOf(scores[i]));
  EXPECT_EQ(OrderOf(-0.0), OrderOf(0.0));
  EXPECT_EQ(LabelOf(LabelBytes(0x0123456789ABCDEF)), 0x0123456789ABCDEF);
  EXPECT_LT(LabelBytes(255), LabelBytes(256));
}

TEST(RecordKinds, EachHasANameOfItsOwn) {
  std::set<std::string_view> names;
  for (const RecordKindInfo& info : kRecordKinds) names.insert(info.name);
  EXPECT_EQ(names.size(), kRecordKinds.size());
}

}  // namespace
}  // namespace faha
