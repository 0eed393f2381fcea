// Every batch and record of a pool in LSN order, one line each.  Thread: main only.
#pragma once

#include <cstdio>
#include <optional>
#include <string>

#include "faha/types.h"
#include "log/pool.h"
#include "tools/survey.h"

namespace faha {

struct DumpOptions {
  bool json = false;  // an object a line, with the whole value; otherwise a long value is cut short
  // With either of these, only records are printed: those of the key and the database, the flushes that hit them, and
  // the swaps.  `db` is the number that records carry, which after a swap differs from the number that clients use.
  std::optional<std::string> key;
  std::optional<DbId> db;
};

// Throws std::system_error where `out` cannot be written.
void Dump(const Pool& pool, const Survey& survey, const DumpOptions& options, std::FILE* out);

}  // namespace faha
