// Packed collections against models of the standard library, and opened from bytes that were damaged.
#include "collections/packed.h"

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <string>

#include "faha/collections.h"
#include "tests/unit/collections/models.h"

namespace faha {
namespace {

class PackedMaker {
 public:
  template <typename Kind>
  std::unique_ptr<Kind> Make() {
    return OpenPacked<Kind>({});
  }
  template <typename Kind>
  void Reopen(std::unique_ptr<Kind>& collection) {
    const std::string now(collection->Bytes());
    bytes_ = now;
    collection = OpenPacked<Kind>(bytes_);
    ASSERT_NE(collection, nullptr);
    ASSERT_EQ(collection->Bytes(), now);
  }
  void BeginStep(std::uint64_t) {}
  static void CheckBytes(const Collection& collection) {
    ASSERT_TRUE(Packed::IsWellFormed(collection.Bytes(), collection.type()));
    ASSERT_EQ(collection.Bytes().empty(), collection.Size() == 0);
  }
  // Each change writes all of it.
  static Cost Written(const Collection& collection) { return {collection.Bytes().size(), 0}; }

 private:
  std::string bytes_;
};

TEST(Packed, HashEqualsAModel) { models::HashEqualsAModel<PackedMaker>(); }
TEST(Packed, SetEqualsAModel) { models::SetEqualsAModel<PackedMaker>(); }
TEST(Packed, SortedSetEqualsAModel) { models::SortedSetEqualsAModel<PackedMaker>(); }
TEST(Packed, SortedSetCountsInTheOrderOfBytesWhereScoresAreEqual) {
  models::SortedSetCountsInTheOrderOfBytes<PackedMaker>();
}
TEST(Packed, ListEqualsAModel) { models::ListEqualsAModel<PackedMaker>(); }

// Whatever the bytes are, they are refused, or they are a collection that can be read to its end.
TEST(Packed, DamagedBytesAreRefusedOrReadable) {
  auto hash = OpenPacked<Hash>({});
  auto set = OpenPacked<SortedSet>({});
  for (int i = 0; i < 12; ++i) {
    hash->Put(std::to_string(i), std::string(static_cast<std::size_t>(i) * 20, 'v'));
    set->Put(std::to_string(i), i / 3);
  }
  std::mt19937_64 random(1);
  int refused = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes(round % 2 == 0 ? hash->Bytes() : set->Bytes());
    for (std::uint64_t i = random() % 3 + 1; i > 0; --i) bytes[random() % bytes.size()] = static_cast<char>(random());
    if (random() % 4 == 0) bytes.resize(random() % bytes.size());
    std::uint64_t elements = 0;
    if (const auto opened = OpenPacked<Hash>(bytes)) {
      opened->ForEach([&](std::string_view, std::string_view) { return ++elements != 0; });
      EXPECT_EQ(elements, opened->Size());
    } else {
      ++refused;
    }
    elements = 0;
    if (const auto opened = OpenPacked<SortedSet>(bytes)) {
      const auto count = [&](std::string_view, double) { return ++elements != 0; };
      opened->ForEach(0, ~0ULL, Order::kBackward, count);
      EXPECT_EQ(elements, opened->Size());
    }
    (void)OpenPacked<Set>(bytes);
    (void)OpenPacked<List>(bytes);
  }
  EXPECT_GT(refused, 1000);
}

}  // namespace
}  // namespace faha
