// Whether this node works, and what its operator is told about it: the failure that ends its service, the problem that
// is shown as last-error, and lines of the server's log.  Thread: main loop only.
// Invariant: after a failure of the medium (ok() is false) nothing is acknowledged, served or promised any more.
#pragma once

#include <functional>
#include <string>
#include <utility>

#include "faha/clock.h"
#include "faha/options.h"
#include "faha/status.h"
#include "store/complaints.h"

namespace faha {

class Health {
 public:
  struct Problem {
    Status status;
    MonoTime at{0};
  };
  // `options`, `clock`: must outlive this.  `failed` is called once, when the node has failed, and ends what a failure
  // ends.
  Health(const Options* options, const Clock* clock, std::function<void()> failed)
      : options_(options), clock_(clock), failed_(std::move(failed)) {}

  [[nodiscard]] bool ok() const { return failure_.ok(); }
  // Ok, or Fenced: why this node has stopped serving.
  [[nodiscard]] const Status& failure() const { return failure_; }
  // The medium has failed.  Always returns failure().
  Status Fail(const Status& status);

  void Note(LogLevel level, const std::string& line) const { options_->log(level, line); }
  // Shows the problem as last-error from now on; Remember() also writes it to the server's log.
  void NoteProblem(const Status& problem) { problem_ = {problem, clock_->Now()}; }
  void Remember(const Status& problem);
  // The problem that was shown is over.
  void Mended() { problem_ = {}; }
  [[nodiscard]] const Problem& problem() const { return problem_; }

 private:
  const Options* options_;
  const Clock* clock_;
  std::function<void()> failed_;
  Status failure_;
  Problem problem_;
  Complaints complaints_;
};

}  // namespace faha
