// The report for people: identity, segments, counts, findings.  Thread: main only.
#pragma once

#include <cstdio>
#include <string>

#include "log/pool.h"
#include "tools/replay.h"
#include "tools/survey.h"

namespace faha {

// All of these throw std::system_error where `out` cannot be written.
void ReportPool(const Pool& pool, const std::string& path, std::FILE* out);
void ReportLog(const Pool& pool, const Survey& survey, const Replay& replay, std::FILE* out);
void ReportSegments(const Pool& pool, const Survey& survey, const Replay& replay, std::FILE* out);
// The findings, one line each, and the verdict.
void ReportFindings(const Survey& survey, std::FILE* out);
// What had to be left out of a damaged pool's keys.
void ReportLosses(const Survey& survey, const Totals& totals, std::FILE* out);

}  // namespace faha
