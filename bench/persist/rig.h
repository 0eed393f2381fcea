// What the primary and the backups of the benchmark have in common.  Thread: that of main.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "faha/status.h"
#include "log/log.h"
#include "log/pool.h"

namespace faha::bench {

// One line on standard error, and the end of the process.
[[noreturn]] void Die(const Status& status);
void Require(const Status& status);
template <typename T>
T Require(Result<T> result) {
  Require(result.status());
  return std::move(result.value());
}

// True once standard input has ended: whoever started this process is done with it.
bool AskedToEnd();

// An empty log on a pool of the benchmark's own; a file that does not exist is made.
// Ends the process if the pool holds anybody else's log: a benchmark must not cost data.
struct Rig {
  Rig(const std::string& path, const std::string& domain);
  std::unique_ptr<Pool> pool;
  std::unique_ptr<Log> log;
};

}  // namespace faha::bench
