// Reads the secret from a file that only its owner can read.  Thread: main loop only.
#pragma once

#include <cstddef>
#include <string>

#include "faha/status.h"

namespace faha {

inline constexpr std::size_t kMaxSecretBytes = 200;

// The first line of the file, without its newline: 1 to kMaxSecretBytes bytes.
// Errors: BadConfig - it cannot be read, is no file, is open to others than its owner, or its first line is no secret.
Result<std::string> ReadSecretFile(const std::string& path);

}  // namespace faha
