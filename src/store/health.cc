#include "store/health.h"

#include <fmt/format.h>

namespace faha {

Status Health::Fail(const Status& status) {
  if (!failure_.ok()) return failure_;
  failure_ = {Code::kFenced, fmt::format("this node has stopped serving: {}", status.ToString())};
  Note(LogLevel::kWarning, failure_.ToString());
  failed_();
  return failure_;
}

void Health::Remember(const Status& problem) {
  NoteProblem(problem);
  if (!complaints_.Admit(problem.message(), clock_->Now())) return;
  if (const auto more = complaints_.TakeLeftOut(); more != 0) {
    Note(LogLevel::kWarning, fmt::format("{} complaints about peers were left out", more));
  }
  Note(LogLevel::kWarning, problem.ToString());
}

}  // namespace faha
