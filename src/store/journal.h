// The steps that were applied and are not known to be committed, the newest last.  Each step says what is needed to
// take it back: where the key was before.  So a primary that is deposed returns to what is committed without replaying
// its log.
// A record that a step names is still in the log as long as the step is here.  Reason: the record's segment is given
// back only when the record that frees it is committed; that record was appended after the step, because a segment is
// freed only when nothing in it is live; so the step was committed, and forgotten, before.
// Thread: main loop only.
// Invariants: (1) steps are in the order of their batches.
//             (2) everything that was applied after floor() is here.
//             (3) if a unit goes on from one batch to the next, the steps of all its batches are forgotten together:
//                 replay applies such batches together or not at all.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>

#include "faha/types.h"

namespace faha {

struct Undo {
  enum class Kind : std::uint8_t {
    kPut,            // `old`: where the key was; none: it is new
    kDelete,         // the same; none: there was no key
    kMove,           // by the cleaner, from `old`
    kElement,        // a put of an element; `old`: where it was; none: it is new
    kElementErased,  // the same; none: there was no such element
    kElementMove,    // by the cleaner, from `old`
    kBind,           // by the key's record at `at`; `old`: the record that bound it before; none: it was unbound
    kLetGo,          // `old`: the key's record that had bound it
    kSwap,           // `old`: the swap record before this one; none: there was none
    kFlush,          // the keys that it erased are in the steps behind it
    kErased,         // one key that was at `old`
    kFlushDb,        // the index of `db` was retired; `old`: how many of its keys had an expiry
    kFlushAll,       // all indexes
  };
  Lsn lsn;                    // the batch that holds the record
  Lsn chain;                  // the first batch that replay applies together with it
  std::uint64_t at : 48;      // the record
  std::uint64_t kind : 8;     // a Kind
  std::uint64_t touched : 8;  // Engine::touched() before the step
  std::uint64_t old;
  std::uint64_t hash : 48;  // of a kPut, kDelete, kMove and kErased
  std::uint64_t db : 16;
};
static_assert(sizeof(Undo) == 40);

class Journal {
 public:
  // The steps that follow belong to a record in batch `lsn`.  `goes_on`: the record is in a unit that an earlier record
  // began.
  void Open(Lsn lsn, bool goes_on) { OpenAt(lsn, goes_on || lsn == lsn_ ? chain_ : lsn); }
  // The same, where replay applies the batches `chain` to `lsn` together.
  void OpenAt(Lsn lsn, Lsn chain) {
    open_ = true;
    lsn_ = lsn;
    chain_ = chain;
  }
  // The records that follow are committed already, and make no steps.
  void Close() {
    open_ = false;
    lsn_ = chain_ = Lsn{};
  }
  [[nodiscard]] bool open() const { return open_; }
  void Add(Undo::Kind kind, bool touched, DbId db, std::uint64_t hash, LogAddress at, std::uint64_t old) {
    if (!open_) return;
    constexpr std::uint64_t kLow = (std::uint64_t{1} << 48) - 1;
    steps_.push_back({lsn_, chain_, at.value & kLow, static_cast<std::uint8_t>(kind), touched, old, hash & kLow, db});
  }

  [[nodiscard]] Lsn floor() const { return floor_; }
  // Null: there is no step.
  [[nodiscard]] const Undo* newest() const { return steps_.empty() ? nullptr : &steps_.back(); }
  Undo TakeNewest() {
    const Undo newest = steps_.back();
    steps_.pop_back();
    return newest;
  }
  // Everything up to `committed` is committed.  Calls forgotten(const Undo&) for each step that is no longer needed,
  // oldest first.
  template <typename Function>
  void Committed(Lsn committed, Function forgotten) {
    if (steps_.empty() || steps_.front().lsn > committed) return;
    const auto pending = std::partition_point(steps_.begin(), steps_.end(),
                                              [committed](const Undo& step) { return step.lsn <= committed; });
    if (pending != steps_.end() && pending->chain <= committed) committed = Lsn{pending->chain.value - 1};
    while (!steps_.empty() && steps_.front().lsn <= committed) {
      forgotten(steps_.front());
      steps_.pop_front();
    }
    floor_ = std::max(floor_, committed);
  }
  // Nothing after `floor` was applied.
  void Reset(Lsn floor) {
    Close();
    steps_.clear();
    floor_ = floor;
  }

 private:
  std::deque<Undo> steps_;
  Lsn floor_;
  bool open_ = false;
  Lsn lsn_, chain_;  // of the steps that are being added
};

}  // namespace faha
