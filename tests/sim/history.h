// What clients were told, and whether one register per key explains it (linearizability, Herlihy & Wing 1990).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "faha/clock.h"

namespace faha::sim {

// A value is the number of the write that wrote it, and no two writes have one; 0: the key is absent.
using Value = std::uint32_t;
inline constexpr Value kAbsent = 0;

struct Operation {
  enum class Kind { kRead, kWrite };  // a delete writes kAbsent
  Kind kind = Kind::kRead;
  int key = 0;
  Value value = kAbsent;               // what was written, or read
  MonoTime called{0};                  // it took effect, if it did, between the two
  MonoTime answered{MonoTime::max()};  // never, if nobody knows whether it took effect at all
  int client = 0;
};
inline double Seconds(MonoTime time) { return std::chrono::duration<double>(time).count(); }
using History = std::vector<Operation>;

// What is wrong with the history, in one line per operation concerned; nothing if it is linearizable.
// Reads that were not answered, and writes that surely took no effect, do not belong into it.
std::optional<std::string> Explain(const History& history);

}  // namespace faha::sim
