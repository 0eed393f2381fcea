// Recovery's first half: which batches of a pool are the log.  Threads: reads on several threads of its own; main
// otherwise.
//
// Each segment that the table names is a run of whole batches of its generation.  The log ends at the newest batch
// whose digest equals the sum of all batches before it, less what their free records take away.  So nothing is missing
// that was not freed.  Two facts decide about each candidate for the end, newest first (our design; the second fact is
// known because every header holds the commit LSN):
//
//   adds up   before what is known as committed   verdict
//   yes       -                                   keep: the log ends here
//   no        no                                  cut: it, or something before it, was torn; not known as committed
//   -         yes                                 repair: committed data is damaged; never truncated silently
//
// The superblock remembers that the log has held a committed batch, so a log without any batch is then damage, too.
//
// A table entry that is neither whole nor empty was torn when its segment was opened, or is damaged.  The segment's
// first batch then takes the place of the entry, and the segment counts if the log adds up with it.  The same holds for
// a whole batch at the front of a segment whose entry is empty: the entry was lost, or was not durable when power
// failed.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "faha/options.h"
#include "faha/status.h"
#include "log/log.h"
#include "log/pool.h"
#include "log/scan_segment.h"

namespace faha {

enum class Verdict { kKeep, kCut, kRepair };
constexpr Verdict Judge(bool adds_up, bool before_committed) {
  if (before_committed) return Verdict::kRepair;
  return adds_up ? Verdict::kKeep : Verdict::kCut;
}

struct ScanResult {
  std::vector<Segment> segments;  // oldest first
  ChainEnd end;
  std::uint64_t records = 0;  // of these segments; records behind the end may be counted, too
  Lsn known_committed;
  Lsn freed_through;                                // behind this batch there is no gap
  std::vector<std::pair<Lsn, LogAddress>> configs;  // batches that hold a configuration, oldest first
  std::vector<LogAddress> behind_end;               // whole batches that are not part of the log
  std::vector<LogAddress> unpadded;                 // whole batches whose padding is not zero
  std::vector<std::uint32_t> stale;                 // segments to be cleared: they hold nothing of the log
  std::vector<std::uint32_t> freed;                 // the same: committed records free them, in this order
  std::vector<std::uint32_t> damaged;               // segments of the log whose entry must be written again
};

// `found`, if it is not null, receives what each segment that the table names holds by itself, oldest first; also if
// the pool does not add up.
// Errors: Corrupt - the verdict was repair, a record is malformed in spite of its batch's checksum, or a part of the
// medium cannot be read.
Result<ScanResult> ScanPool(const Pool& pool, const LogSink& sink, std::vector<ScannedSegment>* found = nullptr);

// The newest configuration in any whole batch, although the pool does not add up; empty if there is none.
std::string NewestConfig(const Pool& pool);

}  // namespace faha
