// What the commands of lists share: pushing, popping and moving, as LPUSH, LPOP and LMOVE do for their caller, and as
// is done for a client that waits for an element.  Thread: main loop only.
// Each function asks whether there is room before it changes anything.  Where it returns an error, nothing has changed.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "module/writers.h"

namespace faha::module::lists {

enum class End : std::uint8_t { kLeft, kRight };
using Elements = std::vector<std::string>;

inline const char* PushEvent(End end) { return end == End::kLeft ? "lpush" : "rpush"; }
inline const char* PopEvent(End end) { return end == End::kLeft ? "lpop" : "rpop"; }
inline void Put(List& list, End end, std::string_view element) {
  list.Insert(end == End::kLeft ? 0 : list.Size(), element);
}

// The end that argument `i` names, if it names one.
std::optional<End> ParseEnd(const Call& call, int i);

// Pushes `elements`, the first of them first, onto the list that was opened under the key at argument `key`.
Status Push(Call& call, int key, Opened<List>& list, End end, std::span<const std::string_view> elements);

// Removes up to `count` elements from that end of the list that was opened under the key at argument `key`, and appends
// them to `popped`.  The list must not be empty, and is stored by the caller.
Status Take(Call& call, int key, Opened<List>& list, End end, std::uint64_t count, Elements& popped);

// Pops up to `count` elements of the list that was opened under the key at argument `key`, and appends them to
// `popped`.  `count` is at least 1, and the list is not empty.
Status Pop(Call& call, int key, Opened<List>& list, End end, std::uint64_t count, Elements& popped);

// Where an element is moved from and to: arguments that name keys, and ends of their lists.
struct Way {
  int from = 0, to = 0;
  End from_end = End::kRight, to_end = End::kLeft;
};
// Moves an element of `source`, which is opened under the key at argument `way.from` and is not empty.  The reply is
// the element.
Reply Move(Call& call, const Way& way, Opened<List>& source);

void Send(RedisModuleCtx* ctx, const Elements& elements);

}  // namespace faha::module::lists
