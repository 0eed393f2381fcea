// What one segment holds by itself, without regard to the others.  Thread: any; reads the medium only.
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
  Segment segment;  // its whole run of batches
  std::uint64_t batches = 0, records = 0;
  Lsn committed{};  // the highest commit LSN that any whole batch of the generation names, stray or not
  std::vector<ScannedFree> frees{};
  std::vector<std::pair<Lsn, LogAddress>> configs{};  // batches that hold a configuration
  std::vector<LogAddress> unpadded{};                 // batches of the run whose padding is not zero
  std::vector<LogAddress> stray{};  // whole batches behind the run's end: something before them is torn or damaged
  std::optional<Lsn> malformed{};   // a whole batch that holds records this release does not know
};

// `table`: the segment's index, head, generation and first LSN, as the table names them.
ScannedSegment ScanSegment(const Pool& pool, const Segment& table);

// The highest commit LSN that any whole batch in segment `index` names, whichever use of the segment it is from.  This
// is for segments of which neither the entry nor the first batch tells what they hold: a batch that was once committed
// stays committed, so even a batch of an earlier use is of use here.
Lsn CommittedInSegment(const Pool& pool, std::uint32_t index);

// The batches of a scanned run from `from` on.
std::vector<ScannedBatch> BatchesFrom(const Pool& pool, const Segment& run, Lsn from);

}  // namespace faha
