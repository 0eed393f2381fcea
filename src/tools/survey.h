// What is wrong with a pool, and what a server would do with it.  Thread: main; the scan reads on several of its own.
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
  // No batches but those in `lost` are missing: their checksums make up the difference between the last batch's digest
  // and the sum of the batches that are there.  So every other gap was left by cleaning.
  bool all_located = false;
  std::uint64_t unreadable_bytes = 0;  // of the medium, as far as it was read

  [[nodiscard]] Grade grade() const {
    Grade worst = Grade::kClean;
    for (const Finding& finding : findings) worst = std::max(worst, finding.grade);
    return worst;
  }
  // Is the batch part of the log?  If the pool does not add up: is it one of the batches that can be used?
  [[nodiscard]] bool Counts(const StreamedBatch& batch) const {
    if (log) return !batch.stray && batch.batch.view.lsn() <= log->end.lsn;
    return batch.follows && batch.well_formed;
  }
  // `lsn` is not there now: may it have been a batch that was lost, and not one that cleaning has removed?
  [[nodiscard]] bool MayBeLost(Lsn lsn) const { return !log && (!all_located || lost.contains(lsn)); }
};

// `sink` is told of the progress.
Survey SurveyPool(const Pool& pool, const LogSink& sink);

// Errors: IoError - the medium has failed since the survey, so data that were read since may be zeros.
Status StillReadable(const Pool& pool, const Survey& survey);

}  // namespace faha
