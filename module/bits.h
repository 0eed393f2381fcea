// What the bit commands share.  Bit 0 is the highest bit of byte 0.  Thread: any; pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "module/call.h"

namespace faha::module::bits {

// The offset of a bit; with a `width`, #N means N times the width.  Returns nothing if Redis would not hold a string of
// that length.
std::optional<std::uint64_t> ParseOffset(const Call& call, std::string_view text, int width = 0);
Reply BadOffset();

// False for a bit behind the end.
bool BitAt(std::string_view bytes, std::uint64_t bit);
// `bit` must be within `bytes`.
void SetBitAt(std::string& bytes, std::uint64_t bit, bool on);

}  // namespace faha::module::bits
