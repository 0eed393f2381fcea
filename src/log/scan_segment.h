// What one segment holds, by itself.  Thread: any; reads the medium only.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "log/log.h"
#include "log/pool.h"

namespace faha {

// A batch as the search for the log's end needs it.
struct ScannedBatch {
  LogAddress at;
  Epoch epoch;
  Lsn lsn;
  std::uint64_t checksum = 0;
  std::uint64_t digest = 0;
  std::uint64_t bytes = 0;  // with padding
};

struct ScannedFree {
  Lsn lsn;
  format::FreeNote note{};
};

struct ScannedSegment {
  Segment segment;  // the whole run
  std::uint64_t batches = 0, records = 0;
  Lsn committed{};  // the highest commit LSN that any whole batch of the generation names, stray or not
  std::vector<ScannedFree> frees{};
  std::vector<std::pair<Lsn, LogAddress>> configs{};  // batches that hold a configuration
  std::vector<LogAddress> unpadded{};                 // batches of the run whose padding is not zero
  std::vector<LogAddress> stray{};  // whole batches behind the run's end: something before them is torn or damaged
  std::optional<Lsn> malformed{};   // a whole batch that holds records this release does not know
};

// `table`: index, head, generation and first LSN as the table tells.
ScannedSegment ScanSegment(const Pool& pool, const Segment& table);

// The highest commit LSN that any whole batch in segment `index` names, of whatever use of it.  Neither its entry nor
// its first batch tells what it holds, but what was committed once stays so.
Lsn CommittedInSegment(const Pool& pool, std::uint32_t index);

// The batches of a scanned run from `from` on.
std::vector<ScannedBatch> BatchesFrom(const Pool& pool, const Segment& run, Lsn from);

}  // namespace faha
