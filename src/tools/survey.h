// What is wrong with a pool, and what a server would make of it.  Thread: main; the scan reads on several of its own.
// Invariant: nothing is written.
#pragma once

#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "faha/options.h"
#include "log/pool.h"
#include "log/scan.h"
#include "tools/batch_stream.h"

namespace faha {

// How bad it is; the values are exit codes.
enum class Grade : int {
  kClean = 0,
  kCorrected = 1,  // the server corrects it by itself
  kDamaged = 4,    // the server refuses the pool, or asks its peers for all of it
};

struct Finding {
  Grade grade = Grade::kClean;
  std::string line;
};

struct Survey {
  std::vector<ScannedSegment> found;  // of each segment that the table names, oldest first
  std::optional<ScanResult> log;      // nothing: the pool does not add up
  std::vector<Finding> findings;
  Lsn freed_through;   // behind this batch cleaning leaves no gap
  std::set<Lsn> lost;  // batches that are damaged, as far as their headers tell; only where there is no `log`
  // Nothing but those is missing, for their checksums make up the difference between what the last batch's digest says
  // and what is there.  So every other gap was left by cleaning.
  bool all_located = false;
  std::uint64_t unreadable_bytes = 0;  // of the medium, as far as they were looked at

  [[nodiscard]] Grade grade() const {
    Grade worst = Grade::kClean;
    for (const Finding& finding : findings) worst = std::max(worst, finding.grade);
    return worst;
  }
  // Is the batch part of the log or, if the pool does not add up, of what is readable?
  [[nodiscard]] bool Counts(const StreamedBatch& batch) const {
    if (log) return !batch.stray && batch.batch.view.lsn() <= log->end.lsn;
    return batch.follows && batch.well_formed;
  }
  // Was there a batch `lsn`, which is not there now, that cleaning has not moved?
  [[nodiscard]] bool MayBeLost(Lsn lsn) const { return !log && (!all_located || lost.contains(lsn)); }
};

// `sink` is told of the progress.
Survey SurveyPool(const Pool& pool, const LogSink& sink);

// Errors: IoError - the medium has failed since the survey: what was read since may be zeros in the place of data.
Status StillReadable(const Pool& pool, const Survey& survey);

}  // namespace faha
