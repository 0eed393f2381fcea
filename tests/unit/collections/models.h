// What every kind of collection must do, against models of the standard library.  A `Maker` makes collections in one
// form:
//   Make<Kind>()         an empty one
//   Reopen(collection)   the same one, as it is found when its key is opened again
//   BeginStep(random)    is called before each step
//   CheckBytes(collection)
//   Written(collection)  what has been written so far
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "faha/collections.h"

namespace faha::models {

inline constexpr int kRounds = 60, kSteps = 200;

// A few texts, so that they meet again: empty ones, binary ones, and some whose length takes two or three bytes.
class Texts {
 public:
  static constexpr std::uint64_t kTexts = 40;
  explicit Texts(std::uint64_t seed) : random_(seed) {}
  std::uint64_t Below(std::uint64_t limit) { return random_() % limit; }
  std::string Next() {
    const std::uint64_t number = Below(kTexts);
    if (number == 0) return {};
    if (number == 1) return std::string(20'000, 'l');
    if (number < 4) return std::string(100 + number * 20, static_cast<char>(number));
    return std::string(1, static_cast<char>(number * 11)) + std::string("\0\r\n", 3) + std::to_string(number);
  }
  // Now and then so many look-ups follow each other, without a change, that the collection prepares for more.
  template <typename Check>
  void LookUpMany(Check check) {
    if (Below(4) != 0) return;
    for (std::uint64_t i = 0; i < kTexts; ++i) check(Next());
  }
  double Score() {
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    constexpr double kScores[] = {0, -0.0, 1, -1, 1.5, 3e300, kInfinity, -kInfinity};
    return kScores[Below(std::size(kScores))];
  }

 private:
  std::mt19937_64 random_;
};

template <typename Maker>
void HashEqualsAModel() {
  for (int round = 0; round < kRounds; ++round) {
    Texts texts(round);
    Maker maker;
    auto hash = maker.template Make<Hash>();
    std::map<std::string, std::string> model;
    for (int step = 0; step < kSteps; ++step) {
      maker.BeginStep(texts.Below(1000));
      const std::string field = texts.Next(), value = texts.Next();
      const Cost cost = hash->CostOfPut(field.size() + value.size(), 1);
      const Cost before = maker.Written(*hash);
      switch (texts.Below(8)) {
        case 0:
        case 1: EXPECT_EQ(hash->Erase(field), model.erase(field) == 1); break;
        case 2: maker.Reopen(hash); break;
        case 3: {  // a view of the hash itself
          if (model.empty()) break;
          std::string_view own;
          hash->Random(texts.Below(100), [&](std::string_view, std::string_view its_value) {
            own = its_value;
            return true;
          });
          const std::string copy(own);
          EXPECT_EQ(hash->Put(field, own), model.insert_or_assign(field, copy).second);
          break;
        }
        default:
          EXPECT_EQ(hash->Put(field, value), model.insert_or_assign(field, value).second);
          EXPECT_LE(maker.Written(*hash).bytes, before.bytes + cost.bytes);
          EXPECT_LE(maker.Written(*hash).records, before.records + cost.records);
      }
      ASSERT_EQ(hash->Size(), model.size());
      maker.CheckBytes(*hash);
      std::map<std::string, std::string> contents;
      const auto take = [&](std::string_view each, std::string_view its_value) {
        EXPECT_TRUE(contents.emplace(each, its_value).second);
        return true;
      };
      hash->ForEach(take);
      ASSERT_EQ(contents, model);
      texts.LookUpMany([&](const std::string& each) {
        const auto found = hash->Find(each);
        ASSERT_EQ(found ? std::string(*found) : "none", model.contains(each) ? model[each] : "none");
      });
      const auto found = hash->Find(field);
      ASSERT_EQ(found.has_value(), model.contains(field));
      if (found) {
        ASSERT_EQ(*found, model[field]);
      }
    }
  }
}

template <typename Maker>
void SetEqualsAModel() {
  for (int round = 0; round < kRounds; ++round) {
    Texts texts(round);
    Maker maker;
    auto set = maker.template Make<Set>();
    std::set<std::string> model;
    for (int step = 0; step < kSteps; ++step) {
      maker.BeginStep(texts.Below(1000));
      const std::string member = texts.Next();
      switch (texts.Below(6)) {
        case 0:
        case 1: EXPECT_EQ(set->Erase(member), model.erase(member) == 1); break;
        case 2: maker.Reopen(set); break;
        default: EXPECT_EQ(set->Put(member), model.insert(member).second);
      }
      ASSERT_EQ(set->Size(), model.size());
      ASSERT_EQ(set->Contains(member), model.contains(member));
      texts.LookUpMany([&](const std::string& each) { ASSERT_EQ(set->Contains(each), model.contains(each)); });
      std::set<std::string> contents;
      set->ForEach([&](std::string_view each) { return contents.emplace(each).second; });
      ASSERT_EQ(contents, model);
      if (!model.empty()) {
        ASSERT_TRUE(model.contains(std::string(set->Random(texts.Below(1000)))));
      }
    }
  }
}

using Scored = std::pair<double, std::string>;

inline std::vector<Scored> Ranks(const SortedSet& set, std::uint64_t first, std::uint64_t last, Order order) {
  std::vector<Scored> found;
  set.ForEach(first, last, order, [&](std::string_view member, double score) {
    found.emplace_back(score, member);
    return true;
  });
  return found;
}

template <typename Maker>
void SortedSetEqualsAModel() {
  for (int round = 0; round < kRounds; ++round) {
    Texts texts(round);
    Maker maker;
    auto set = maker.template Make<SortedSet>();
    std::map<std::string, double> model;
    for (int step = 0; step < kSteps; ++step) {
      maker.BeginStep(texts.Below(1000));
      const std::string member = texts.Next();
      const double score = texts.Score();
      switch (texts.Below(6)) {
        case 0:
        case 1: EXPECT_EQ(set->Erase(member), model.erase(member) == 1); break;
        case 2: maker.Reopen(set); break;
        default: EXPECT_EQ(set->Put(member, score), model.insert_or_assign(member, score).second);
      }
      maker.CheckBytes(*set);
      std::vector<Scored> sorted;
      for (const auto& [each, its_score] : model) sorted.emplace_back(its_score, each);
      std::sort(sorted.begin(), sorted.end());
      ASSERT_EQ(set->Size(), sorted.size());
      ASSERT_EQ(Ranks(*set, 0, set->Size(), Order::kForward), sorted);
      const auto below = [&](const Scored& each) { return each.first < score; };
      const auto up_to = [&](const Scored& each) { return each.first <= score; };
      ASSERT_EQ(set->CountBelow(score, false), std::count_if(sorted.begin(), sorted.end(), below));
      ASSERT_EQ(set->CountBelow(score, true), std::count_if(sorted.begin(), sorted.end(), up_to));
      const auto found =
          std::find_if(sorted.begin(), sorted.end(), [&](const auto& each) { return each.second == member; });
      ASSERT_EQ(set->ScoreOf(member).has_value(), found != sorted.end());
      if (found != sorted.end()) {
        ASSERT_EQ(*set->ScoreOf(member), found->first);
        ASSERT_EQ(set->RankOf(member), static_cast<std::uint64_t>(found - sorted.begin()));
      }
      texts.LookUpMany([&](const std::string& each) {
        const auto at = std::find_if(sorted.begin(), sorted.end(), [&](const auto& it) { return it.second == each; });
        ASSERT_EQ(set->RankOf(each).value_or(sorted.size()), static_cast<std::uint64_t>(at - sorted.begin()));
      });
      const std::uint64_t first = texts.Below(20), last = texts.Below(20);
      std::vector<Scored> part;
      for (std::uint64_t rank = first; rank <= last && rank < sorted.size(); ++rank) part.push_back(sorted[rank]);
      ASSERT_EQ(Ranks(*set, first, last, Order::kForward), part);
      std::reverse(part.begin(), part.end());
      ASSERT_EQ(Ranks(*set, first, last, Order::kBackward), part);
    }
  }
}

template <typename Maker>
void SortedSetCountsInTheOrderOfBytes() {
  Maker maker;
  auto set = maker.template Make<SortedSet>();
  for (const char* member : {"b", "a", "d"}) set->Put(member, 7);
  EXPECT_EQ(set->CountBefore("a", false), 0U);
  EXPECT_EQ(set->CountBefore("a", true), 1U);
  EXPECT_EQ(set->CountBefore("c", true), 2U);
  EXPECT_EQ(set->CountBefore("e", false), 3U);
}

inline std::vector<std::string> Elements(const List& list, std::uint64_t first, std::uint64_t last, Order order) {
  std::vector<std::string> found;
  std::vector<std::uint64_t> indexes;
  list.ForEach(first, last, order, [&](std::uint64_t index, std::string_view element) {
    found.emplace_back(element);
    EXPECT_EQ(list.At(index), element);
    return true;
  });
  return found;
}

template <typename Maker>
void ListEqualsAModel() {
  for (int round = 0; round < kRounds; ++round) {
    Texts texts(round);
    Maker maker;
    auto list = maker.template Make<List>();
    std::vector<std::string> model;
    for (int step = 0; step < kSteps; ++step) {
      maker.BeginStep(texts.Below(1000));
      const std::string element = texts.Next();
      const auto index = static_cast<std::ptrdiff_t>(texts.Below(model.size() + 1));
      const std::uint64_t count = texts.Below(4);
      switch (texts.Below(8)) {
        case 0:
        case 1: {
          list->Erase(static_cast<std::uint64_t>(index), count);
          const auto end = std::min(index + static_cast<std::ptrdiff_t>(count), std::ssize(model));
          model.erase(model.begin() + index, model.begin() + end);
          break;
        }
        case 2: maker.Reopen(list); break;
        case 3:
          if (index == std::ssize(model)) break;
          list->Replace(static_cast<std::uint64_t>(index), element);
          model[static_cast<std::size_t>(index)] = element;
          break;
        default: list->Insert(static_cast<std::uint64_t>(index), element); model.insert(model.begin() + index, element);
      }
      ASSERT_EQ(list->Size(), model.size());
      ASSERT_EQ(Elements(*list, 0, ~0ULL, Order::kForward), model);
      const std::uint64_t first = texts.Below(20), last = texts.Below(20);
      std::vector<std::string> part;
      for (std::uint64_t at = first; at <= last && at < model.size(); ++at) part.push_back(model[at]);
      ASSERT_EQ(Elements(*list, first, last, Order::kForward), part);
      std::reverse(part.begin(), part.end());
      ASSERT_EQ(Elements(*list, first, last, Order::kBackward), part);
    }
  }
}

}  // namespace faha::models
