#include "tools/report.h"

#include <fmt/format.h>

#include <algorithm>

#include "tools/text.h"

namespace faha {
namespace {

// How many LSNs a line names; further ones are only counted.
constexpr std::size_t kNamedLosses = 10;

std::string CopyText(const Pool& pool, std::uint32_t copy) {
  const auto super = pool.ReadCopy(copy);
  return super ? fmt::format("whole, sequence {}", super->sequence) : std::string("not whole, or never written");
}

std::string_view StateOf(const Survey& survey, const Segment& segment) {
  if (!survey.log) return "readable";
  for (const Segment& part : survey.log->segments) {
    if (part.generation == segment.generation) return part.freed_by.value != 0 ? "freed, pending" : "in use";
  }
  const auto& freed = survey.log->freed;
  if (std::find(freed.begin(), freed.end(), segment.index) != freed.end()) return "freed, pending";
  return "would be cleared";
}

std::string_view VerdictText(Grade grade) {
  switch (grade) {
    case Grade::kClean: return "clean";
    case Grade::kCorrected: return "sound: the server corrects what is listed here by itself";
    case Grade::kDamaged: return "DAMAGED: restore this node from its peers, or save what is readable with --extract";
  }
  return "";
}

}  // namespace

void ReportPool(const Pool& pool, const std::string& path, std::FILE* out) {
  const Geometry geometry = pool.geometry();
  fmt::print(out, "pool: {}, {} bytes\n", path, pool.media().bytes().size());
  fmt::print(out, "format: version {}, batches {}\n", pool.version(),
             pool.log_key().IsNone() ? "not keyed: a value can pass for one" : "keyed");
  for (const std::uint32_t copy : {0U, 1U}) fmt::print(out, "superblock {}: {}\n", copy, CopyText(pool, copy));
  fmt::print(out, "cluster: {}\nnode: {}\n", pool.cluster().ToString(), pool.node().ToString());
  fmt::print(out, "promised epoch: {}, to {}; its primary: {}\n", pool.promised().value,
             pool.voted_for().IsNone() ? "nobody" : pool.voted_for().ToString(),
             pool.leader().IsNone() ? "not known" : pool.leader().ToString());
  fmt::print(out, "geometry: {} segments of {} bytes, granule {} bytes\n", geometry.segment_count,
             geometry.segment_bytes, geometry.granule);
  fmt::print(out, "state: {}\n", pool.installing() ? "installing" : "normal");
}

void ReportLog(const Pool& pool, const Survey& survey, const Replay& replay, std::FILE* out) {
  const Totals& totals = replay.totals();
  const Engine& engine = replay.engine();
  fmt::print(out, "batches: {}, {} bytes, of which {} are padding\n", totals.batches, totals.bytes, totals.padding);
  fmt::print(out, "lsn: {} to {}; {} gaps, {} batches in them\n", totals.first.value, totals.last.value, totals.gaps,
             totals.missing);
  fmt::print(out, "epochs: {} of them, {} to {}\n", totals.epochs, totals.first_epoch.value, totals.last_epoch.value);
  if (survey.log) fmt::print(out, "known as committed: {}\n", survey.log->known_committed.value);
  for (std::size_t i = 0; i < kRecordKinds.size(); ++i) {
    fmt::print(out, "records, {}: {}, {} bytes\n", kRecordKinds[i].name, totals.kinds[i].records,
               totals.kinds[i].bytes);
  }
  if (totals.half_units > 0) fmt::print(out, "units that a crash left half, not applied: {}\n", totals.half_units);
  for (const DbId db : replay.databases()) fmt::print(out, "keys, db {}: {}\n", db, engine.Size(db));
  fmt::print(out, "keys: {}\n", engine.Size());
  fmt::print(out, "live: {} bytes, deletes {} bytes\n", engine.usage().live_bytes(), engine.usage().tombstone_bytes());
  if (!totals.members.empty()) fmt::print(out, "members: {}\n", MembersText(totals.members));
  const std::uint64_t listed = survey.found.size();
  fmt::print(out, "segments: {} in the table, {} free\n", listed, pool.geometry().segment_count - listed);
}

void ReportSegments(const Pool& pool, const Survey& survey, const Replay& replay, std::FILE* out) {
  for (const ScannedSegment& found : survey.found) {
    const Segment& run = found.segment;
    const SegmentUsage& usage = replay.engine().usage().of(run.index);
    fmt::print(
        out,
        "segment {}: {}, generation {}, {}, lsn {} to {}, {} batches, {} bytes ({:.0f}%), live {} bytes, deletes "
        "{} bytes, {} flushes\n",
        run.index, run.head == Head::kHot ? "hot" : "cold", run.generation, StateOf(survey, run), run.first.value,
        run.last.value, found.batches + found.stray.size(), run.used_bytes,
        100.0 * static_cast<double>(run.used_bytes) / static_cast<double>(pool.geometry().segment_bytes),
        usage.live_bytes, usage.tombstone_bytes, usage.flushes);
  }
}

void ReportFindings(const Survey& survey, std::FILE* out) {
  for (const Finding& finding : survey.findings) {
    fmt::print(out, "{}: {}\n", finding.grade == Grade::kDamaged ? "damage" : "note", finding.line);
  }
  fmt::print(out, "verdict: {}\n", VerdictText(survey.grade()));
}

void ReportLosses(const Survey& survey, const Totals& totals, std::FILE* out) {
  if (survey.log) return;
  std::string named;
  for (const Lsn lsn : survey.lost) {
    named += fmt::format("{}{}", named.empty() ? "" : ", ", lsn.value);
    if (named.size() > kNamedLosses * 8) break;
  }
  if (!survey.lost.empty()) fmt::print(out, "left out: {} batches: {}\n", survey.lost.size(), named);
  if (survey.all_located) {
    fmt::print(out, "left out: nothing else; the other gaps were left by cleaning\n");
  } else {
    fmt::print(out,
               "left out: perhaps more, whose place is not known: {} gaps up to batch {} may have been left by "
               "cleaning, {} behind it cannot\n",
               totals.gaps - totals.unexplained, survey.freed_through.value, totals.unexplained);
  }
  if (totals.headless_units > 0) {
    fmt::print(out, "left out: {} units, {} records, whose beginning is lost\n", totals.headless_units,
               totals.headless_records);
  }
  fmt::print(out,
             "keys that were written in what is left out have their older value, or are absent; deleted ones may be "
             "back, and swapped databases may have each other's numbers\n");
}

}  // namespace faha
