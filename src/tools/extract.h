// The readable part of a pool, as commands that redis-cli --pipe loads into any Redis.  Thread: main only.
#pragma once

#include <cstdint>
#include <string>

#include "faha/status.h"
#include "log/pool.h"
#include "tools/replay.h"

namespace faha {

// Writes every key of `replay` to the new file `path`, in the order of their last writes; returns how many.  The name
// exists only once the file is complete and durable.
// Errors: BadConfig - `path`, or the name that it is written under first (path.new), is taken; NoSpace, IoError.
Result<std::uint64_t> Extract(const Pool& pool, const Survey& survey, const Replay& replay, const std::string& path);

}  // namespace faha
