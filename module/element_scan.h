// HSCAN, SSCAN and ZSCAN: a walk through the elements of one collection.  Thread: main loop only.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "module/writers.h"

namespace faha::module {

// Parses a cursor as Redis does: Redis uses the C library, which also accepts a sign.
std::optional<std::uint64_t> ParseCursor(std::string_view text);
inline Reply InvalidCursor() { return Reply::Error("ERR invalid cursor"); }

// What the options ask for.
struct ElementScan {
  std::uint64_t count = 10;
  std::string_view pattern = "*";

  // Parses the arguments from `first` on.  `type`: where the option TYPE puts its argument; null: there is no such
  // option.  Returns nothing, or the error reply.
  std::optional<Reply> ParseOptions(const Call& call, int first, std::optional<std::string_view>* type = nullptr);
  [[nodiscard]] bool Takes(std::string_view element) const;

  // Calls visit(element, ...) for the elements of some parts that match, and returns the next cursor.  Like Redis, it
  // looks at `count` elements, or at ten times as many parts if most are empty.
  template <typename Kind, typename Visit>
  std::uint64_t Walk(const Kind& collection, std::uint64_t cursor, Visit visit) const {
    constexpr std::uint64_t kPartsPerCount = 10;
    std::uint64_t seen = 0;
    std::uint64_t parts = 0;
    do {
      cursor = collection.Scan(cursor, [&](std::string_view element, auto... rest) {
        ++seen;
        if (Takes(element)) visit(element, rest...);
        return true;
      });
      ++parts;
    } while (cursor != 0 && seen < count && parts / kPartsPerCount < count);
    return cursor;
  }
};

// The whole command.  An element is a `Parts`, as the visitor of `Kind` gets it; `send` sends each as the
// sizeof...(Parts) strings that it is in the reply.
template <typename Kind, typename... Parts>
Reply ScanElements(Call& call, void (*send)(RedisModuleCtx*, Parts...)) {
  const auto from = ParseCursor(call.arg(2));
  if (!from) return InvalidCursor();
  auto opened = ReadKey<Kind>(call, 1);
  std::vector<std::tuple<Parts...>> elements;
  std::uint64_t next = 0;
  if (opened.existed()) {
    ElementScan scan;
    if (auto error = scan.ParseOptions(call, 3)) return *error;
    next = scan.Walk(*opened, *from, [&](Parts... parts) { elements.emplace_back(parts...); });
  }
  // Holds what the elements are views of.
  return Holding(std::move(opened), [elements = std::move(elements), next, send](RedisModuleCtx* ctx, const Kind&) {
    RedisModule_ReplyWithArray(ctx, 2);
    SendText(ctx, std::to_string(next));
    RedisModule_ReplyWithArray(ctx, static_cast<long>(elements.size() * sizeof...(Parts)));
    for (const auto& element : elements) {
      std::apply([&](Parts... parts) { send(ctx, parts...); }, element);
    }
  });
}

}  // namespace faha::module
