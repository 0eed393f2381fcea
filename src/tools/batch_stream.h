// All whole batches of a pool in LSN order, whether the pool adds up or not.  Thread: any; reads the medium only.
// Memory: a few words for each batch of the segments that are being read, one for each head as a rule.
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "log/log.h"
#include "log/pool.h"
#include "log/scan_segment.h"

namespace faha {

struct StreamedBatch {
  LocatedBatch batch;        // `bytes` as on the medium; reused_after and opens_segment are not set
  bool stray = false;        // something before it in its segment is torn or damaged
  bool well_formed = false;  // all its records are of a form this release knows
  bool follows = false;      // its epoch and LSN follow the last one's: false for what a crash left of another fork
};

class BatchStream {
 public:
  // Both must outlive the stream.
  BatchStream(const Pool& pool, const std::vector<ScannedSegment>& found);
  // The next batch; nothing behind the last one.
  std::optional<StreamedBatch> Next();

 private:
  struct Source {
    std::vector<LogAddress> batches;  // of the segment
    std::size_t at = 0;
    bool listed = false;
  };
  void List(std::size_t source);
  void Queue(std::size_t source);

  const Pool& pool_;
  const std::vector<ScannedSegment>& found_;
  std::vector<Source> sources_;            // one for each of found_
  std::multimap<Lsn, std::size_t> queue_;  // each source by its next LSN, or by its first until it is listed
  Epoch epoch_;
  Lsn last_;
};

}  // namespace faha
