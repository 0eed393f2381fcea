#include "tools/check.h"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <exception>

#include "faha/version.h"
#include "pmem/pool_media.h"
#include "tools/dump.h"
#include "tools/extract.h"
#include "tools/report.h"
#include "tools/text.h"

namespace faha {
namespace {

constexpr const char* kExitCodes =
    "Exit codes:\n"
    "   0  clean\n"
    "   1  the server corrects what is wrong by itself: a torn tail, a torn table entry\n"
    "   4  damaged: committed data cannot be read; a server alone refuses the pool\n"
    "   8  the pool cannot be opened, is in use, is none or of another version; or the output cannot be written\n"
    "  16  wrong usage";

struct Settings {
  std::string pool;
  bool dump = false;
  DumpOptions dumping;
  std::string extract;
};

void AddOptions(CLI::App& app, Settings& settings, std::string& key, int& db) {
  app.add_option("POOL", settings.pool, "the file, a copy of it, or the device DAX")->required();
  auto* dump = app.add_flag("--dump", settings.dump, "print every batch and record, in the order of the log");
  app.add_flag("--json", settings.dumping.json, "as JSON lines; the character U+00NN of a string is the byte NN")
      ->needs(dump);
  app.add_option("--key", key,
                 "only records of this key, flushes and swaps; \\xNN, \\\\ and \\\" are read as they are dumped")
      ->needs(dump);
  app.add_option("--db", db,
                 "only records of this database, and flushes; by the number that records have: the lines of swaps, "
                 "which are printed too, tell what clients call it")
      ->needs(dump)
      ->check(CLI::Range(0, 65534));
  app.add_option("--extract", settings.extract,
                 "write all keys that are readable to this new file, for redis-cli --pipe")
      ->excludes(dump);
  app.footer(kExitCodes);
}

// Opens the pool for reading only.  Errors: as OpenMediaReadOnly and Pool::Inspect.
Result<std::unique_ptr<Pool>> OpenPool(const std::string& path) {
  auto media = OpenMediaReadOnly(path);
  if (!media.ok()) return media.status();
  return Pool::Inspect(std::move(media.value()));
}

int Fail(const Status& status, std::FILE* err) {
  fmt::print(err, "faha-check: {}\n", status.ToString());
  return kExitFailed;
}

int LookAt(const Settings& settings, std::FILE* out, std::FILE* err) {
  auto pool = OpenPool(settings.pool);
  if (!pool.ok()) return Fail(pool.status(), err);
  // The scan's warnings are not printed, because the findings report the same.  Its progress is shown on a terminal.
  const bool watched = isatty(fileno(err)) == 1;
  const Survey survey = SurveyPool(**pool, [&](LogLevel level, std::string_view line) {
    if (watched && level == LogLevel::kNotice) fmt::print(err, "{}\n", line);
  });
  if (settings.dump) {
    Dump(**pool, survey, settings.dumping, out);
    if (Status status = StillReadable(**pool, survey); !status.ok()) return Fail(status, err);
    if (survey.grade() != Grade::kClean) ReportFindings(survey, err);
    return static_cast<int>(survey.grade());
  }
  Replay replay(pool->get(), &survey);
  replay.Run();
  ReportPool(**pool, settings.pool, out);
  ReportLog(**pool, survey, replay, out);
  ReportSegments(**pool, survey, replay, out);
  if (!settings.extract.empty()) {
    const auto keys = Extract(**pool, survey, replay, settings.extract);
    if (!keys.ok()) return Fail(keys.status(), err);
    fmt::print(out, "extracted: {} keys to {}\n", *keys, settings.extract);
  }
  ReportLosses(survey, replay.totals(), out);
  ReportFindings(survey, out);
  if (Status status = StillReadable(**pool, survey); !status.ok()) return Fail(status, err);
  return static_cast<int>(survey.grade());
}

}  // namespace

int Check(int argc, const char* const* argv, std::FILE* out, std::FILE* err) {
  Settings settings;
  std::string key;
  int db = -1;
  CLI::App app(
      "Looks at a FaHA pool that no server has open: verifies it and counts what is in it.  Writes nothing to it.",
      "faha-check");
  AddOptions(app, settings, key, db);
  app.set_version_flag("--version", "faha-check " + std::string(Version()));
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    fmt::print(out, "{}", app.help());
    return 0;
  } catch (const CLI::CallForVersion& version) {
    fmt::print(out, "{}\n", version.what());
    return 0;
  } catch (const CLI::ParseError& error) {
    fmt::print(err, "faha-check: {}; see --help\n", error.what());
    return kExitUsage;
  }
  if (db >= 0) settings.dumping.db = static_cast<DbId>(db);
  if (app.count("--key") > 0) {
    settings.dumping.key = Unescape(key);
    if (!settings.dumping.key) {
      fmt::print(err, "faha-check: --key: a backslash starts \\xNN, \\\\ or \\\"; see --help\n");
      return kExitUsage;
    }
  }
  try {
    const int code = LookAt(settings, out, err);
    if (std::fflush(out) == 0) return code;
    return Fail({Code::kIoError, "the output cannot be written"}, err);
  } catch (const std::exception& error) {
    return Fail({Code::kIoError, fmt::format("the output cannot be written, or memory is short: {}", error.what())},
                err);
  }
}

}  // namespace faha
