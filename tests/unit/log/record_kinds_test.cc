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

TEST(RecordKinds, EachHasANameOfItsOwn) {
  std::set<std::string_view> names;
  for (const RecordKindInfo& info : kRecordKinds) names.insert(info.name);
  EXPECT_EQ(names.size(), kRecordKinds.size());
}

}  // namespace
}  // namespace faha
