// The keyspace over the log: reads, writes, and the one replay that recovery, backups and promotion share.
// Thread: main loop only.
// Invariants: (1) the index names, for each key, the newest applied put; applied() says how far that is.
//             (2) replay applies whole units only; a unit whose end never came is dropped.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>
#include <vector>

#include "faha/status.h"
#include "faha/store.h"
#include "faha/types.h"
#include "keyspace/index.h"
#include "log/log.h"

namespace faha {

class Engine : private KeySource {
 public:
  explicit Engine(Log* log) : log_(log), index_(*this) {}
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  [[nodiscard]] std::optional<Entry> Get(DbId db, std::string_view key) const;
  // Appends and applies at once (primary).  Errors: as Log::Append.
  Status Put(DbId db, std::string_view key, std::string_view value, TimeMs expire_at);
  Status Delete(DbId db, std::string_view key);
  Status Flush(std::optional<DbId> db);
  void ForEachKey(DbId db, const std::function<void(std::string_view)>& visit) const;
  [[nodiscard]] std::uint64_t Size(DbId db) const { return index_.Size(db); }
  [[nodiscard]] std::uint64_t Size() const { return index_.Size(); }

  // Replays up to `target` or the log's end, whichever comes first.
  void ApplyTo(Lsn target);
  // A primary has applied what it appended.
  void Appended() {
    applied_ = log_->end().lsn;
    next_at_ = LogAddress{};
  }
  // Forgets what lies behind `keep`, sealed or not, by replaying the log from its start.
  void RollBackTo(Lsn keep);
  [[nodiscard]] Lsn applied() const { return applied_; }
  // Was anything of a user ever written, as far as this node has applied?
  [[nodiscard]] bool touched() const { return touched_; }

 private:
  [[nodiscard]] Key KeyAt(LogAddress at) const override;
  void Prefetch(LogAddress at) const override { log_->Prefetch(at); }
  void ApplyBatch(const LocatedBatch& batch);
  void ApplyRecords(const std::vector<LogAddress>& at);
  void ApplyRecord(const Record& record, LogAddress at);

  Log* log_;
  Index index_;
  Lsn applied_;
  LogAddress next_at_;            // behind the last applied batch, if known
  std::vector<LogAddress> held_;  // the records whose unit is not complete yet
  bool touched_ = false;
};

}  // namespace faha
