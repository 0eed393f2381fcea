// The keyspace over the log: reads, writes, and the one replay that recovery, backups and promotion share.
// Thread: main loop only.
// Invariants: (1) the index names, for each key, the newest applied put; applied() says how far the log is applied.
//             (2) replay applies only whole units; a unit whose end never came is dropped.
//             (3) usage() counts as live the records that the index names, and also those that a retired index names
//                 and that were not taken down yet; SettleUsage() takes them down.
//             (4) clients' database numbers are translated here: the index, the counts and the records use only stored
//                 numbers.
//             (5) a hot key's block holds the same as its newest record in the log: readers cannot tell the difference.
//             (6) a large collection that a key has holds the newest records of its elements, which are live; those of
//                 an unbound or a buried one count as live until they are taken down.
//             (7) nothing is told to anybody that a record's check does not confirm: misread() says so instead.
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
#include "store/collections.h"
#include "store/database_map.h"
#include "store/journal.h"
#include "store/usage.h"

namespace faha {

class Engine final : private ElementSource {
 public:
  // `memory`: for the index and for the hot tier; the hot tier uses none before SetHotBytes().
  // `seed`: for the hashes of the keys, until a checkpoint is loaded, which has its own seed.
  explicit Engine(Log* log, std::pmr::memory_resource* memory = std::pmr::get_default_resource(),
                  std::uint64_t seed = KeyHash::RandomSeed())
      : log_(log),
        memory_(memory),
        totals_(memory),
        index_(*this, memory, KeyHash(seed)),
        element_hash_(HashOfElements()),
        hot_(&index_, memory),
        usage_(&log->pool()) {
    collections_ = NewCollections();
  }
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  [[nodiscard]] std::optional<Entry> Get(DbId db, std::string_view key);
  // For at most kPrefetchKeys keys; see Store.
  void Prefetch(DbId db, std::span<const std::string_view> keys) const;
  void PrefetchFirst(DbId db, std::string_view key) const { Ahead(map_.Stored(db), key); }
  // Appends and applies at once (primary).  Errors: as Log::Append.
  Status Put(DbId db, std::string_view key, const Entry& entry);
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
  // How many databases clients must be able to name in order to see every key; 0 if there is no key.
  [[nodiscard]] std::uint32_t Databases() const {
    std::uint32_t databases = 0;
    index_.ForEachDb([&](DbId stored) {
      if (stored != kHiddenDb && index_.Size(stored) != 0)
        databases = std::max(databases, std::uint32_t{map_.Named(stored)} + 1);
    });
    return databases;
  }
  // --- Large collections.  A put whose entry is large gives a key the collection whose name is the value.  A
  // collection that is begun gets its elements first, and then its key, in the same unit; what has no key then is gone.
  [[nodiscard]] CollectionId NewCollection();
  // True: the element is new, or was there.  An element that is absent is erased without a record.  Errors: as
  // Log::Append.
  Result<bool> PutElement(const CollectionId& id, ValueType type, std::string_view subkey, std::string_view value,
                          TimeMs expire_at = kNoExpiry);
  Result<bool> EraseElement(const CollectionId& id, std::string_view subkey);
  // Null: there is no such collection.  Valid until something is written.
  [[nodiscard]] const Large* Find(const CollectionId& id) const { return collections_->Find(id); }
  // The element's record; nothing if there is no such element.
  [[nodiscard]] std::optional<Record> FindElement(const CollectionId& id, std::string_view subkey) const;
  [[nodiscard]] std::optional<Record> ElementAt(LogAddress at, RecordPart part) const override {
    return RecordAt(Place::Cold(at), part);
  }
  [[nodiscard]] std::uint64_t LargeCollections() const { return collections_->Size(); }
  // What they take of DRAM, and how many elements they have.
  [[nodiscard]] const CollectionTotals& collection_totals() const { return totals_; }
  // Calls fn(Large&) for each collection that a key has, and for some that no key has any more.
  template <typename Function>
  void ForEachLarge(Function fn) const {
    collections_->ForEachBound(fn);
  }

  // --- Whether all is here that the log holds.  While it is not, collections without a key are kept: the record that
  // binds one may come later.
  // The log that is being received is whole now.
  void LogIsWhole() {
    settle_at_ = log_->end().lsn;
    Settle();
  }
  // Batches are missing in the log that is being received.
  void LogHasGaps();

  // The number by which clients call the database whose records have the number `stored`.
  [[nodiscard]] DbId Named(DbId stored) const { return map_.Named(stored); }
  // Is the put at `at` the newest of its key?
  [[nodiscard]] bool IsNewest(const Record& record, LogAddress at) const {
    return IsNewest(record, HashOf(record), at);
  }
  [[nodiscard]] bool IsNewest(const Record& record, std::uint64_t hash, LogAddress at) const {
    return IsElementKind(record.kind) ? IsNewestElement(record, hash, at) : index_.Holds(record.db, hash, at);
  }
  // Since TakeMisread(): was something left out of an answer, or taken for absent, because the medium has damaged its
  // record?  Then Pool::damage() reports it, too, and nobody may act on what was told.
  [[nodiscard]] bool misread() const { return misread_; }
  bool TakeMisread() { return std::exchange(misread_, false); }
  // The index had to place a key whose record is damaged, and cannot name this key any more: a client that asked for
  // the key would be told that it is absent.  This stays so until the log is given up.
  [[nodiscard]] bool broken() const { return broken_; }
  // Does the delete `record` hide nothing, because its key has a value?  Or because its element has one, or the
  // collection is gone?
  [[nodiscard]] bool HidesNothing(const Record& record) const {
    if (IsElementKind(record.kind)) return ErasesNothing(record);
    return !index_.Find(record.db, record.key).IsNone();
  }

  // --- The hot tier.
  void SetHotBytes(std::uint64_t bytes) { hot_.SetLimit(bytes); }
  // To be called between units: keys that were read may become hot.
  void SettleHot() {
    // The record was read a while ago.  If it was damaged since then, no bytes are returned, and the key stays cold.
    hot_.Settle([this](LogAddress at) {
      return log_->IsAsWritten(at, RecordPart::kAll) ? log_->RecordBytesAt(at) : std::span<const std::byte>{};
    });
  }
  // Does a part of the work that can wait: evicts blocks that exceed a lowered limit, and takes down what was flushed.
  // True: there may be more.
  bool Tend() {
    const bool shrinks = hot_.Shrink();
    return TakeDownFlushed() || shrinks;
  }
  [[nodiscard]] const HotTier& hot() const { return hot_; }
  [[nodiscard]] std::uint64_t IndexBytes() const { return index_.MemoryBytes(); }
  // For tests: ends the process if an invariant of the index or of the hot tier does not hold.  Reads every key.
  void CheckInvariants() const;

  // --- For the cleaner (primary).
  // Returns the hash of a record's key, and prefetches what must be known of it in order to move it, unless it is an
  // element.
  [[nodiscard]] std::uint64_t PrepareMove(const Record& record) const {
    return IsElementKind(record.kind) ? HashOf(record) : Ahead(record.db, record.key);
  }
  // Appends the put at `at`, which is the newest of its key, once more, to `head`.  Errors: as Log::Append.
  Status MovePut(const Record& record, std::uint64_t hash, LogAddress at, Head head);
  // The same for a delete whose key is absent.  `of` is the LSN of the original delete.
  Status MoveDelete(const Record& record, Lsn of, Head head);
  // Moves the newest kSwap record if it is in `segment`.  It is moved even if nothing is swapped now, because it hides
  // what older kSwap records say.
  Status MoveSwap(std::uint32_t segment, Head head);
  [[nodiscard]] const Usage& usage() const { return usage_; }
  // For a segment that leaves a log that is being received, while the index may still name records in it: the newer
  // copies of these records are in a gap, or have not come yet.  Their keys are absent until the copies come.
  void DropNamed(const Segment& segment);
  // Takes down everything that was flushed, at once.
  void SettleUsage() {
    while (TakeDownFlushed()) continue;
  }
  // Takes down a part of it, some thousand keys, for a caller that must know what can be cleaned.  True: there is more.
  bool SettleSome() {
    constexpr int kParts = 32;
    for (int i = 0; i < kParts; ++i) {
      if (!TakeDownFlushed()) return false;
    }
    return true;
  }
  // The segment is about to be given back, and nothing in the index names it.
  void Forget(std::uint32_t segment) {
    usage_.Forget(segment);
    for (FlushedAll& flushed : flushed_all_) flushed.live[segment] = {};
    hot_.ForgetMissed();
  }

  // --- For a checkpoint.
  // Writes index and usage as bytes, piece by piece; returns false as soon as `write` does.
  bool Save(const std::function<bool(std::span<const std::byte>)>& write) const;
  // Loads at most `limit` bytes that Save wrote.  Then all of the log is applied.  False if `read` fails or the bytes
  // are not valid; the engine is in no usable state then.
  bool Load(const std::function<bool(std::span<std::byte>)>& read, std::uint64_t limit);
  // Have all units ended whose records were replayed?
  [[nodiscard]] bool settled() const { return held_.empty(); }

  // As ApplyTo, for a log that was just opened: the index gets its final size at the start.
  void Replay(Lsn target);
  // Replays up to `target`, which is committed, or up to the log's end, whichever comes first.
  void ApplyTo(Lsn target);
  // Replays up to the log's end, committed or not: for a node that is about to become the primary.
  void ApplyTail();
  // Of a primary, which has already applied what it appended.
  void Appended() { applied_ = log_->end().lsn; }
  // Everything up to `lsn` is committed and will never be taken back.
  void Committed(Lsn lsn);
  // Takes back everything behind `keep`, sealed or not: afterwards the engine is as if it had replayed the log up to
  // `keep`.  The log must be cut after this call, because it still reads there what it takes back.  For `keep` 0, and
  // if more must be taken back than was noted, the log is replayed from its start instead.
  void RollBackTo(Lsn keep);
  // The log was cut behind what was applied.  The next batch may be in another segment now, so its place is looked for
  // again.
  void LogWasCut() {
    cursor_ = {};
    if (settle_at_ != Lsn{~std::uint64_t{0}}) settle_at_ = std::min(settle_at_, log_->end().lsn);
  }
  // How often RollBackTo() had to replay the log.
  [[nodiscard]] std::uint64_t replays() const { return replays_; }
  // Replays one batch, which need not be in one of the log's segments.  Its records are well-formed, and the caller
  // guarantees the order.  False: the batch was damaged after it was written, see Pool::damage(), and nothing was
  // applied.
  bool Apply(const LocatedBatch& batch);
  [[nodiscard]] Lsn applied() const { return applied_; }
  // Was anything ever written for a user, as far as this node has applied the log?
  [[nodiscard]] bool touched() const { return touched_; }

 private:
  [[nodiscard]] Key KeyAt(Place place) const override;
  [[nodiscard]] bool Has(Place place, DbId db, std::string_view key) const override {
    const bool has = IsOf(BytesAt(place), db, key);
    if (!has) (void)AsWritten(place, RecordPart::kHead);  // damage is one possible reason why the key is another one
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
  // Is this part of the record at `place` still as it was written?  If not, this counts as misread.  Hot records are in
  // DRAM and are not checked.
  [[nodiscard]] bool AsWritten(Place place, RecordPart part) const {
    if (place.hot() || log_->IsAsWritten(place.log_address(), part)) return true;
    misread_ = true;
    return false;
  }
  // The record at `place` if this part of it is as it was written; nothing if it is not.
  [[nodiscard]] std::optional<Record> RecordAt(Place place, RecordPart part) const {
    if (!AsWritten(place, part)) return std::nullopt;
    return TrustedRecord(BytesAt(place));
  }
  // Appends `record`, which is about to be applied.
  Result<LogAddress> Append(const Record& record, Head head = Head::kHot);
  // A record that waits to be applied, and the hash of its key.
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
  bool ApplyElement(const Record& record, const Held& held);
  void ApplyElementErased(const Record& record, const Held& held);
  void ApplyFlush(const Record& record, LogAddress at);
  void ApplySwap(const Record& record, LogAddress at);
  std::uint64_t ScanStored(DbId stored, std::uint64_t cursor, const Visitor& visit) const;
  [[nodiscard]] std::uint64_t HashOf(const Record& record) const {
    return IsElementKind(record.kind) ? element_hash_(record.db, record.key) : index_.Hash(record.db, record.key);
  }
  // Returns the hash of a key that is about to be looked up, and prefetches for it.
  std::uint64_t Ahead(DbId stored, std::string_view key) const {
    const std::uint64_t hash = index_.Hash(stored, key);
    index_.Prefetch(stored, hash);
    return hash;
  }
  // The record at `place` is not its key's newest any more.
  void Died(Place place) {
    const auto record = RecordAt(place, RecordPart::kHead);
    if (!record) return;
    usage_.DropLive(place.log_address(), Live::Of(*record));
    if (record->expire_at != kNoExpiry) expiring_.Down(record->db);
    if (record->large) LetGo(place.log_address());
  }
  // The key at `place` is gone.
  void Erased(Place place) {
    Died(place);
    if (place.hot()) hot_.Drop(place.block());
  }

  // The retired index of a database that was flushed.
  struct Flushed {
    Flushed(Index* retired, std::uint64_t forgotten) : table(retired), forgets(forgotten) {}
    Index* table;
    std::uint64_t forgets;  // the count of forgotten segments at that time
    int covered = 0;        // so many flushes of everything, not final yet, cover it; > 0: its records are not counted
    Collections::List collections = {};
  };
  // What a flush of everything has removed.  The flush may still be taken back.
  struct FlushedAll {
    Indexes::Tables tables;
    std::unique_ptr<HotTier::Parked> hot;
    std::vector<Live> live;  // by segment
    DbCounts expiring;
    std::unique_ptr<Collections> collections;
  };
  // A flush of at most so many keys erases them one by one.
  static constexpr std::uint64_t kFewKeys = 512;
  [[nodiscard]] bool HeadsAreWhole(std::optional<DbId> db) const;
  void FlushAll(LogAddress at);
  void FlushDb(DbId db, LogAddress at);
  void EraseEach(DbId db, LogAddress at);
  // Takes down a part of what was flushed; true: there is more.
  bool TakeDownFlushed();
  // Buries the collections of databases whose flush will not be taken back.
  void BuryFlushed();

  // --- Large collections: engine_elements.cc.
  // The name of an element's collection, with which its key begins, does not count: elements that become those of
  // another collection, by COPY or SUNIONSTORE onto the same key, have the same places there, so that a cursor of SSCAN
  // goes on to mean what it meant.
  [[nodiscard]] KeyHash HashOfElements() const { return index_.hash().Without(format::kCollectionIdBytes); }
  [[nodiscard]] std::unique_ptr<Collections> NewCollections() {
    return std::make_unique<Collections>(static_cast<const ElementSource&>(*this), &totals_, element_hash_);
  }
  void Lost() const override { broken_ = true; }
  [[nodiscard]] bool IsNewestElement(const Record& record, std::uint64_t hash, LogAddress at) const;
  [[nodiscard]] bool ErasesNothing(const Record& record) const;
  void DropNamedElement(const Record& record, LogAddress at);
  // The key's record at `at`, which names a collection, is its key's newest.
  void Bind(const Record& record, LogAddress at);
  // It is not any more.
  void LetGo(LogAddress at);
  void LetGo(Large& large);
  // The collection that the key's record at `at` names; null if it is gone, or the record is damaged.
  [[nodiscard]] Large* NamedBy(LogAddress at) const;
  void LetGoForGood(const Undo& step);
  void SettleAt(Lsn lsn);
  void Settle();
  void DropLiveSince(Place place, std::uint64_t forgets);
  void TakeElementBack(const Undo& step);
  void TakeElementErasedBack(const Undo& step);
  void TakeBindingBack(const Undo& step);
  void DropIfEmpty(Large& large);

  // --- Taking steps back: engine_rollback.cc.
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
  std::pmr::memory_resource* memory_;
  CollectionTotals totals_;
  Indexes index_;
  KeyHash element_hash_;
  std::unique_ptr<Collections> collections_;
  CollectionId born_;     // the name that the newest collection of this process has
  Lsn settle_at_;         // when so much is applied, all is here
  bool settled_ = false;  // it was applied: whoever is unbound from now on stays so
  HotTier hot_;
  Usage usage_;
  DbCounts expiring_;            // keys that have an expiry
  std::deque<Flushed> flushed_;  // oldest first
  std::size_t final_ = 0;        // so many of the oldest of them will not be taken back
  std::deque<FlushedAll> flushed_all_;
  Journal journal_;
  DatabaseMap map_;
  LogAddress swap_at_;  // the newest kSwap record; none: 0
  Lsn applied_;
  LogCursor cursor_;        // the position behind the last batch that ApplyTo applied
  std::vector<Held> held_;  // the records whose unit is not complete yet
  Lsn held_from_;           // the first batch that holds one of them
  Lsn held_through_;        // the last batch that was replayed
  bool tail_ = false;       // true while the batches that are replayed may be uncommitted
  bool touched_ = false;
  mutable bool misread_ = false, broken_ = false;
  std::uint64_t replays_ = 0;
};

}  // namespace faha
