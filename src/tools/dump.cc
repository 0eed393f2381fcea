#include "tools/dump.h"

#include <fmt/format.h>

#include <cstring>

#include "log/record_kinds.h"
#include "tools/text.h"

namespace faha {
namespace {

using format::RecordKind;

// How many bytes of a key or a value are shown in a line for people.
constexpr std::size_t kShownBytes = 64;

std::string Shortened(std::string_view bytes) {
  if (bytes.size() <= kShownBytes) return fmt::format("\"{}\"", Escape(bytes));
  return fmt::format("\"{}\"... ({} bytes)", Escape(bytes.substr(0, kShownBytes)), bytes.size());
}

// The LSN of the batch that held the original of a moved delete; nothing if the record is no moved delete.
std::optional<std::uint64_t> MovedFrom(const Record& record) {
  std::uint64_t lsn = 0;
  if (InfoOf(record.kind).when_cleaned != WhenCleaned::kMovedIfHiding || record.value.size() != sizeof lsn)
    return std::nullopt;
  std::memcpy(&lsn, record.value.data(), sizeof lsn);
  return lsn;
}

class Dumper {
 public:
  Dumper(const Pool& pool, const Survey& survey, const DumpOptions& options, std::FILE* out)
      : pool_(pool), survey_(survey), options_(options), out_(out) {}

  void Run() {
    BatchStream stream(pool_, survey_.found);
    while (const auto next = stream.Next()) {
      lsn_ = next->batch.view.lsn();
      in_log_ = survey_.Counts(*next);
      if (!options_.key && !options_.db) options_.json ? JsonBatch(*next) : HumanBatch(*next);
      std::uint64_t number = 0;
      (void)next->batch.view.ForEach([&](const Record& record, std::uint64_t) {
        ++number;
        if (Wanted(record)) options_.json ? JsonRecord(record, number) : HumanRecord(record, number);
      });
    }
  }

 private:
  [[nodiscard]] bool Wanted(const Record& record) const {
    if (!options_.key && !options_.db) return true;
    if (record.kind == RecordKind::kSwap) return true;  // it tells which number a database has
    const bool of_db = !options_.db || record.db == format::kAllDatabases || record.db == *options_.db;
    switch (InfoOf(record.kind).concerns) {
      case Concerns::kKey: return of_db && (!options_.key || record.key == *options_.key);
      case Concerns::kDatabases: return of_db;
      case Concerns::kCluster:
      case Concerns::kLog: break;
    }
    return false;
  }

  struct BatchPlace {
    std::uint32_t segment = 0;
    std::uint64_t offset = 0;
    std::string_view head;
  };
  [[nodiscard]] BatchPlace PlaceOf(const StreamedBatch& next) const {
    const std::uint32_t segment = pool_.SegmentOf(next.batch.at);
    const bool cold = (next.batch.view.header().flags & format::kColdHead) != 0;
    return {segment, next.batch.at.value - pool_.SegmentStart(segment).value, cold ? "cold" : "hot"};
  }

  void HumanBatch(const StreamedBatch& next) {
    const format::BatchHeader& header = next.batch.view.header();
    const BatchPlace place = PlaceOf(next);
    fmt::print(out_,
               "batch {} epoch {} committed {} {} segment {} generation {} byte {} size {} records {} digest {:016x} "
               "checksum {:016x}{}{}{}{}\n",
               header.lsn, header.epoch, header.committed, place.head, place.segment, header.generation, place.offset,
               next.batch.bytes.size(), header.record_count, header.digest, header.checksum,
               (header.flags & format::kUnitContinued) != 0 ? " continued" : "",
               (header.flags & format::kUnitContinues) != 0 ? " continues" : "", in_log_ ? "" : " not-in-the-log",
               next.well_formed ? "" : " malformed");
  }

  void JsonBatch(const StreamedBatch& next) {
    const format::BatchHeader& header = next.batch.view.header();
    const BatchPlace place = PlaceOf(next);
    fmt::print(out_,
               R"({{"type":"batch","lsn":{},"epoch":{},"committed":{},"head":"{}","segment":{},"generation":{},)"
               R"("offset":{},"bytes":{},"records":{},"digest":"{:016x}","checksum":"{:016x}","continued":{},)"
               R"("continues":{},"in_log":{},"well_formed":{}}})"
               "\n",
               header.lsn, header.epoch, header.committed, place.head, place.segment, header.generation, place.offset,
               next.batch.bytes.size(), header.record_count, header.digest, header.checksum,
               (header.flags & format::kUnitContinued) != 0, (header.flags & format::kUnitContinues) != 0, in_log_,
               next.well_formed);
  }

  static std::string DbText(DbId db) { return db == format::kAllDatabases ? "all" : fmt::format("{}", db); }

  static std::string SwapText(const Record& record) {
    std::string text;
    const auto swapped = ReadSwap(record);
    if (!swapped) return "of a form that cannot be read";
    for (const auto& [db, stored] : *swapped) {
      fmt::format_to(std::back_inserter(text), "{}clients' db {} is db {}", text.empty() ? "" : ", ", db, stored);
    }
    return text.empty() ? "nothing is swapped" : text;
  }

  static std::string IdText(const CollectionId& id) { return fmt::format("{}.{}", id.born, id.number); }

  static std::string ElementText(const Record& record) {
    const bool list = record.type == ValueType::kList, sorted = record.type == ValueType::kSortedSet;
    const std::string name = list ? fmt::format("label {}", LabelOf(SubkeyOf(record))) : Shortened(SubkeyOf(record));
    std::string text = fmt::format("of {} {} {}", NameOf(record.type), IdText(CollectionOf(record)), name);
    if (record.kind == RecordKind::kElementErased) {
      if (const auto moved = MovedFrom(record)) text += fmt::format(" moved from batch {}", *moved);
      return text;
    }
    if (sorted) return text + fmt::format(" score {}", ScoreOf(record.value));
    return record.type == ValueType::kSet ? text : text + " value " + Shortened(record.value);
  }

  static std::string HumanContent(const Record& record) {
    switch (record.kind) {
      case RecordKind::kPut: {
        const std::string expiry =
            record.expire_at != kNoExpiry ? fmt::format(" expires {}", record.expire_at) : std::string();
        if (record.large)
          return fmt::format("db {} key {} large {} {}{}", record.db, Shortened(record.key), NameOf(record.type),
                             IdText(LargeOf(record)), expiry);
        return fmt::format("db {} key {} {} {}{}", record.db, Shortened(record.key),
                           record.type == ValueType::kString ? "value" : NameOf(record.type), Shortened(record.value),
                           expiry);
      }
      case RecordKind::kDelete: {
        const auto moved = MovedFrom(record);
        return fmt::format("db {} key {}{}", record.db, Shortened(record.key),
                           moved ? fmt::format(" moved from batch {}", *moved) : std::string());
      }
      case RecordKind::kFlush: return "db " + DbText(record.db);
      case RecordKind::kConfig: return MembersText(record.value);
      case RecordKind::kEpochStart: return "start";
      case RecordKind::kSwap: return SwapText(record);
      case RecordKind::kElement:
      case RecordKind::kElementErased: return ElementText(record);
      case RecordKind::kFree: break;
    }
    const auto note = ReadFreeNote(record);
    if (!note) return "of a form that cannot be read";
    return fmt::format("segment {} generation {} through batch {}", note->index, note->generation, note->through);
  }

  void HumanRecord(const Record& record, std::uint64_t number) {
    fmt::print(out_, "{}.{} {} {}{}\n", lsn_.value, number, InfoOf(record.kind).name, HumanContent(record),
               in_log_ ? "" : " not-in-the-log");
  }

  // Every kind has the same fields, so that a reader needs no table of kinds.
  void JsonRecord(const Record& record, std::uint64_t number) {
    const auto moved = MovedFrom(record);
    const std::string db = DbText(record.db);
    fmt::print(out_,
               R"({{"type":"record","lsn":{},"number":{},"kind":"{}","db":{},"key":{},"value_type":"{}","value":{},)"
               R"("expire_at":{},"moved_from":{},"in_log":{}}})"
               "\n",
               lsn_.value, number, InfoOf(record.kind).name, db == "all" ? "\"all\"" : db, JsonString(record.key),
               NameOf(record.type), JsonString(record.value),
               record.expire_at != kNoExpiry ? fmt::format("{}", record.expire_at) : "null",
               moved ? fmt::format("{}", *moved) : "null", in_log_);
  }

  const Pool& pool_;
  const Survey& survey_;
  const DumpOptions& options_;
  std::FILE* out_;
  Lsn lsn_;
  bool in_log_ = false;
};

}  // namespace

void Dump(const Pool& pool, const Survey& survey, const DumpOptions& options, std::FILE* out) {
  Dumper(pool, survey, options, out).Run();
}

}  // namespace faha
