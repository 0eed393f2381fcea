// Bytes as text: for people, for JSON, and back.  Thread: any; pure functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "log/batch.h"

namespace faha {

// A configuration record's value: who the members are.
std::string MembersText(std::string_view value);

// Printable ASCII as it is but for \\ and \", every other byte as \xNN.
std::string Escape(std::string_view bytes);
// Reads what Escape wrote, or plain text without a backslash; nothing if a backslash starts something else.
std::optional<std::string> Unescape(std::string_view text);

// A JSON string in which the character U+00NN stands for the byte NN: valid and binary-safe.
std::string JsonString(std::string_view bytes);

}  // namespace faha
