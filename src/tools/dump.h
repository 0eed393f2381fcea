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
  // With either of these, records alone: those of the key and database, the flushes that hit them, and the swaps.
  // The database is the one that records name, which after a swap is not the one that clients do.
  std::optional<std::string> key;
  std::optional<DbId> db;
};

// Throws std::system_error where `out` cannot be written.
void Dump(const Pool& pool, const Survey& survey, const DumpOptions& options, std::FILE* out);

}  // namespace faha
