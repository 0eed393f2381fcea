// Recovery's first half: which batches of a pool are the log.  Thread: main loop only, before the log exists.
//
// The chain starts at the oldest segment and goes on while each batch is whole and names its predecessor.  Where it
// ends, one table decides (our design; the commit LSN in every header is what makes the question answerable):
//
//   next batch   a later batch says it was committed   verdict
//   follows      -                                     keep
//   does not     no                                    cut: torn, or a stale tail; it was never acknowledged
//   does not     yes                                   repair: committed data is damaged; never truncated silently
//
// A table entry that is neither whole nor empty was torn as its segment was opened, or is damaged: its segment's first
// batch then says what the entry said, and the segment counts if it goes on with the chain.
#pragma once

#include <cstdint>
#include <vector>

#include "faha/options.h"
#include "faha/status.h"
#include "log/log.h"
#include "log/pool.h"

namespace faha {

enum class Verdict { kKeep, kCut, kRepair };
constexpr Verdict Judge(bool follows, bool later_batch_says_committed) {
  if (follows) return Verdict::kKeep;
  return later_batch_says_committed ? Verdict::kRepair : Verdict::kCut;
}

struct ScanResult {
  std::vector<Segment> segments;
  ChainEnd end;
  Lsn known_committed;
  std::vector<std::uint32_t> stale;    // segments the table names that hold nothing of the log
  std::vector<std::uint32_t> damaged;  // segments of the log whose entry must be written again
};

// Errors: Corrupt - the verdict was repair, or a record is malformed in spite of its batch's checksum.
Result<ScanResult> ScanPool(const Pool& pool, const LogSink& sink);

}  // namespace faha
