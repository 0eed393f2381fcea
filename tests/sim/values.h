// What clients write: content that tells which write wrote it, and whether it is whole.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <string_view>

#include "tests/sim/history.h"

namespace faha::sim {

// Every word of it says which write wrote it and how long it is.
std::string Content(Value value, std::size_t bytes);

// The same at both ends; between them stands what a scan of the log could take for batches: some made by hand, of
// generations and commits that are still to come, with a checksum that whoever reads the sources can compute; and some
// copied from `disk`, a pool, at whatever place they may be looked for.
std::string ForgedContent(Value value, std::size_t bytes, std::span<const std::byte> disk, std::mt19937_64& random);

// Who wrote it; nothing if nobody did.
std::optional<Value> ValueOf(std::string_view content);

}  // namespace faha::sim
