// Large collections as commands see them, against models of the standard library, with the cleaner at work; and the
// labels of lists.
#include "store/large_views.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "tests/fakes/engine_node.h"
#include "tests/unit/collections/models.h"

namespace faha {
namespace {

class Writer final : public ElementWriter {
 public:
  explicit Writer(Engine& engine) : engine_(engine) {}
  Result<bool> PutElement(const CollectionId& id, ValueType type, std::string_view subkey,
                          std::string_view value) override {
    written_ += {format::kCollectionIdBytes + subkey.size() + value.size(), 1};
    return engine_.PutElement(id, type, subkey, value);
  }
  Result<bool> EraseElement(const CollectionId& id, std::string_view subkey) override {
    written_ += {format::kCollectionIdBytes + subkey.size(), 1};
    return engine_.EraseElement(id, subkey);
  }
  [[nodiscard]] const Cost& written() const { return written_; }

 private:
  Engine& engine_;
  Cost written_;
};

class LargeMaker {
 public:
  LargeMaker() : writer_(*node_.engine) {}

  template <typename Kind>
  std::unique_ptr<Kind> Make() {
    id_ = node_.engine->NewCollection();
    auto collection = View<Kind>();
    const std::string name(collection->Bytes());
    EXPECT_TRUE(node_.engine->Put(0, "key", {name, kNoExpiry, collection->type(), true}).ok());
    return collection;
  }
  template <typename Kind>
  void Reopen(std::unique_ptr<Kind>& collection) {
    ASSERT_TRUE(collection->status().ok());
    collection = View<Kind>();
  }
  // Between steps units end, batches are committed, and now and then records move.
  void BeginStep(std::uint64_t random) {
    node_.log->EndUnit();
    if (random % 10 == 0) node_.Commit();
    if (random % 100 != 0) return;
    const std::uint64_t tail = node_.Tail();
    for (int i = 0; i < 10; ++i) node_.Put(9, "filler", 100'000);
    node_.NextSegment();
    node_.Clean(tail);
  }
  void CheckBytes(const Collection&) const { node_.engine->CheckInvariants(); }
  [[nodiscard]] Cost Written(const Collection&) const { return writer_.written(); }
  [[nodiscard]] const Engine& engine() const { return *node_.engine; }
  [[nodiscard]] const CountedTree& tree() const { return node_.engine->Find(id_)->tree(); }
  void PutAt(std::uint64_t label, std::string_view element) {
    ASSERT_TRUE(node_.engine->PutElement(id_, ValueType::kList, LabelBytes(label), element).ok());
  }

 private:
  template <typename Kind>
  std::unique_ptr<Kind> View() {
    auto view = ViewLarge(id_, kTypeOf<Kind>, *node_.engine, writer_);
    return std::unique_ptr<Kind>(static_cast<Kind*>(view.release()));
  }

  EngineNode node_;
  Writer writer_;
  CollectionId id_;
};

TEST(LargeViews, HashEqualsAModel) { models::HashEqualsAModel<LargeMaker>(); }
TEST(LargeViews, SetEqualsAModel) { models::SetEqualsAModel<LargeMaker>(); }
TEST(LargeViews, SortedSetEqualsAModel) { models::SortedSetEqualsAModel<LargeMaker>(); }
TEST(LargeViews, SortedSetCountsInTheOrderOfBytesWhereScoresAreEqual) {
  models::SortedSetCountsInTheOrderOfBytes<LargeMaker>();
}
TEST(LargeViews, ListEqualsAModel) { models::ListEqualsAModel<LargeMaker>(); }

TEST(LargeViews, AnElementIsDrawnAsOftenAsAnother) {
  LargeMaker maker;
  const auto set = maker.Make<Set>();
  for (int i = 0; i < 100; ++i) set->Put(std::to_string(i));
  std::vector<int> drawn(100);
  std::mt19937_64 random(1);
  for (int i = 0; i < 40'000; ++i) ++drawn[std::stoul(std::string(set->Random(random())))];
  // Each of about 400, with a standard deviation of 20.
  EXPECT_GT(*std::min_element(drawn.begin(), drawn.end()), 250);
  EXPECT_LT(*std::max_element(drawn.begin(), drawn.end()), 550);
}

// --- The labels of lists.

std::vector<std::string> All(const List& list) {
  std::vector<std::string> all;
  ForEachElement(list, [&](std::uint64_t, std::string_view element) { all.emplace_back(element); });
  return all;
}

// Inserts `count` elements at places that place(size) names, and compares with a model.  Returns how many records that
// took for each element.
template <typename Place>
double InsertMany(std::size_t count, Place place) {
  LargeMaker maker;
  const auto list = maker.Make<List>();
  std::vector<std::string> model;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t at = place(model.size());
    const std::string element = std::to_string(i);
    const Cost cost = list->CostOfInsert(at, element.size()), before = maker.Written(*list);
    list->Insert(at, element);
    model.insert(model.begin() + static_cast<std::ptrdiff_t>(at), element);
    EXPECT_LE(maker.Written(*list).bytes, before.bytes + cost.bytes);
    EXPECT_LE(maker.Written(*list).records, before.records + cost.records);
    if (i % 64 == 0) maker.BeginStep(10);
  }
  EXPECT_EQ(All(*list), model);
  EXPECT_TRUE(list->status().ok());
  maker.CheckBytes(*list);
  return static_cast<double>(maker.Written(*list).records) / static_cast<double>(count);
}

TEST(ListLabels, LastForPushesAtBothEnds) {
  EXPECT_EQ(InsertMany(5000, [](std::size_t size) { return size; }), 1);
  EXPECT_EQ(InsertMany(5000, [](std::size_t) { return 0; }), 1);
}

// Each insertion halves the same gap.
TEST(ListLabels, AreMadeAnewWhereThereIsNoneLeft) {
  EXPECT_LT(InsertMany(5000, [](std::size_t size) { return std::min<std::size_t>(size, 1); }), 20);
  EXPECT_LT(InsertMany(5000, [](std::size_t size) { return size / 2; }), 20);
  EXPECT_LT(InsertMany(5000, [](std::size_t size) { return size == 0 ? 0 : size - 1; }), 20);
  std::mt19937_64 random(7);
  EXPECT_LT(InsertMany(5000, [&](std::size_t size) { return random() % (size + 1); }), 20);
}

// A queue that was never empty for thousands of years.
TEST(ListLabels, AreMadeAnewAtTheEndOfTheNumbers) {
  for (const bool at_end : {false, true}) {
    LargeMaker maker;
    const auto list = maker.Make<List>();
    std::vector<std::string> model;
    for (std::uint64_t i = 0; i < 40; ++i) {
      const std::string element = "old " + std::to_string(i);
      maker.PutAt(at_end ? ~std::uint64_t{0} - 40 * kListStep + i * kListStep : (i + 1) * kListStep, element);
      model.push_back(element);
    }
    for (int i = 0; i < 2000; ++i) {
      const std::string element = std::to_string(i);
      list->Insert(at_end ? list->Size() : 0, element);
      model.insert(at_end ? model.end() : model.begin(), element);
      if (i % 64 == 0) maker.BeginStep(10);
    }
    EXPECT_EQ(All(*list), model);
    maker.CheckBytes(*list);
  }
}

}  // namespace
}  // namespace faha
