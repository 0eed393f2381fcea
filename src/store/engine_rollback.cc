// Rolling back: what was applied and is not committed is taken back step by step, the newest step first.  See
// journal.h.
// Thread: main loop only.
#include <utility>

#include "base/check.h"
#include "base/mutant.h"
#include "store/engine.h"

namespace faha {

void Engine::Committed(Lsn lsn) {
  journal_.Committed(lsn, [this](const Undo& step) {
    switch (static_cast<Undo::Kind>(step.kind)) {
      case Undo::Kind::kLetGo: LetGoForGood(step); break;
      case Undo::Kind::kFlushDb:
        ++final_;
        BuryFlushed();
        break;
      case Undo::Kind::kFlushAll:
        // The databases that were flushed before this flush of everything are not needed any more.
        for (; final_ > 0; --final_) {
          index_.Discard(flushed_.front().table);
          flushed_.pop_front();
        }
        flushed_all_.pop_front();
        break;
      default: break;
    }
  });
}

// The last batch up to which all units are whole if the log ends with `keep`.  If the last unit of a batch goes on in
// the next one, replay applies nothing of this batch until it sees the end of that unit; so all of these batches go
// together.
Lsn Engine::WholeThrough(Lsn keep) const {
  const auto has = [this](Lsn lsn, std::uint16_t flag) {
    const auto batch = log_->Find(lsn);
    return batch && (batch->view.header().flags & flag) != 0;
  };
  if (!has(keep, format::kUnitContinues) || Mutated(Mutant::kRollBackKeepsHalfAUnit)) return keep;
  const auto before = [](Lsn lsn) { return Lsn{lsn.value - 1}; };
  Lsn first = keep;
  while (has(first, format::kUnitContinued) && has(before(first), format::kUnitContinues)) first = before(first);
  return before(first);
}

// Are all steps after `keep` in the journal, and are the records that they name still in the log?
bool Engine::CanTakeBack(Lsn keep) const {
  if (keep < journal_.floor() || keep > applied_) return false;
  const Undo* newest = journal_.newest();
  return newest == nullptr || newest->lsn <= log_->end().lsn ||
         (newest->lsn == log_->end().lsn.Next() && log_->HasOpenBatch());
}

void Engine::RollBackTo(Lsn keep) {
  const Lsn whole = WholeThrough(keep);
  if (keep == Lsn{} || !CanTakeBack(whole)) return ReplayThrough(keep);
  hot_.ForgetMissed();
  while (journal_.newest() != nullptr && journal_.newest()->lsn > whole) TakeBack(journal_.TakeNewest());
  journal_.Close();
  held_.clear();
  held_through_ = applied_ = whole;
  cursor_ = {};
  Advance(keep);  // this only holds back the records of a unit without an end
}

void Engine::ReplayThrough(Lsn keep) {
  ++replays_;
  journal_.Reset(Lsn{});
  flushed_all_.clear();
  flushed_.clear();
  final_ = 0;
  index_.Clear();
  collections_ = NewCollections();
  SettleAt(keep);
  map_ = {};
  swap_at_ = {};
  hot_.Clear();
  hot_.ForgetMissed();
  held_.clear();
  held_through_ = applied_ = Lsn{};
  cursor_ = {};
  usage_.Reset();
  expiring_.Clear();
  touched_ = false;
  misread_ = broken_ = false;
  ApplyTo(keep);
  Settle();
}

void Engine::TakeBack(const Undo& step) {
  const LogAddress at{step.at}, old{step.old};
  const auto db = static_cast<DbId>(step.db);
  switch (static_cast<Undo::Kind>(step.kind)) {
    case Undo::Kind::kPut: TakePutBack(step); break;
    case Undo::Kind::kDelete:
      if (const auto record = RecordAt(Place::Cold(at), RecordPart::kHead)) usage_.DropTombstone(at, record->bytes);
      if (old.IsNone()) break;
      index_.Restore(db, step.hash, old);
      Revive(old);
      break;
    case Undo::Kind::kMove: {
      index_.Move(db, step.hash, at, old);
      const auto record = RecordAt(Place::Cold(at), RecordPart::kHead);
      if (!record) break;
      usage_.DropLive(at, Live::Of(*record));
      usage_.AddLive(old, Live::Of(*record));
      break;
    }
    case Undo::Kind::kElement: TakeElementBack(step); break;
    case Undo::Kind::kElementErased: TakeElementErasedBack(step); break;
    case Undo::Kind::kElementMove: {
      const auto record = ElementAt(at, RecordPart::kAll);
      Large* large = record ? collections_->Find(CollectionOf(*record)) : nullptr;
      if (large == nullptr) {
        Lost();
        break;
      }
      large->Move(*record, step.hash, at, old);
      usage_.DropLive(at, Live::Of(*record));
      usage_.AddLive(old, Live::Of(*record));
      break;
    }
    case Undo::Kind::kBind:
    case Undo::Kind::kLetGo: TakeBindingBack(step); break;
    case Undo::Kind::kSwap: TakeSwapBack(old); break;
    case Undo::Kind::kFlush: usage_.DropFlush(at); break;
    case Undo::Kind::kErased:
      index_.Restore(db, step.hash, old);
      Revive(old);
      break;
    case Undo::Kind::kFlushDb:
      index_.Revive(flushed_.back().table);
      collections_->TakeFlushBack(db, flushed_.back().collections);
      flushed_.pop_back();
      expiring_.Set(db, step.old);
      break;
    case Undo::Kind::kFlushAll: TakeFlushAllBack(); break;
  }
  touched_ = step.touched != 0;
}

void Engine::TakePutBack(const Undo& step) {
  const LogAddress at{step.at}, old{step.old};
  const auto db = static_cast<DbId>(step.db);
  if (const auto record = RecordAt(Place::Cold(at), RecordPart::kHead)) {
    usage_.DropLive(at, Live::Of(*record));
    if (record->expire_at != kNoExpiry) expiring_.Down(db);
  }
  const Place place = old.IsNone() ? index_.Remove(db, step.hash, at) : index_.Replace(db, step.hash, at, old);
  if (place.hot()) hot_.Drop(place.block());
  if (!old.IsNone()) Revive(old);
}

void Engine::TakeSwapBack(LogAddress old) {
  map_ = {};
  swap_at_ = old;
  if (old.IsNone()) return;
  const auto record = RecordAt(Place::Cold(old), RecordPart::kAll);
  const auto swapped = record ? ReadSwap(*record) : std::nullopt;
  if (swapped) {
    map_.Restore(*swapped);
  } else {
    broken_ = true;  // it is not known any more which database the keys belong to
  }
}

void Engine::TakeFlushAllBack() {
  FlushedAll& flushed = flushed_all_.back();
  index_.PutBack(std::move(flushed.tables));
  hot_.Unpark(std::move(flushed.hot));
  usage_.PutLiveBack(flushed.live);
  expiring_ = std::move(flushed.expiring);
  collections_ = std::move(flushed.collections);
  flushed_all_.pop_back();
  for (Flushed& before : flushed_) --before.covered;
  BuryFlushed();
}

void Engine::Revive(LogAddress at) {
  const auto record = RecordAt(Place::Cold(at), RecordPart::kHead);
  if (!record) return;
  usage_.AddLive(at, Live::Of(*record));
  if (record->expire_at != kNoExpiry) expiring_.Up(record->db);
}

}  // namespace faha
