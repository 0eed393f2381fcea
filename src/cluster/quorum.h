// What a majority of the members has reached.  Pure.
#pragma once

#include <algorithm>
#include <functional>
#include <vector>

#include "faha/types.h"

namespace faha {

inline std::size_t Majority(std::size_t members) { return members / 2 + 1; }

// The highest value that a majority of `members` has reached, where `of(member)` returns the value of one member.  T{}
// if there are no members.
template <typename Of>
auto ReachedByMajority(const Members& members, Of of) -> std::decay_t<decltype(of(members.front()))> {
  std::vector<std::decay_t<decltype(of(members.front()))>> values;
  values.reserve(members.size());
  for (const Member& member : members) values.push_back(of(member));
  if (values.empty()) return {};
  std::sort(values.begin(), values.end(), std::greater<>());
  return values[Majority(values.size()) - 1];
}

}  // namespace faha
