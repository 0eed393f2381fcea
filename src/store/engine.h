// The keyspace over the log: reads, writes, and the one replay that recovery, backups and promotion share.
// Thread: main loop only.
// Invariants: (1) the index names, for each key, the newest applied put; applied() says how far that is.
//             (2) replay applies whole units only; a unit whose end never came is dropped.
//             (3) usage() counts as live what the index names, and what a retired index names that was not taken down
//             yet; SettleUsage() sees to that.
//             (4) clients' database numbers end here: index, counts and records know the stored ones alone.
//             (5) a hot key's block holds what its newest record holds: readers cannot tell the difference.
//             (6) nobody is told what a record's check does not vouch for: misread() says so instead.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <memory_resource>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "faha/status.h"
#include "faha/store.h"
#include "faha/types.h"
#include "keyspace/db_counts.h"
#include "keyspace/hot_tier.h"
#include "keyspace/indexes.h"
#include "log/log.h"
#include "store/database_map.h"
#include "store/journal.h"
#include "store/usage.h"

namespace faha {

class Engine final : private KeySource {
 public:
  // `memory`: for the index and the hot tier, which has none before SetHotBytes().
  // `seed`: of the keys' hashes, until a checkpoint is loaded, which has its own.
  explicit Engine(Log* log, std::pmr::memory_resource* memory = std::pmr::get_default_resource(),
                  std::uint64_t seed = KeyHash::RandomSeed())
      : log_(log), index_(*this, memory, KeyHash(seed)), hot_(&index_, memory), usage_(&log->pool()) {}
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  [[nodiscard]] std::optional<Entry> Get(DbId db, std::string_view key);
  // Of kPrefetchKeys keys at most; see Store.
  void Prefetch(DbId db, std::span<const std::string_view> keys) const;
  void PrefetchFirst(DbId db, std::string_view key) const { Ahead(map_.Stored(db), key); }
  // Appends and applies at once (primary).  Errors: as Log::Append.
  Status Put(DbId db, std::string_view key, std::string_view value, TimeMs expire_at);
  Status Delete(DbId db, std::string_view key);
  Status Flush(std::optional<DbId> db);
  // Two databases exchange their keys.  Errors: as Log::Append, of a record of at most SwapBytes().
  Status Swap(DbId a, DbId b);
  [[nodiscard]] std::uint64_t SwapBytes() const {
    return format::RecordBytes(0, (map_.swapped().size() + 2) * sizeof(format::SwappedDb), false);
  }
  void ForEachKey(DbId db, const std::function<void(std::string_view)>& visit) const;
  // See Store.
  using Visitor = Store::Visitor;
  std::uint64_t Scan(DbId db, std::uint64_t cursor, const Visitor& visit) const;
  bool RandomKey(DbId db, std::uint64_t random, const Visitor& visit) const;
  using ExpiryVisitor = std::function<void(DbId db, std::string_view key, TimeMs expire_at)>;
  std::uint64_t ScanExpiring(std::uint64_t cursor, const ExpiryVisitor& visit) const;
  [[nodiscard]] std::uint64_t Expiring(DbId db) const { return expiring_.Of(map_.Stored(db)); }
  [[nodiscard]] std::uint64_t Expiring() const { return expiring_.total(); }
  [[nodiscard]] std::uint64_t Size(DbId db) const { return index_.Size(map_.Stored(db)); }
  [[nodiscard]] std::uint64_t Size() const { return index_.Size(); }
  // How many databases clients must be able to name to see every key; 0 if there is none.
  [[nodiscard]] std::uint32_t Databases() const {
    std::uint32_t databases = 0;
    index_.ForEachDb([&](DbId stored) {
      if (stored != kHiddenDb && index_.Size(stored) != 0)
        databases = std::max(databases, std::uint32_t{map_.Named(stored)} + 1);
    });
    return databases;
  }
  // What clients call the database whose records have that number.
  [[nodiscard]] DbId Named(DbId stored) const { return map_.Named(stored); }
  // Is the put at `at` the newest of its key?
  [[nodiscard]] bool IsNewest(const Record& record, LogAddress at) const {
    return IsNewest(record, index_.Hash(record.db, record.key), at);
  }
  [[nodiscard]] bool IsNewest(const Record& record, std::uint64_t hash, LogAddress at) const {
    return index_.Holds(record.db, hash, at);
  }
  // Since TakeMisread(): has something been left out of what was asked for, or taken for absent, because the medium has
  // damaged its record?  Then Pool::damage() says so, too, and nothing may follow from what was told.
  [[nodiscard]] bool misread() const { return misread_; }
  bool TakeMisread() { return std::exchange(misread_, false); }
  // The index had to place a key whose record is damaged, and cannot name it any more: whoever asked for it would be
  // told that it is absent.  Until the log is given up.
  [[nodiscard]] bool broken() const { return broken_; }
  // Has the key of `record` a value?
  [[nodiscard]] bool HasKeyOf(const Record& record) const { return !index_.Find(record.db, record.key).IsNone(); }

  // --- The hot tier.
  void SetHotBytes(std::uint64_t bytes) { hot_.SetLimit(bytes); }
  // Between units: what was read may become hot.
  void SettleHot() {
    // It was read a while ago.  What is damaged since has no bytes, and stays cold.
    hot_.Settle([this](LogAddress at) {
      return log_->IsAsWritten(at, RecordPart::kAll) ? log_->RecordBytesAt(at) : std::span<const std::byte>{};
    });
  }
  // Does a little of what can wait: what a lowered limit leaves too much is evicted, and what was flushed is taken
  // down. True: there may be more.
  bool Tend() {
    const bool shrinks = hot_.Shrink();
    return TakeDownFlushed() || shrinks;
  }
  [[nodiscard]] const HotTier& hot() const { return hot_; }
  [[nodiscard]] std::uint64_t IndexBytes() const { return index_.MemoryBytes(); }
  // For tests: ends the process if an invariant of index or hot tier does not hold.  Reads every key.
  void CheckInvariants() const;

  // --- For the cleaner (primary).
  // What must be known of a record to move it, fetched ahead.
  [[nodiscard]] std::uint64_t PrepareMove(const Record& record) const { return Ahead(record.db, record.key); }
  // Appends the put at `at`, which is the newest of its key, again to `head`.  Errors: as Log::Append.
  Status MovePut(const Record& record, std::uint64_t hash, LogAddress at, Head head);
  // The same for a delete of LSN `of` whose key is absent.
  Status MoveDelete(const Record& record, Lsn of, Head head);
  // The newest kSwap record, if it stands in `segment`: also one that says nothing, for it hides what older ones say.
  Status MoveSwap(std::uint32_t segment, Head head);
  [[nodiscard]] const Usage& usage() const { return usage_; }
  // The log is being received and the segment leaves it, although the index may still name records in it: their newer
  // copies are in a gap, or have not come yet.  These keys are absent until the copies come.
  void DropNamed(const Segment& segment);
  // Takes down at once what was flushed, for whoever must know what can be cleaned.
  void SettleUsage() {
    while (TakeDownFlushed()) continue;
  }
  // The segment is about to be given back: nothing in the index names it.
  void Forget(std::uint32_t segment) {
    usage_.Forget(segment);
    for (FlushedAll& flushed : flushed_all_) flushed.live[segment] = 0;
    hot_.ForgetMissed();
  }

  // --- For a checkpoint.
  // Index and usage as bytes, piece by piece; false as soon as `write` says so.
  bool Save(const std::function<bool(std::span<const std::byte>)>& write) const;
  // Takes what Save wrote, of at most `limit` bytes, and has then applied all of the log.  False, and in no usable
  // state, if `read` or the bytes say so.
  bool Load(const std::function<bool(std::span<std::byte>)>& read, std::uint64_t limit);
  // Has every unit ended that was applied?
  [[nodiscard]] bool settled() const { return held_.empty(); }

  // ApplyTo for a log that was just opened: the index has its size from the start.
  void Replay(Lsn target);
  // Replays up to `target`, which is committed, or the log's end, whichever comes first.
  void ApplyTo(Lsn target);
  // Replays up to the log's end, committed or not, as who is about to be the primary does.
  void ApplyTail();
  // A primary has applied what it appended.
  void Appended() { applied_ = log_->end().lsn; }
  // Everything up to `lsn` is committed, and is never taken back.
  void Committed(Lsn lsn);
  // Forgets what lies behind `keep`, sealed or not, and is as one that has replayed the log up to `keep`.  The log is
  // to be cut after this call: what is taken back is read there.  Otherwise, as for `keep` 0 and where more is to be
  // taken back than was noted, the log is replayed from its start.
  void RollBackTo(Lsn keep);
  // Behind what was applied: where the next batch stands is looked for anew, for its segment may be another one.
  void LogWasCut() { cursor_ = {}; }
  // How often that was a replay.
  [[nodiscard]] std::uint64_t replays() const { return replays_; }
  // Replays one batch, which needs no place in the log's segments.  Its records are well-formed, and whoever calls this
  // has seen to the order.  False, and nothing was applied: it is damaged since it was written, see Pool::damage().
  bool Apply(const LocatedBatch& batch);
  [[nodiscard]] Lsn applied() const { return applied_; }
  // Was anything of a user ever written, as far as this node has applied?
  [[nodiscard]] bool touched() const { return touched_; }

 private:
  [[nodiscard]] Key KeyAt(Place place) const override;
  [[nodiscard]] bool Has(Place place, DbId db, std::string_view key) const override {
    const bool has = IsOf(BytesAt(place), db, key);
    if (!has) (void)AsWritten(place, RecordPart::kHead);  // damage is one reason why it is another key's
    return has;
  }
  void Prefetch(Place place) const override {
    if (place.hot()) {
      PrefetchLine(place.block());
      PrefetchLine(place.block() + 3);
    } else {
      log_->Prefetch(place.log_address());
    }
  }
  [[nodiscard]] const std::byte* BytesAt(Place place) const {
    return place.hot() ? place.block()->record() : log_->BytesAt(place.log_address());
  }
  // Is that part of the record at `place` as it was written?  If not, it is misread.  Hot ones are in DRAM.
  [[nodiscard]] bool AsWritten(Place place, RecordPart part) const {
    if (place.hot() || log_->IsAsWritten(place.log_address(), part)) return true;
    misread_ = true;
    return false;
  }
  // The record at `place`, of which `part` is as it was written; nothing if it is not.
  [[nodiscard]] std::optional<Record> RecordAt(Place place, RecordPart part) const {
    if (!AsWritten(place, part)) return std::nullopt;
    return TrustedRecord(BytesAt(place));
  }
  // Appends `record`, which is about to be applied.
  Result<LogAddress> Append(const Record& record, Head head = Head::kHot);
  // A record to be applied, and its key's hash.
  struct Held {
    LogAddress at;
    std::uint64_t hash = 0;
    DbId db = 0;
  };
  void Advance(Lsn target);
  bool ApplyHeld();
  void ApplyRecord(const Record& record, const Held& held);
  void ApplyPut(const Record& record, const Held& held);
  void ApplyDelete(const Record& record, const Held& held);
  void ApplyFlush(const Record& record, LogAddress at);
  void ApplySwap(const Record& record, LogAddress at);
  std::uint64_t ScanStored(DbId stored, std::uint64_t cursor, const Visitor& visit) const;
  // The hash of a key that is about to be looked up.
  std::uint64_t Ahead(DbId stored, std::string_view key) const {
    const std::uint64_t hash = index_.Hash(stored, key);
    index_.Prefetch(stored, hash);
    return hash;
  }
  // The record at `place` is not its key's newest any more.
  void Died(Place place) {
    const auto record = RecordAt(place, RecordPart::kHead);
    if (!record) return;
    usage_.DropLive(place.log_address(), record->bytes);
    if (record->expire_at != kNoExpiry) expiring_.Down(record->db);
  }
  // The key at `place` is gone.
  void Erased(Place place) {
    Died(place);
    if (place.hot()) hot_.Drop(place.block());
  }

  // The retired index of a database that was flushed.
  struct Flushed {
    Index* table;
    std::uint64_t forgets;  // of segments, until then
    int covered = 0;        // by so many flushes of everything, which may be taken back: none of its records is counted
  };
  // What a flush of everything, which may be taken back, has taken away.
  struct FlushedAll {
    Indexes::Tables tables;
    std::unique_ptr<HotTier::Parked> hot;
    std::vector<std::uint64_t> live;  // bytes by segment
    DbCounts expiring;
  };
  // Until so many keys a flush erases one by one.
  static constexpr std::uint64_t kFewKeys = 512;
  [[nodiscard]] bool HeadsAreWhole(std::optional<DbId> db) const;
  void FlushAll(LogAddress at);
  void FlushDb(DbId db, LogAddress at);
  void EraseEach(DbId db, LogAddress at);
  // Takes a part of what was flushed down; true: there is more.
  bool TakeDownFlushed();
  // Is the record at `at`, which `flushed` names, still in the log?
  [[nodiscard]] bool InLog(const Flushed& flushed, LogAddress at) const {
    return !usage_.ForgottenSince(at, flushed.forgets);
  }

  // --- The way back: engine_rollback.cc.
  void Note(Undo::Kind kind, DbId db, std::uint64_t hash, LogAddress at, std::uint64_t old) {
    journal_.Add(kind, touched_, db, hash, at, old);
  }
  [[nodiscard]] Lsn WholeThrough(Lsn keep) const;
  [[nodiscard]] bool CanTakeBack(Lsn keep) const;
  void ReplayThrough(Lsn keep);
  void TakeBack(const Undo& step);
  void TakePutBack(const Undo& step);
  void TakeSwapBack(LogAddress old);
  void TakeFlushAllBack();
  // The record at `at` is its key's newest again.
  void Revive(LogAddress at);

  Log* log_;
  Indexes index_;
  HotTier hot_;
  Usage usage_;
  DbCounts expiring_;            // keys that have an expiry
  std::deque<Flushed> flushed_;  // oldest first
  std::size_t final_ = 0;        // of the oldest of them: so many will not be taken back
  std::deque<FlushedAll> flushed_all_;
  Journal journal_;
  DatabaseMap map_;
  LogAddress swap_at_;  // the newest kSwap record; none: 0
  Lsn applied_;
  LogCursor cursor_;        // behind the last batch that ApplyTo applied
  std::vector<Held> held_;  // the records whose unit is not complete yet
  Lsn held_from_;           // the first batch that holds one of them
  Lsn held_through_;        // the last batch that was replayed
  bool tail_ = false;       // what is replayed now may not be committed
  bool touched_ = false;
  mutable bool misread_ = false, broken_ = false;
  std::uint64_t replays_ = 0;
};

}  // namespace faha
